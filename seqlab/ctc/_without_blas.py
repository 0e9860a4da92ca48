"""Let numba load its functions of arrays without BLAS, which a search does not use: 0.15 CPU s less to the first text.

They ask once whether there is a BLAS, and importing it imports all of scipy.linalg. Where none is found, np.convolve
and np.correlate in compiled functions add up by themselves; products of matrices look for it anew, and find it.
"""

import sys
from importlib import import_module

from numba.core.compiler_lock import global_compiler_lock

_BLAS = "scipy.linalg.cython_blas"

with global_compiler_lock:  # what another thread compiles meanwhile may want BLAS
    if _BLAS not in sys.modules:
        sys.modules[_BLAS] = None  # type: ignore[assignment]  # an import of it fails at once
        try:
            import_module("numba.np.arraymath")
        finally:
            del sys.modules[_BLAS]

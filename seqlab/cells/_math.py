"""Arithmetic of the compiled recurrences: products by BLAS, tanh and the logistic function in vectors.

numba calls libm once for each number. In float32 the functions here are polynomials and a division, which LLVM turns
into vectors; in float64, which serves tests and very small nets, they stay libm's.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import torch
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

intrinsic: Any = extending.intrinsic
overload: Any = extending.overload
compiled: Callable[[Any], Any] = njit(nogil=True, error_model="numpy", fastmath={"contract"})
cached: Callable[[Any], Any] = njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)


def _has_blas() -> bool:
    """Make torch's BLAS known to LLVM: it is loaded already, and follows torch.set_num_threads."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        library = Path(torch.__file__).parent / "lib" / name
        if library.is_file():
            llvmlite.binding.load_library_permanently(str(library))
    return all(llvmlite.binding.address_of_symbol(name) is not None for name in ("sgemm_", "dgemm_"))


HAS_BLAS = _has_blas()
# Products of no more multiplications are a plain loop: those of 8 cells and one line are over before BLAS has begun.
SMALL = 512


def stamp(file: str) -> int:
    """Return a number for the content of a file of kernels and of this one: numba's cache knows only the former."""
    content = Path(file).read_bytes() + Path(__file__).read_bytes() + bytes([HAS_BLAS])
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big")


_GEMM = types.void(*[types.uintp] * 13)
_sgemm = types.ExternalFunction("sgemm_", _GEMM)
_dgemm = types.ExternalFunction("dgemm_", _GEMM)


@intrinsic
def _address(typing_context: Any, value: Any) -> Any:
    """Return the address of a copy of a number, as Fortran wants its arguments."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        slot = cgutils.alloca_once_value(builder, arguments[0])
        return builder.ptrtoint(slot, context.get_value_type(types.uintp))

    return types.uintp(value), generate


def _gemm(out: Any, a: Any, w_t: Any) -> None:
    """Call BLAS: out += a @ w_t.T, rows contiguous."""


@overload(_gemm, jit_options={"error_model": "numpy"})
def _gemm_of_type(out: Any, a: Any, w_t: Any) -> Any:
    function, kind = (_sgemm, np.float32) if out.dtype == types.float32 else (_dgemm, np.float64)

    def product(out: Any, a: Any, w_t: Any) -> None:
        m, n, k = np.int32(a.shape[0]), np.int32(w_t.shape[0]), np.int32(w_t.shape[1])
        # Fortran's columns are our rows: out.T += (w_t.T).T @ a.T
        function(
            _address(np.uint8(84)),  # T
            _address(np.uint8(78)),  # N
            *(_address(n), _address(m), _address(k), _address(kind(1))),
            *(w_t.ctypes.data, _address(k), a.ctypes.data, _address(k), _address(kind(1)), out.ctypes.data),
            _address(n),
        )

    return product


@compiled
def add_product(out: Any, a: Any, w: Any, w_t: Any) -> None:
    """Compute out += a @ w for w (K, N), to be given as w_t (N, K) too; out (M, N), a (M, K), all contiguous."""
    if a.size * w.shape[1] <= SMALL:
        for row in range(a.shape[0]):
            target = out[row]
            for k in range(a.shape[1]):
                factor, source = a[row, k], w[k]
                for j in range(target.size):
                    target[j] += factor * source[j]
    elif HAS_BLAS:
        _gemm(out, a, w_t)
    else:
        out += np.dot(a, w)


@compiled
def cell_back(e: Any, i: Any, f: Any, z: Any, old: Any, di: Any, df: Any, dz: Any) -> None:
    """Hand the gradient of cells f old + i z on, all (H,): i and f logistic, z tanh.

    Args:
        e: of the cells; afterwards of the old ones.
        i: input gates; f, z and old likewise.
        di: result, of the sum before i; df and dz likewise.
    """
    one = e.dtype.type(1)
    for j in range(e.size):
        di[j] = e[j] * z[j] * (i[j] - i[j] * i[j])
    for j in range(e.size):
        df[j] = e[j] * old[j] * (f[j] - f[j] * f[j])
    for j in range(e.size):
        dz[j] = e[j] * i[j] * (one - z[j] * z[j])
    for j in range(e.size):
        e[j] *= f[j]


@intrinsic
def _power_of_two(typing_context: Any, shifted: Any) -> Any:
    """Return 2^k in float32 for an integer k given as k + 1.5 * 2^23 in float32, whose last bits are k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.bitcast(arguments[0], word)
        exponent = builder.add(bits, ir.Constant(word, 127 - 0x4B400000))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.float32), generate


_ONE, _TWO, _ZERO, _SHIFT = np.float32(1), np.float32(2), np.float32(0), np.float32(1.5 * 2**23)
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1 / math.log(2)), np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST, _MOST, _NEAR = np.float32(-87), np.float32(88), np.float32(0.625)
# Minimax polynomials of Cephes (Moshier), for exp within ln 2 / 2 of 0 and for tanh up to 0.625.
_E0, _E1, _E2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_E3, _E4, _E5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_T0, _T1, _T2 = np.float32(-5.70498872745e-3), np.float32(2.06390887954e-2), np.float32(-5.37397155531e-2)
_T3, _T4 = np.float32(1.33314422036e-1), np.float32(-3.33332819422e-1)


@compiled
def _exp32(x: Any) -> Any:
    """Compute exp of a float32 to 2 units in the last place, within exp(-87) to exp(88); NaN stays NaN."""
    x = _LEAST if x < _LEAST else x
    x = _MOST if x > _MOST else x
    shifted = x * _LOG2_E + _SHIFT  # rounds to an integer
    k = shifted - _SHIFT
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    return (p * r * r + r + _ONE) * _power_of_two(shifted)


@compiled
def _tanh32(x: Any) -> Any:
    square = x * x
    near = ((((_T0 * square + _T1) * square + _T2) * square + _T3) * square + _T4) * square * x + x
    size = abs(x)
    far = _ONE - _TWO / (_exp32(_TWO * size) + _ONE)
    far = -far if x < _ZERO else far
    return near if size < _NEAR else far


@compiled
def _sigmoid32(x: Any) -> Any:
    return _ONE / (_ONE + _exp32(-x))


def tanh(x: Any) -> Any:
    """Compute tanh of a number."""
    return math.tanh(x)


def sigmoid(x: Any) -> Any:
    """Compute 1 / (1 + exp(-x)) of a number."""
    return 1.0 / (1.0 + math.exp(-x))


@overload(tanh, jit_options={"error_model": "numpy"})
def _tanh_of_type(x: Any) -> Any:
    return _tanh32.py_func if x == types.float32 else tanh


@overload(sigmoid, jit_options={"error_model": "numpy"})
def _sigmoid_of_type(x: Any) -> Any:
    return _sigmoid32.py_func if x == types.float32 else sigmoid


@compiled
def tanh_(row: Any) -> None:
    """Replace a row by its tanh."""
    for j in range(row.size):
        row[j] = tanh(row[j])


@compiled
def sigmoid_(row: Any) -> None:
    """Replace a row by its logistic function."""
    for j in range(row.size):
        row[j] = sigmoid(row[j])


@compiled
def slope_of_sigmoid(y: Any) -> Any:
    """Return the derivative of the logistic function from its value."""
    return y - y * y

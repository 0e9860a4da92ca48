"""Scripts of recipes/ and scripts/ as modules, to test their parts."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "scripts" / "bench"


def load(path: Path) -> ModuleType:
    """Return a script as a module; while it is loaded its folder is on the path, as if it were run."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(path.parent))
        spec.loader.exec_module(module)
    return module

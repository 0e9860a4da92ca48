"""seqlab: speech and handwriting sequence labelling with recurrent networks and CTC."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Recognizer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the public classes on first use, so that ``import seqlab`` stays quick."""
    if name == "Recognizer":
        from seqlab.recognizer import Recognizer

        return Recognizer
    raise AttributeError(f"module 'seqlab' has no attribute {name!r}")

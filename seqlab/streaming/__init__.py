"""Recognition piece by piece: while someone speaks or writes, and of recordings of any length."""

from typing import TYPE_CHECKING, Any

from seqlab.streaming.recognizer import Partial, StreamingRecognizer

if TYPE_CHECKING:
    from seqlab.streaming.long import transcribe_long

LONG_SECONDS = 600.0  # recordings from here on are read piece by piece

__all__ = ["LONG_SECONDS", "Partial", "StreamingRecognizer", "transcribe_long"]


def __getattr__(name: str) -> Any:
    if name != "transcribe_long":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seqlab.streaming.long import transcribe_long  # imports torch, which the recogniser need not have

    return transcribe_long

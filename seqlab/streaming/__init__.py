"""Recognition piece by piece: while someone speaks or writes, and of recordings of any length."""

from seqlab.streaming.long import transcribe_long
from seqlab.streaming.recognizer import Partial, StreamingRecognizer

LONG_SECONDS = 600.0  # recordings from here on are read piece by piece

__all__ = ["LONG_SECONDS", "Partial", "StreamingRecognizer", "transcribe_long"]

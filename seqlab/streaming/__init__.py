"""Recognition piece by piece: while someone speaks or writes, and of recordings of any length."""

from seqlab.streaming.long import transcribe_long
from seqlab.streaming.recognizer import Partial, StreamingRecognizer

__all__ = ["Partial", "StreamingRecognizer", "transcribe_long"]

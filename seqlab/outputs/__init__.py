"""What a recogniser found, written in the formats that others read; one format per file."""

from seqlab.outputs.transcript import Transcript, Word

__all__ = ["Transcript", "Word"]

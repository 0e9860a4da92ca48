"""What a recogniser found, written in the formats that others read; one format per file."""

from seqlab.outputs.transcript import Alternative, Transcript, Word

__all__ = ["Alternative", "Transcript", "Word"]

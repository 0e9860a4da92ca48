"""What the frontends of images, ink and arrays are: a call, and no nn.Module."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Prepared:
    """Base of the frontends whose lines ``prepare`` makes one by one, on the CPU: they only hand frames on.

    They have no weights and are no nn.Module, so that reading by ONNX Runtime imports no torch, and needs none.
    """

    def forward(self, signal: "Tensor", lengths: "Tensor") -> "tuple[Tensor, Tensor]":
        """Hand prepared lines (B, S, F) of lengths (B,) on as frames (B, T, F), and their lengths."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def __call__(self, signal: "Tensor", lengths: "Tensor") -> "tuple[Tensor, Tensor]":
        """Do what ``forward`` does, as of a module."""
        return self.forward(signal, lengths)

"""The stem that joins neighbouring frames."""

from torch import Tensor, nn

from seqlab.batch import mask_padding


class Stack(nn.Module):
    """Join each `factor` consecutive frames into one, side by side; no weights.

    Frames left over at the end of a line are dropped, so a line of fewer than `factor` frames has length 0.

    Args:
        input_size: features per frame.
        factor: frames joined.
    """

    def __init__(self, input_size: int, factor: int = 3) -> None:
        super().__init__()
        if input_size < 1:
            raise ValueError(f"input_size must be 1 or more, got {input_size}")
        if factor < 1:
            raise ValueError(f"factor must be 1 or more, got {factor}")
        self.stride = factor
        self.num_features = input_size * factor

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return floor(T / factor)."""
        return lengths // self.stride

    @property
    def reach(self) -> tuple[int, int, int]:
        """Frames in for one out; and those before the first of them, and from it on, that the one depends on."""
        return self.stride, 0, self.stride

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stack frames.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            (B, T // factor, F factor) and frames per line; frames past a length are 0.
        """
        frames = x.shape[1] // self.stride
        lengths = self.num_frames(lengths)
        x = x[:, : frames * self.stride].reshape(x.shape[0], frames, self.num_features)
        return mask_padding(x, lengths.to(x.device)), lengths

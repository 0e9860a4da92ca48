"""The stem that keeps all frames."""

from torch import Tensor, nn

from seqlab.batch import mask_padding


class NoStem(nn.Module):
    """Pass features on as they are; padding becomes 0.

    Args:
        input_size: features per frame.
    """

    stride = 1

    def __init__(self, input_size: int) -> None:
        super().__init__()
        if input_size < 1:
            raise ValueError(f"input_size must be 1 or more, got {input_size}")
        self.num_features = input_size

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the lengths as they are."""
        return lengths

    @property
    def reach(self) -> tuple[int, int, int]:
        """Frames in for one out; and those before the first of them, and from it on, that the one depends on."""
        return 1, 0, 1

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, T, F) and lengths (B,) unchanged; frames past a length are 0."""
        return mask_padding(x, lengths.to(x.device)), lengths

"""What the encoders of attention share: the way into their layers and out of them, and positions."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from seqlab.batch import mask_padding, valid_mask
from seqlab.encoders._regular import check_shares


class Attention(nn.Module):
    """A linear map to hidden_size, sinusoidal positions, layers, and a norm; a subclass gives the layers.

    Attention sees a line's own frames alone, so padding changes nothing. Time and memory grow with the square of the
    frames.

    Args:
        input_size: features per frame.
        hidden_size: width of the layers, and size of the output.
        layers: modules that turn x (B, T, H) into as much, given src_key_padding_mask (B, T), True past each length.
        norm: of the last layer's output; None: none.
        dropout: share of the input of the layers set to 0, while training.
        out_dropout: share of the output set to 0, while training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        layers: Iterable[nn.Module],
        norm: nn.Module | None,
        dropout: float,
        out_dropout: float,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(layers)
        self.num_layers = len(self.layers)
        self.norm = norm
        self.out_dropout = nn.Dropout(out_dropout)
        self.num_features = hidden_size

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the lengths as they are."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features into states.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            States (B, T, H) and the lengths; states past a length are 0.
        """
        return self.intermediate(x, lengths, ())[0], lengths

    def intermediate(self, x: Tensor, lengths: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor], Tensor]:
        """Turn features into states, and show those of lower layers too.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).
            layers: numbers of layers, from 1.

        Returns:
            States as of ``forward``, states of each of the layers, (B, T, H), by the same norm, and the lengths.
        """
        on_device = lengths.to(x.device)
        x = self.linear(mask_padding(x, on_device))
        x = self.dropout(x + positions(x.shape[1], x.shape[2], x))
        padding = ~valid_mask(on_device.clamp(min=1), x.shape[1])  # an empty line must see something, and loses it
        states = []
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
            states.append(x)
        shown = [states[layer - 1] for layer in (self.num_layers, *layers)]
        last, *below = (mask_padding(y if self.norm is None else self.norm(y), on_device) for y in shown)
        return self.out_dropout(last), [self.out_dropout(y) for y in below], lengths


def check_attention(
    input_size: int,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    ff_factor: int,
    dropout: float,
    out_dropout: float,
) -> None:
    """Raise ValueError where the sizes of an encoder with attention do not fit together."""
    if min(input_size, num_layers, num_heads, ff_factor) < 1:
        raise ValueError(
            "input_size, num_layers, num_heads and ff_factor must be 1 or more, got "
            f"{input_size}, {num_layers}, {num_heads} and {ff_factor}"
        )
    if hidden_size < 2 or hidden_size % 2 or hidden_size % num_heads:
        raise ValueError(f"hidden_size must be even and a multiple of num_heads = {num_heads}, got {hidden_size}")
    check_shares(dropout=dropout, out_dropout=out_dropout)


def positions(frames: int, size: int, like: Tensor) -> Tensor:
    """Return sines and cosines of each position (Vaswani et al. 2017, section 3.5), (T, size), of the type of `like`.

    Column 2i is sin(t / 10000^(2i / size)), column 2i + 1 the cosine.
    """
    time = torch.arange(frames, device=like.device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, size, 2, device=like.device) * (-math.log(10000.0) / size))
    return torch.stack([(time * rate).sin(), (time * rate).cos()], 2).flatten(1).to(like.dtype)

"""Conformer, the yardstick of attention and convolution (Gulati et al. 2020)."""

from torch import Tensor, nn
from torch.nn import functional

from seqlab.encoders._attention import Attention, check_attention


class Conformer(Attention):
    """A linear map to hidden_size, sinusoidal positions and conformer blocks, exact for every length in a padded batch.

    torchaudio.models.Conformer is not: its convolution reads the frames past a line's end, and its group norm takes
    mean and variance over them (tests/encoders/test_yardsticks.py). Here the convolution sees zeros there, and each
    frame is normalised by itself (layer norm). The rest is the same, weight by weight. Positions are absolute, not
    relative as in the paper.

    Args:
        input_size: features per frame.
        hidden_size: width of the blocks, and size of the output; even.
        num_layers: blocks.
        num_heads: heads of attention, which divide hidden_size.
        ff_factor: width of the feed-forward layers over hidden_size.
        kernel_size: frames that the convolution of a block sees; odd.
        dropout: share set to 0 in every block and of the input, while training.
        out_dropout: share of the output set to 0, while training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 256,
        num_layers: int = 6,
        num_heads: int = 4,
        ff_factor: int = 4,
        kernel_size: int = 31,
        dropout: float = 0.1,
        out_dropout: float = 0.0,
    ) -> None:
        check_attention(input_size, hidden_size, num_layers, num_heads, ff_factor, dropout, out_dropout)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and 1 or more, got {kernel_size}")
        blocks = (
            ConformerBlock(hidden_size, num_heads, ff_factor * hidden_size, kernel_size, dropout)
            for _ in range(num_layers)
        )
        super().__init__(input_size, hidden_size, blocks, None, dropout, out_dropout)  # blocks end in a norm


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, self-attention, convolution, the other half, layer norm (Gulati et al. 2020, eq. 1).

    Args:
        size: width, H.
        num_heads: heads of attention.
        ff_size: width of the feed-forward layers.
        kernel_size: frames that the convolution sees.
        dropout: share of what each part adds set to 0, and of attention weights, while training.
    """

    def __init__(self, size: int, num_heads: int, ff_size: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.ff1, self.ff2 = (_feed_forward(size, ff_size, dropout) for _ in range(2))
        self.attention_norm = nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, num_heads, dropout, batch_first=True)
        self.conv_norm = nn.LayerNorm(size)
        self.conv_in = nn.Linear(size, 2 * size)
        self.conv = nn.Conv1d(size, size, kernel_size, padding=kernel_size // 2, groups=size)
        self.conv_mid_norm = nn.LayerNorm(size)
        self.conv_out = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        """Turn x (B, T, H) into as much; the mask (B, T) is True where a frame does not count."""
        x = x + 0.5 * self.ff1(x)
        y = self.attention_norm(x)
        y, _ = self.attention(y, y, y, key_padding_mask=src_key_padding_mask, need_weights=False)
        x = x + self.dropout(y)
        y = functional.glu(self.conv_in(self.conv_norm(x)), 2).masked_fill(src_key_padding_mask[:, :, None], 0)
        y = functional.silu(self.conv_mid_norm(self.conv(y.transpose(1, 2)).transpose(1, 2)))
        x = x + self.dropout(self.conv_out(y))
        x = x + 0.5 * self.ff2(x)
        out: Tensor = self.norm(x)
        return out


def _feed_forward(size: int, ff_size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(size),
        nn.Linear(size, ff_size),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(ff_size, size),
        nn.Dropout(dropout),
    )

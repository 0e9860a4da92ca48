"""Transformer, the yardstick without recurrence (Vaswani et al. 2017)."""

from torch import nn

from seqlab.encoders._attention import Attention, check_attention


class Transformer(Attention):
    """A linear map to hidden_size, sinusoidal positions, torch's pre-norm encoder layers, and a last layer norm.

    Pre-norm as Xiong et al. 2020, which trains without a long warm-up.

    Args:
        input_size: features per frame.
        hidden_size: width of the layers, and size of the output; even.
        num_layers: layers.
        num_heads: heads of attention, which divide hidden_size.
        ff_factor: width of the feed-forward layers over hidden_size.
        dropout: share set to 0 in every layer (attention weights, what each half adds) and of the input, while
            training.
        out_dropout: share of the output set to 0, while training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 256,
        num_layers: int = 6,
        num_heads: int = 4,
        ff_factor: int = 4,
        dropout: float = 0.1,
        out_dropout: float = 0.0,
    ) -> None:
        check_attention(input_size, hidden_size, num_layers, num_heads, ff_factor, dropout, out_dropout)
        layers = (
            nn.TransformerEncoderLayer(
                hidden_size, num_heads, ff_factor * hidden_size, dropout, batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        )
        super().__init__(input_size, hidden_size, layers, nn.LayerNorm(hidden_size), dropout, out_dropout)

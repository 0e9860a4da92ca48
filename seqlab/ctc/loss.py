"""The CTC loss (Graves, Fernández, Gomez and Schmidhuber 2006, equations 7.26-7.31 in Graves's 2012 book)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CTCLoss(nn.Module):
    """Negative log-likelihood of the labels, one value per line.

    Lines whose labels cannot be aligned to their frames have an infinite loss; they come back as 0 without gradient,
    and the caller counts them with ``seqlab.ctc.feasibility``.

    Args:
        shortcut: weight of a second CTC loss on what a small convolution reads from the stem's frames while training,
            past the encoder ("CTC shortcut", Retsinas et al. 2022): the stem learns sooner. 0: none.
    """

    def __init__(self, shortcut: float = 0.0) -> None:
        super().__init__()
        if shortcut < 0:
            raise ValueError(f"shortcut must be 0 or more, got {shortcut}")
        self.shortcut = shortcut

    def forward(self, log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Compute the loss of each line.

        Args:
            log_probs: log-probabilities (B, T, V), blank 0.
            lengths: frames per line, (B,).
            labels: label ids (B, L), padded with 0.
            label_lengths: labels per line, (B,).

        Returns:
            Loss of each line in nats, (B,), float32.
        """
        log_probs = log_probs.float().transpose(0, 1)  # (T, B, V)
        return functional.ctc_loss(
            log_probs, labels, lengths, label_lengths, blank=0, reduction="none", zero_infinity=True
        )

    @staticmethod
    def mean(losses: Tensor, label_lengths: Tensor) -> Tensor:
        """Average over lines, each divided by its number of labels, so that long lines do not rule the batch."""
        return (losses / label_lengths.clamp(min=1)).mean() if len(losses) else torch.zeros((), requires_grad=True)

"""The CTC loss (Graves, Fernández, Gomez and Schmidhuber 2006, equations 7.26-7.31 in Graves's 2012 book)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.ctc.feasibility import infeasible
from seqlab.ctc.priors import FLOOR, divide, mean_posteriors


class CTCLoss(nn.Module):
    """Negative log-likelihood of the labels, one value per line.

    Lines whose labels cannot be aligned to their frames have an infinite loss; they come back as 0 without gradient,
    and the caller counts them with ``seqlab.ctc.feasibility``.

    With ``prior_weight`` paths are weighed by the posteriors divided by the labels' priors while training ("Less peaky
    and more accurate CTC forced alignment by label priors", Huang et al. 2024, arXiv 2406.02560, equations 4 and 5),
    which keeps the blank from taking most frames; such a loss is no log-likelihood and may be negative. The priors are
    a running mean of the posteriors, which ``learn_priors`` updates; they are a buffer and travel with checkpoints.
    In evaluation the loss is plain CTC.

    Args:
        shortcut: weight of a second CTC loss on what a small convolution reads from the stem's frames while training,
            past the encoder ("CTC shortcut", Retsinas et al. 2022): the stem learns sooner. 0: none.
        prior_weight: exponent of the priors, the paper's alpha, 0 to 1; 0: plain CTC.
        prior_decay: what a step leaves of the running mean.
        consistency: weight of the disagreement between two views of each line, masked and dropped out apart, on top of
            the CTC loss of both (``seqlab.ctc.consistency``); a step then costs twice as much. 0: one view.
        num_symbols: blank included, given by the program; ``prior_weight`` needs it to train.
    """

    priors: Tensor

    def __init__(
        self,
        shortcut: float = 0.0,
        prior_weight: float = 0.0,
        prior_decay: float = 0.99,
        consistency: float = 0.0,
        num_symbols: int = 0,
    ) -> None:
        super().__init__()
        if shortcut < 0:
            raise ValueError(f"shortcut must be 0 or more, got {shortcut}")
        if not 0 <= prior_weight <= 1:
            raise ValueError(f"prior_weight must lie in [0, 1], got {prior_weight}")
        if not 0 <= prior_decay < 1:
            raise ValueError(f"prior_decay must lie in [0, 1), got {prior_decay}")
        if consistency < 0:
            raise ValueError(f"consistency must be 0 or more, got {consistency}")
        self.shortcut = shortcut
        self.consistency = consistency
        self.prior_weight = prior_weight
        self.prior_decay = prior_decay
        if prior_weight:
            self.register_buffer("priors", torch.full((num_symbols,), 1 / max(num_symbols, 1)))

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
        log_probs = log_probs.float()
        if not (self.prior_weight and self.training):
            return self._plain(log_probs, lengths, labels, label_lengths)
        scores = divide(log_probs, self.priors.clamp(min=FLOOR).log(), self.prior_weight)  # not normalised
        # torch's CTC gradient holds for normalised scores only, so what normalising takes is given back
        norm = mask_padding(scores.logsumexp(2), lengths).sum(1)  # (B,)
        losses = self._plain(scores.log_softmax(2), lengths, labels, label_lengths) - norm
        return losses.masked_fill(infeasible(lengths, labels, label_lengths), 0.0)

    @staticmethod
    def _plain(log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        log_probs = log_probs.transpose(0, 1)  # (T, B, V)
        return functional.ctc_loss(
            log_probs, labels, lengths, label_lengths, blank=0, reduction="none", zero_infinity=True
        )

    @torch.no_grad()
    def learn_priors(self, log_probs: Tensor, lengths: Tensor) -> None:
        """Move the priors towards the mean posteriors of a training batch (B, T, V); nothing without prior_weight."""
        if self.prior_weight and int(lengths.sum()):
            self.priors.lerp_(mean_posteriors(log_probs.detach().float(), lengths), 1 - self.prior_decay)

    @staticmethod
    def mean(losses: Tensor, label_lengths: Tensor) -> Tensor:
        """Average over lines, each divided by its number of labels, so that long lines do not rule the batch."""
        return (losses / label_lengths.clamp(min=1)).mean() if len(losses) else torch.zeros((), requires_grad=True)

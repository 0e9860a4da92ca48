"""The CTC loss (Graves, Fernández, Gomez and Schmidhuber 2006, equations 7.26-7.31 in Graves's 2012 book)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.ctc.entropy import blank_mass, path_entropy, sureness
from seqlab.ctc.feasibility import infeasible
from seqlab.ctc.priors import FLOOR, divide, mean_posteriors

PRIOR_DECAY, INTERMEDIATE_WEIGHT = 0.99, 0.3  # as usual; another value with no priors or layers is a slip


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
        consistency_warmup: share of the training over which that weight grows linearly from 0.
        intermediate_layers: layers of the encoder, from 1, whose states the output layer reads as well while training
            ("Intermediate CTC", Lee and Watanabe 2021, arXiv 2102.03216); none: the last alone.
        intermediate_weight: w of (1 - w) CTC + w (mean of the CTC losses of those layers).
        entropy: weight of the entropy of the alignments, subtracted (EnCTC, ``seqlab.ctc.entropy.path_entropy``).
        smoothing: weight of the frames' distance from uniform (``seqlab.ctc.entropy.sureness``).
        blank: weight of the posterior of the blank, summed over frames (``seqlab.ctc.entropy.blank_mass``).
        num_symbols: blank included, given by the program; ``prior_weight`` needs it to train.
    """

    priors: Tensor

    def __init__(
        self,
        shortcut: float = 0.0,
        prior_weight: float = 0.0,
        prior_decay: float = PRIOR_DECAY,
        consistency: float = 0.0,
        consistency_warmup: float = 0.0,
        intermediate_layers: Sequence[int] = (),
        intermediate_weight: float = INTERMEDIATE_WEIGHT,
        entropy: float = 0.0,
        smoothing: float = 0.0,
        blank: float = 0.0,
        num_symbols: int = 0,
    ) -> None:
        super().__init__()
        weights = {"shortcut": shortcut, "consistency": consistency}
        for name, value in (weights | {"entropy": entropy, "smoothing": smoothing, "blank": blank}).items():
            if value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        shares = {"prior_weight": prior_weight, "consistency_warmup": consistency_warmup}
        for name, value in (shares | {"intermediate_weight": intermediate_weight}).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        if not 0 <= prior_decay < 1:
            raise ValueError(f"prior_decay must lie in [0, 1), got {prior_decay}")
        if any(layer < 1 for layer in intermediate_layers) or len(set(intermediate_layers)) < len(intermediate_layers):
            raise ValueError(f"intermediate_layers must be different numbers from 1, got {list(intermediate_layers)}")
        for name, value, usual, needed, there in (
            ("consistency_warmup", consistency_warmup, 0.0, "consistency above 0", consistency),
            (
                "intermediate_weight",
                intermediate_weight,
                INTERMEDIATE_WEIGHT,
                "intermediate_layers",
                intermediate_layers,
            ),
            ("prior_decay", prior_decay, PRIOR_DECAY, "prior_weight above 0", prior_weight),
        ):
            if value != usual and not there:
                raise ValueError(f"{name} needs {needed}; without, leave it at {usual:g}, got {value}")
        self.shortcut = shortcut
        self.consistency, self.consistency_warmup = consistency, consistency_warmup
        self.intermediate_layers, self.intermediate_weight = list(intermediate_layers), intermediate_weight
        self.entropy, self.smoothing, self.blank = entropy, smoothing, blank
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
        if log_probs.is_cpu:
            from seqlab.ctc._lattice import CTC  # here: numba is slow to import, and only training needs it

            losses: Tensor = CTC.apply(log_probs, lengths, labels, label_lengths)
            return losses
        log_probs = log_probs.transpose(0, 1)  # (T, B, V)
        return functional.ctc_loss(
            log_probs, labels, lengths, label_lengths, blank=0, reduction="none", zero_infinity=True
        )

    def consistency_at(self, progress: float) -> float:
        """Return the weight of the disagreement between views when a share of the training is done."""
        return self.consistency * min(1.0, progress / self.consistency_warmup if self.consistency_warmup else 1.0)

    def with_intermediate(self, losses: Tensor, below: Sequence[Tensor]) -> Tensor:
        """Join the losses (B,) of the last layer with those of layers below, each (B,)."""
        if not below:
            return losses
        return (1 - self.intermediate_weight) * losses + self.intermediate_weight * torch.stack(list(below)).mean(0)

    def regularizers(self, log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Compute what entropy, smoothing and blank add to the loss of each line, (B,); see ``forward``.

        Nothing is added for lines that cannot be aligned.
        """
        added = log_probs.new_zeros(len(log_probs), dtype=torch.float32)
        if self.entropy:
            added = added - self.entropy * path_entropy(log_probs, lengths, labels, label_lengths)
        if self.smoothing:
            added = added + self.smoothing * sureness(log_probs, lengths)
        if self.blank:
            added = added + self.blank * blank_mass(log_probs, lengths)
        return added.masked_fill(infeasible(lengths, labels, label_lengths), 0.0)

    @torch.no_grad()
    def learn_priors(self, log_probs: Tensor, lengths: Tensor) -> None:
        """Move the priors towards the mean posteriors of a training batch (B, T, V); nothing without prior_weight."""
        if self.prior_weight and int(lengths.sum()):
            self.priors.lerp_(mean_posteriors(log_probs.detach().float(), lengths), 1 - self.prior_decay)

    @staticmethod
    def mean(losses: Tensor, label_lengths: Tensor) -> Tensor:
        """Average over lines, each divided by its number of labels, so that long lines do not rule the batch."""
        return (losses / label_lengths.clamp(min=1)).mean() if len(losses) else torch.zeros((), requires_grad=True)

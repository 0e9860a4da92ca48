"""A small network that sees a few frames only, and so cannot say a symbol far from where it is.

A BLSTM trained with CTC may emit a symbol anywhere, early or late: the loss does not ask where. What looks at three
frames can only emit what it sees. Trained with label priors it fills the symbol's frames rather than spike in one
(Huang et al. 2024, arXiv 2406.02560, whose aligner is a small time-delay network too). It recognises badly and aligns
well, given the text.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seqlab.batch import pad
from seqlab.ctc.loss import CTCLoss
from seqlab.ctc.priors import FLOOR, divide

PRIOR_WEIGHT = 0.9
EPOCHS, STEPS = 10, 1000  # at least
LINES = 16  # per batch
LR = 3e-3
SEED = 1


class LocalAligner(nn.Module):
    """One convolution and two linear layers from frames to symbols.

    Args:
        input_size: features per frame.
        num_symbols: blank included.
        hidden_size: channels.
        kernel_size: frames seen, odd.

    Attributes:
        priors: of the labels, (V,), as the loss met them.
    """

    priors: Tensor

    def __init__(self, input_size: int, num_symbols: int, hidden_size: int = 64, kernel_size: int = 3) -> None:
        super().__init__()
        self.context = nn.Conv1d(input_size, hidden_size, kernel_size, padding=kernel_size // 2)
        self.head = nn.Linear(hidden_size, num_symbols)
        self.register_buffer("priors", torch.full((num_symbols,), 1 / num_symbols))

    def forward(self, x: Tensor) -> Tensor:
        """Turn frames (B, T, F), 0 past a line's end, into log-probabilities (B, T, V)."""
        x = self.context(x.transpose(1, 2)).relu().transpose(1, 2)
        return self.head(x).log_softmax(2)

    @torch.no_grad()
    def scores(self, x: Tensor) -> Tensor:
        """Return what to align one line's frames (T, F) by: posteriors divided by priors, (T, V)."""
        return divide(self(x[None])[0], self.priors.clamp(min=FLOOR).log(), PRIOR_WEIGHT)


def fit(
    lines: Sequence[tuple[Tensor, Tensor]],
    num_symbols: int,
    done: Callable[[float], object] = lambda share: None,
    prior_weight: float = PRIOR_WEIGHT,
) -> LocalAligner:
    """Train an aligner; the same lines give the same aligner.

    Args:
        lines: frames (T, F) and labels (L,) of each line; one or more, all feasible.
        num_symbols: blank included.
        done: told the share of the work that is done.
        prior_weight: exponent of the label priors in the loss; 0 is plain CTC, for comparison.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(SEED)
        net = LocalAligner(lines[0][0].shape[1], num_symbols)
        loss = CTCLoss(prior_weight=prior_weight, num_symbols=num_symbols)
        order = sorted(range(len(lines)), key=lambda i: len(lines[i][0]))
        batches = [order[i : i + LINES] for i in range(0, len(order), LINES)]
        optimizer = torch.optim.AdamW(net.parameters(), lr=LR)
        epochs = max(EPOCHS, -(-STEPS // len(batches)))
        steps = epochs * len(batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps + 1, pct_start=0.1)
        for epoch in range(epochs):
            for number, which in enumerate(torch.randperm(len(batches)).tolist()):
                x, lengths = pad([lines[i][0] for i in batches[which]])
                labels, sizes = pad([lines[i][1] for i in batches[which]])
                log_probs = net(x)
                mean = loss.mean(loss(log_probs, lengths, labels, sizes), sizes)
                loss.learn_priors(log_probs, lengths)
                optimizer.zero_grad()
                mean.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                optimizer.step()
                schedule.step()
                done((epoch * len(batches) + number + 1) / steps)
        if prior_weight:  # else uniform, which changes nothing
            net.priors.copy_(loss.priors)
    return net.eval()

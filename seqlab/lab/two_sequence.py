"""The two-sequence problem (Hochreiter and Schmidhuber 1997, experiment 3): noise and signal on one line."""

from typing import Literal

import numpy as np

from seqlab.lab.criteria import HeldOut
from seqlab.lab.task import Sequences, Task, at_end, check

_NOISE = np.sqrt(0.2)
_TARGET_NOISE = np.sqrt(0.1)


class TwoSequence(Task):
    """Tell two classes by the first N of T or more numbers; the rest is Gaussian noise of variance 0.2.

    Class 1 begins with N ones, class 2 with N minus ones; lengths are uniform in T..1.1 T and both classes are as
    likely. The target at the end is 1 or 0. Variant b has the same noise on the first N numbers too; c has that and
    targets 0.2 (class 1) and 0.8 with Gaussian noise of variance 0.1, and errors are measured from the noiseless ones.

    Learnt: none (b: at most 5) of 256 held-out sequences wrong, their mean error < 0.01 (b: 0.04, c: 0.015). Wrong is
    an error of 0.5 or more, in c of more than 0.1. The paper does not say how often the held-out set was looked at:
    here every 100 sequences.

    Args:
        variant: a, b or c.
        length: shortest length, T.
        informative: how many numbers tell the class, N.
    """

    num_inputs, num_outputs = 1, 1

    def __init__(self, variant: Literal["a", "b", "c"] = "a", length: int = 100, informative: int = 3) -> None:
        if variant not in ("a", "b", "c"):
            raise ValueError(f"variant must be a, b or c, got {variant!r}")
        check(informative=(informative, 1), length=(length, informative))
        self.variant, self.length, self.informative = variant, length, informative
        self.limit = 0.1 if variant == "c" else 0.5
        mean = {"a": 0.01, "b": 0.04, "c": 0.015}[variant]
        self.criterion = HeldOut(size=256, limit=self.limit, mean=mean, spared=5 if variant == "b" else 0)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw sequences."""
        lengths = rng.integers(self.length, self.length + self.length // 10 + 1, count)
        first = rng.integers(0, 2, count)[:, None] == 1  # class 1
        x = _NOISE * rng.standard_normal((count, int(lengths.max())))
        if self.variant == "a":
            x[:, : self.informative] = 0
        x[:, : self.informative] += np.where(first, 1.0, -1.0)
        x = x[..., None].astype(np.float32)
        if self.variant != "c":
            return at_end(x, lengths, first)
        truth = np.where(first, 0.2, 0.8)
        return at_end(x, lengths, truth + _TARGET_NOISE * rng.standard_normal(truth.shape), truth)

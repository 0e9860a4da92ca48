"""When a task counts as learnt: the stopping rules of 1997, looked at before the weights change."""

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Streak:
    """The last sequences of the training stream are right, all of them or all but some.

    Args:
        window: how many sequences are looked back at.
        limit: a sequence is wrong when its largest absolute error reaches this.
        mean: the mean absolute error over the window must lie below this; None: any.
        spared: so many sequences of the window may be wrong.
    """

    window: int
    limit: float
    mean: float | None = None
    spared: int = 0

    def __str__(self) -> str:
        spared = f", {self.spared} of them not" if self.spared else ""
        mean = f", mean error < {self.mean:g}" if self.mean is not None else ""
        return f"{self.window} successive sequences with errors < {self.limit:g}{spared}{mean}"


class Watch:
    """Follow a stream of training sequences by a `Streak`.

    Attributes:
        seen: sequences so far.
        wrong: wrong ones within the window.
    """

    def __init__(self, streak: Streak) -> None:
        self.streak = streak
        self.seen = 0
        self.wrong = 0
        self._errors: deque[tuple[bool, float]] = deque()
        self._sum = 0.0

    @property
    def mean(self) -> float:
        """Mean error over the window."""
        return self._sum / max(len(self._errors), 1)

    def add(self, worst: list[float], mean: list[float]) -> bool:
        """Take note of the errors of some sequences, in their order; stop at the one that meets the rule.

        Args:
            worst: largest absolute error of each sequence.
            mean: mean absolute error of each sequence.

        Returns:
            True when the rule is met; `seen` then counts the sequence that met it.
        """
        rule = self.streak
        for worst_error, mean_error in zip(worst, mean, strict=True):
            self.seen += 1
            wrong = not worst_error < rule.limit  # nan is wrong
            self._errors.append((wrong, mean_error))
            self.wrong += wrong
            self._sum += mean_error
            if len(self._errors) > rule.window:
                was_wrong, was = self._errors.popleft()
                self.wrong -= was_wrong
                self._sum -= was
            if len(self._errors) == rule.window and self.wrong <= rule.spared:
                self._sum = sum(error for _, error in self._errors)  # the running sum has rounding errors
                if rule.mean is None or self.mean < rule.mean:
                    return True
        return False


@dataclass(slots=True)
class HeldOut:
    """Fixed sequences are right, looked at from time to time.

    Args:
        size: how many sequences are drawn for it.
        limit: a sequence is wrong when its largest absolute error reaches this.
        mean: the mean absolute error over them must lie below this; None: any.
        spared: so many of them may be wrong.
        every: training sequences between two looks.
    """

    size: int
    limit: float
    mean: float | None = None
    spared: int = 0
    every: int = 100

    def __str__(self) -> str:
        mean = f", mean error < {self.mean:g}" if self.mean is not None else ""
        wrong = f"at most {self.spared}" if self.spared else "none"
        return f"{wrong} of {self.size} held-out sequences with an error of {self.limit:g} or more{mean}"

    def met(self, worst: list[float], mean: list[float]) -> bool:
        """Say whether errors of the held-out sequences meet the rule."""
        wrong = sum(not error < self.limit for error in worst)
        return wrong <= self.spared and (self.mean is None or sum(mean) / len(mean) < self.mean)

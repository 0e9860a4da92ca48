"""What a decoder answers for one line."""

from dataclasses import dataclass, field


@dataclass(slots=True, frozen=True)
class Span:
    """One decoded symbol.

    Attributes:
        label: its label id.
        start: first frame in which it is the answer.
        end: one past the last such frame.
        confidence: probability in [0, 1].
    """

    label: int
    start: int
    end: int
    confidence: float


@dataclass(slots=True, frozen=True)
class Hypothesis:
    """One reading of a line.

    Attributes:
        spans: its symbols in order.
        score: natural logarithm of its probability, as the decoder sees it.
        alternatives: other readings, best first, without alternatives of their own; empty if the decoder keeps one.
    """

    spans: list[Span] = field(default_factory=list)
    score: float = 0.0
    alternatives: list["Hypothesis"] = field(default_factory=list)

    @property
    def labels(self) -> list[int]:
        """Label ids in order."""
        return [span.label for span in self.spans]

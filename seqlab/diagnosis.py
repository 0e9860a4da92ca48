"""What the doctor found: faults of lines, and a page about them for a person."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from seqlab.files import write_lines
from seqlab.manifest import Line

Severity = Literal["error", "warning"]
SHOWN = 5  # lines named per kind of fault in the summary


@dataclass(slots=True)
class Fault:
    """One fault of one line. An error makes the line useless, a warning does not."""

    split: str
    id: str
    where: str
    kind: str
    severity: Severity
    message: str


@dataclass(slots=True)
class Diagnosis:
    """All faults found.

    Attributes:
        faults: in the order of the manifests.
        lines: lines examined per split.
        amounts: how much there is per split: seconds of audio, columns of images, points of ink, frames of arrays.
        unit: of the amounts; "s" is seconds.
        advice: cures that concern the whole corpus.
    """

    faults: list[Fault] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, float] = field(default_factory=dict)
    unit: str = "s"
    advice: list[str] = field(default_factory=list)

    def unusable(self, split: str) -> set[str]:
        """Return the places ("file:line") of a split's lines that have an error."""
        return {f.where for f in self.faults if f.split == split and f.severity == "error"}

    def count(self, severity: Severity) -> int:
        """Return the number of faults of a severity."""
        return sum(f.severity == severity for f in self.faults)

    def summary(self) -> str:
        """Return a page for a person: totals, each kind of fault with its first lines, advice."""
        rows = [
            f"{split}: {self.lines[split]} lines, {amount(self.amounts[split], self.unit)}, "
            f"{len(self.unusable(split))} unusable"
            for split in self.lines
        ]
        groups: dict[tuple[str, str, str], list[Fault]] = defaultdict(list)
        for one in self.faults:
            groups[one.severity, one.kind, one.split].append(one)
        for (severity, kind, split), faults in sorted(groups.items()):
            rows.append(f"{severity}: {kind}: {len(faults)} in {split}")
            rows += [f"    {f.where} {f.id}: {f.message}" for f in faults[:SHOWN]]
            if len(faults) > SHOWN:
                rows.append(f"    ... and {len(faults) - SHOWN} more")
        rows += [f"advice: {text}" for text in self.advice]
        if not self.faults:
            rows.append("no faults found")
        return "\n".join(rows)

    def write(self, path: Path) -> None:
        """Write every fault as one JSON line."""
        write_lines(path, (json.dumps(asdict(f), ensure_ascii=False) for f in self.faults))


def fault(split: str, line: Line, kind: str, severity: Severity, message: str) -> Fault:
    """Make a fault of a line."""
    return Fault(split, line.id, line.where, kind, severity, message)


def amount(value: float, unit: str) -> str:
    """Say how much there is: hours of audio, or a count."""
    return f"{value / 3600:.2f} h" if unit == "s" else f"{value:,.0f} {unit}"

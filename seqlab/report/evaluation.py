"""Evaluation: everything that a report is made from."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seqlab.scoring import Reliability, Score, matches, reliability, score_lines

Kind = Literal["audio", "image", "strokes", "features"]


@dataclass(slots=True)
class EvaluatedLine:
    """One recognised line beside its reference.

    Attributes:
        id: as in the manifest.
        speaker: speaker or writer, or None if unknown.
        reference: what was said or written.
        hypothesis: what was recognised.
        duration_s: seconds of audio, or None if unknown or not audio.
        word_confidences: of each word of the hypothesis, in [0, 1], or None if unknown.
    """

    id: str
    speaker: str | None
    reference: str
    hypothesis: str
    duration_s: float | None = None
    word_confidences: list[float] | None = None

    @property
    def words_correct(self) -> list[bool]:
        """Whether each word of the hypothesis is right, as aligned with the fewest errors."""
        return matches(self.reference.split(), self.hypothesis.split())


@dataclass(slots=True)
class Evaluation:
    """One model with one decoder on one set of lines.

    Attributes:
        name: title of the report.
        rows: the lines, at least one.
        seconds: wall time from files to text, or None if it was not measured.
        model: what is known of the model, such as name, parameters, checkpoint and a summary of its configuration.
        data: one dict per manifest: path, sha256, lines.
        decoder: the decoder and its settings, in words.
        peakiness: how peaky the model's output is: ``blank`` share of frames, ``frames_per_symbol``, ``entropy`` per
            frame in nats, share of ``sure`` frames (above 0.99); empty if it was not measured.
        metrics_csv: metrics.csv of the training run, or None.
        rules: rules of normalisation and scoring beyond those of :mod:`seqlab.scoring`.
        kind: what the lines were recognised from; a report of images or strokes speaks of writers, not of speakers.
        pictures: data URIs of images (:mod:`seqlab.report.pictures`) by line id. The page shows those of the lines
            that :func:`seqlab.report.worst_lines` gives, so no others need to be there.
    """

    name: str
    rows: list[EvaluatedLine]
    seconds: float | None = None
    model: dict[str, Any] = field(default_factory=dict)
    data: list[dict[str, Any]] = field(default_factory=list)
    decoder: str = ""
    peakiness: dict[str, float] = field(default_factory=dict)
    metrics_csv: Path | None = None
    rules: list[str] = field(default_factory=list)
    kind: Kind = "audio"
    pictures: dict[str, str] = field(default_factory=dict)

    @property
    def person(self) -> str:
        """The word for who made a line: "writer" or "speaker"."""
        return "writer" if self.kind in ("image", "strokes") else "speaker"

    @property
    def audio_seconds(self) -> float | None:
        """Seconds of audio of all lines, or None if any line's duration is unknown or the lines are not audio."""
        if self.kind != "audio":
            return None
        durations = [row.duration_s for row in self.rows if row.duration_s is not None]
        return math.fsum(durations) if durations and len(durations) == len(self.rows) else None

    @property
    def real_time_factor(self) -> float | None:
        """Decoding time per second of audio, or None if either is unknown."""
        return self.seconds / self.audio_seconds if self.seconds is not None and self.audio_seconds else None

    def calibration(self) -> Reliability | None:
        """Compare the confidences of words with what came true; None where no line has any."""
        rows = [row for row in self.rows if row.word_confidences]
        return reliability(
            [p for row in rows for p in row.word_confidences or ()],
            [right for row in rows for right in row.words_correct],
        )

    def score(self) -> Score:
        """Score the rows."""
        return score_lines(
            [row.id for row in self.rows],
            [row.reference for row in self.rows],
            [row.hypothesis for row in self.rows],
            speakers=[row.speaker for row in self.rows],
        )

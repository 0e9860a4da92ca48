"""Evaluation: everything that a report is made from."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqlab.scoring import LineScore, Reliability, Score, reliability, score_lines

Kind = Literal["audio", "image", "strokes", "features"]

MEASURES = {  # name -> what it is, and its unit
    "level_db": ("Level of the recording", "dBFS"),
    "range_db": ("Loud above quiet frames", "dB"),
    "height_px": ("Height of the image", "px"),
    "contrast": ("Contrast of ink and paper", "of 1"),
}


@dataclass(slots=True)
class Exhibit:
    """How the model read one line, shown beside its text.

    Attributes:
        symbols: (text, start, end) of what was decoded, as shares of the recording's length or the picture's width.
        posteriors: what :func:`seqlab.report.exhibits.pack` returns, or None.
    """

    symbols: list[tuple[str, float, float]]
    posteriors: dict[str, Any] | None = None


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
        word_places: [start, end] in seconds of each word of the hypothesis, or None if unknown or not audio.
        measures: what was measured of the signal, by the names in :data:`MEASURES`.
        groups: what else is known of the line and may divide lines, such as {"subset": "other"}.
    """

    id: str
    speaker: str | None
    reference: str
    hypothesis: str
    duration_s: float | None = None
    word_confidences: list[float] | None = None
    word_places: list[list[float]] | None = None
    measures: dict[str, float] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def words_correct(self, line: LineScore) -> list[bool]:
        """Return whether each word of the hypothesis is right, by the alignment of the line's score."""
        right = [True] * line.word_errors.dest_len
        for error in line.word_errors:
            if error.tag != "delete":
                right[error.dest_pos] = False
        return right


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
        media: pictures or recordings by line id: data URIs (:mod:`seqlab.report.exhibits`) of the lines that
            :func:`seqlab.report.worst_lines` gives, and relative links ("./..." or "../...") to files of others.
        exhibits: how the model read the worst lines, by line id.
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
    media: dict[str, str] = field(default_factory=dict)
    exhibits: dict[str, Exhibit] = field(default_factory=dict)

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

    def calibration(self, score: Score) -> Reliability | None:
        """Compare the confidences of words with what came true; None where no line has any.

        Args:
            score: of the rows, for their alignments.
        """
        rows = [(row, line) for row, line in zip(self.rows, score.per_line, strict=True) if row.word_confidences]
        return reliability(
            np.fromiter((p for row, _ in rows for p in row.word_confidences or ()), dtype=np.float64),
            np.fromiter((right for row, line in rows for right in row.words_correct(line)), dtype=np.bool_),
        )

    def score(self) -> Score:
        """Score the rows."""
        return score_lines(
            [row.id for row in self.rows],
            [row.reference for row in self.rows],
            [row.hypothesis for row in self.rows],
            speakers=[row.speaker for row in self.rows],
        )

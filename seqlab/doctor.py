"""The data doctor: faults of manifest lines, found before they cost a training, each with its cure."""

import json
import logging
import os
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from seqlab.ctc.feasibility import required_frames
from seqlab.errors import DataError
from seqlab.files import write_lines
from seqlab.manifest import Line, used_seconds
from seqlab.media import AudioInfo, audio_info, read_line
from seqlab.model import CTCModel

logger = logging.getLogger(__name__)

Severity = Literal["error", "warning"]
TRAINED = ("train", "rejoin_from")  # parts that are trained on; faults of others are warnings
SHOWN = 5  # lines named per kind of fault in the summary

CLIPPED_SHARE = 0.001  # of samples at full scale
SILENT_RMS = 1e-4  # -80 dB below full scale
LENGTH_TOLERANCE = (0.05, 0.02)  # seconds, share


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
        seconds: audio per split.
        advice: cures that concern the whole corpus.
    """

    faults: list[Fault] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
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
            f"{split}: {self.lines[split]} lines, {self.seconds[split] / 3600:.2f} h, "
            f"{len(self.unusable(split))} unusable"
            for split in self.lines
        ]
        groups: dict[tuple[str, str, str], list[Fault]] = defaultdict(list)
        for fault in self.faults:
            groups[fault.severity, fault.kind, fault.split].append(fault)
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
        write_lines(path, (json.dumps(asdict(fault), ensure_ascii=False) for fault in self.faults))


def examine(
    splits: Mapping[str, Sequence[Line]],
    tokenizer: Any,
    model: CTCModel,
    listen: int | None = None,
    console: Console | None = None,
) -> Diagnosis:
    """Examine the lines of all splits; sets ``duration_s`` of lines to what their files hold.

    Args:
        splits: lines by name; "train" and "rejoin_from" are held to the alphabet, the others are only warned about.
        tokenizer: with its alphabet.
        model: tells rate, frames and stride; its weights do not matter.
        listen: lines per split whose audio is decoded (clipping, silence, broken data); null listens to all.
        console: where a progress bar goes, if anywhere.
    """
    diagnosis = Diagnosis()
    headers: dict[Path, AudioInfo | str] = {}
    for split, lines in splits.items():
        diagnosis.lines[split] = len(lines)
        heard = list(lines) if listen is None else random.Random(0).sample(list(lines), min(listen, len(lines)))
        sound: dict[str, Sequence[Fault]] = {}
        for line in track(heard, f"listening to {split}", console=console, transient=True, disable=console is None):
            sound[line.where] = _listen(split, line, model.sample_rate)
        for line in lines:
            faults = _text_faults(split, line, tokenizer)
            file_faults = _file_faults(split, line, headers)
            faults += file_faults
            if not any(f.severity == "error" for f in file_faults):
                faults += sound.get(line.where, [])
                faults += _frame_faults(split, line, tokenizer, model)
            diagnosis.faults += faults
        diagnosis.seconds[split] = sum(line.duration_s or 0.0 for line in lines)
        diagnosis.faults += _outliers(split, lines)
    diagnosis.faults += _shared(splits)
    diagnosis.advice += _advice(diagnosis, splits, tokenizer, model)
    return diagnosis


def _fault(split: str, line: Line, kind: str, severity: Severity, message: str) -> Fault:
    return Fault(split, line.id, line.where, kind, severity, message)


def _text_faults(split: str, line: Line, tokenizer: Any) -> list[Fault]:
    text = tokenizer.normalize(line.text)
    training: Severity = "error" if split in TRAINED else "warning"
    if not text:
        return [_fault(split, line, "empty text", training, "the transcript is empty; write it or remove the line")]
    unknown = tokenizer.unknown(text)
    if not unknown:
        return []
    shown = " ".join(map(repr, unknown))
    if all(c.swapcase() in tokenizer.symbols for c in unknown):
        return [_fault(split, line, "wrong case", training, f"{shown} stand in the alphabet in the other case")]
    return [_fault(split, line, "unknown characters", training, f"{shown} are not in the alphabet")]


def _file_faults(split: str, line: Line, headers: dict[Path, AudioInfo | str]) -> list[Fault]:
    durations, rate = [], None
    for path in line.files:
        if path not in headers:
            try:
                headers[path] = audio_info(path)
            except (DataError, OSError) as error:
                headers[path] = str(error)
        info = headers[path]
        if isinstance(info, str):
            kind = "unreadable file" if path.exists() else "missing file"
            return [_fault(split, line, kind, "error", info)]
        durations.append(info.duration)
        rate = info.sample_rate
    total = used_seconds(line, durations)
    faults = []
    if line.duration_s is not None and abs(line.duration_s - total) > max(
        LENGTH_TOLERANCE[0], LENGTH_TOLERANCE[1] * total
    ):
        message = f"duration_s says {line.duration_s:.2f} s, the audio has {total:.2f} s; the audio counts"
        faults.append(_fault(split, line, "wrong length", "warning", message))
    if line.sample_rate is not None and rate is not None and line.sample_rate != rate:
        message = f"sample_rate says {line.sample_rate} Hz, the audio has {rate} Hz; the audio counts"
        faults.append(_fault(split, line, "wrong sample rate", "warning", message))
    line.duration_s = total
    return faults


def _frame_faults(split: str, line: Line, tokenizer: Any, model: CTCModel) -> list[Fault]:
    samples = torch.tensor([round((line.duration_s or 0.0) * model.sample_rate)])
    frames = int(model.num_frames(samples))
    labels = tokenizer.encode(line.text, skip_unknown=True)
    needed = max(required_frames(labels), 1)
    if frames >= needed:
        return []
    stride = _largest_stride(samples, needed, model)
    cure = f"a stem stride of {stride} would do" if stride else "too short for its text at any stride: wrong text?"
    repeats = needed - len(labels) if labels else 0
    message = f"{len(labels)} labels with {repeats} repeats need {needed} frames, got {frames}; {cure}"
    return [_fault(split, line, "too few frames", "error" if split in TRAINED else "warning", message)]


def _largest_stride(samples: torch.Tensor, needed: int, model: CTCModel) -> int:
    return int(model.frontend.num_frames(samples).clamp(min=0)) // needed


def _listen(split: str, line: Line, rate: int) -> Sequence[Fault]:
    try:
        audio, _ = read_line(line, None)
    except (DataError, OSError) as error:
        return [_fault(split, line, "unreadable file", "error", str(error))]
    peak = float(np.abs(audio).max()) if len(audio) else 0.0
    rms = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
    clipped = float(np.mean(np.abs(audio) >= 0.999)) if len(audio) else 0.0
    if rms < SILENT_RMS:
        message = f"RMS {rms:.1e} of full scale: nothing to hear; remove the line or check the recording"
        return [_fault(split, line, "silence", "warning", message)]
    if clipped > CLIPPED_SHARE and peak >= 0.999:
        message = f"{100 * clipped:.1f} % of the samples are at full scale: recorded too loud"
        return [_fault(split, line, "clipping", "warning", message)]
    return []


def _outliers(split: str, lines: Sequence[Line]) -> list[Fault]:
    """Warn of lines far longer than the others, or with far more or fewer characters per second."""
    known = [line for line in lines if line.duration_s and line.text]
    if len(known) < 20:
        return []
    faults = []
    median = statistics.median(line.duration_s or 0.0 for line in known)
    pace = {line.id: len(line.text) / (line.duration_s or 1.0) for line in known}
    middle = statistics.median(pace.values())
    for line in known:
        if (line.duration_s or 0.0) > max(10 * median, 30.0):
            message = f"{line.duration_s:.1f} s, {(line.duration_s or 0) / median:.0f} times the median; cut it?"
            faults.append(_fault(split, line, "very long", "warning", message))
        if not middle / 5 <= pace[line.id] <= middle * 5:
            message = f"{pace[line.id]:.1f} characters/s where {middle:.1f} is usual: does the text belong to it?"
            faults.append(_fault(split, line, "unusual pace", "warning", message))
    return faults


def _shared(splits: Mapping[str, Sequence[Line]]) -> list[Fault]:
    """Warn of ids and files that stand in a part that is trained on and in another."""
    ids = {line.id for line in splits.get("train", [])}
    real = lru_cache(maxsize=None)(os.path.realpath)  # one file may be spelt in many ways
    files = {real(path) for split in TRAINED for line in splits.get(split, []) for path in line.files}
    faults = []
    for split, lines in splits.items():
        if split in TRAINED:
            continue
        for line in lines:
            if shared := [str(p) for p in line.files if real(p) in files]:
                message = f"{shared[0]} is trained on as well: its error rate will flatter"
                faults.append(_fault(split, line, "file also in train", "warning", message))
            elif line.id in ids:
                message = "the same id stands in train; is it the same line?"
                faults.append(_fault(split, line, "id also in train", "warning", message))
    return faults


def _advice(diagnosis: Diagnosis, splits: Mapping[str, Sequence[Line]], tokenizer: Any, model: CTCModel) -> list[str]:
    kinds = Counter(f.kind for f in diagnosis.faults)
    advice = []
    if kinds["too few frames"]:
        strides = []
        for line in splits.get("train", []):
            samples = torch.tensor([round((line.duration_s or 0.0) * model.sample_rate)])
            needed = required_frames(tokenizer.encode(line.text, skip_unknown=True))
            if needed and line.duration_s:
                strides.append(_largest_stride(samples, needed, model))
        fits = [s for s in strides if s > 0]
        if fits:
            advice.append(f"the largest stem stride that fits every line that can fit is {min(fits)}")
    if kinds["wrong case"]:
        letters = [s for s in tokenizer.symbols[1:] if s.isalpha()]
        case = "upper" if letters and all(c.isupper() for c in letters) else "lower"
        advice.append(f"text and alphabet differ in case: set tokenizer.case={case}")
    return advice

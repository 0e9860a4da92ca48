"""The data doctor: faults of manifest lines, found before they cost a training, each with its cure."""

import logging
import os
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from seqlab.ctc.feasibility import required_frames
from seqlab.data.sources import source_of
from seqlab.diagnosis import Diagnosis, Fault, Severity, fault
from seqlab.manifest import Line
from seqlab.media import AudioInfo
from seqlab.media_faults import content_faults, file_faults
from seqlab.model import CTCModel

logger = logging.getLogger(__name__)

TRAINED = ("train", "rejoin_from")  # parts that are trained on; faults of others are warnings


def examine(
    splits: Mapping[str, Sequence[Line]],
    tokenizer: Any,
    model: CTCModel,
    listen: int | None = None,
    console: Console | None = None,
) -> Diagnosis:
    """Examine the lines of all splits; sets the lengths of lines to what their files hold.

    Args:
        splits: lines by name; "train" and "rejoin_from" are held to the alphabet, the others are only warned about.
        tokenizer: with its alphabet.
        model: tells rate, frames and stride; its weights do not matter.
        listen: lines per split that are read whole (clipping, silence, blank or broken data); null reads all.
        console: where a progress bar goes, if anywhere.
    """
    source = source_of(model.frontend)
    diagnosis = Diagnosis(unit=source.unit)
    headers: dict[Path, AudioInfo | str] = {}
    sizes: dict[str, int] = {}  # samples of lines that can be read, by place
    for split, lines in splits.items():
        diagnosis.lines[split] = len(lines)
        heard = list(lines) if listen is None else random.Random(0).sample(list(lines), min(listen, len(lines)))
        sound: dict[str, Sequence[Fault]] = {}
        for line in track(heard, f"looking at {split}", console=console, transient=True, disable=console is None):
            sound[line.where] = content_faults(split, line, source) if line.kind == source.kind else []
        for line in lines:
            faults = _text_faults(split, line, tokenizer)
            of_files = file_faults(split, line, source, headers)
            faults += of_files
            if not any(f.severity == "error" for f in [*of_files, *sound.get(line.where, [])]):
                sizes[line.where] = source.size(line)
                faults += _frame_faults(split, line, sizes[line.where], tokenizer, model)
            if not any(f.severity == "error" for f in of_files):
                faults += sound.get(line.where, [])
            diagnosis.faults += faults
        diagnosis.amounts[split] = sum(sizes.get(line.where, 0) for line in lines) / model.sample_rate
        diagnosis.faults += _outliers(split, lines, sizes, model)
    diagnosis.faults += _shared(splits)
    diagnosis.advice += _advice(diagnosis, splits, sizes, tokenizer, model)
    return diagnosis


def _text_faults(split: str, line: Line, tokenizer: Any) -> list[Fault]:
    text = tokenizer.normalize(line.text)
    training: Severity = "error" if split in TRAINED else "warning"
    if not text:
        return [fault(split, line, "empty text", training, "the transcript is empty; write it or remove the line")]
    unknown = tokenizer.unknown(text)
    if not unknown:
        return []
    shown = " ".join(map(repr, unknown))
    if all(c.swapcase() in tokenizer.symbols for c in unknown):
        return [fault(split, line, "wrong case", training, f"{shown} stand in the alphabet in the other case")]
    return [fault(split, line, "unknown characters", training, f"{shown} are not in the alphabet")]


def _frame_faults(split: str, line: Line, size: int, tokenizer: Any, model: CTCModel) -> list[Fault]:
    samples = torch.tensor([size])
    frames = int(model.num_frames(samples))
    labels = tokenizer.encode(line.text, skip_unknown=True)
    needed = max(required_frames(labels), 1)
    if frames >= needed:
        return []
    stride = _largest_stride(samples, needed, model)
    cure = f"a stem stride of {stride} would do" if stride else "too short for its text at any stride: wrong text?"
    repeats = needed - len(labels) if labels else 0
    message = f"{len(labels)} labels with {repeats} repeats need {needed} frames, got {frames}; {cure}"
    return [fault(split, line, "too few frames", "error" if split in TRAINED else "warning", message)]


def _largest_stride(samples: torch.Tensor, needed: int, model: CTCModel) -> int:
    return int(model.frontend.num_frames(samples).clamp(min=0)) // needed


def _outliers(split: str, lines: Sequence[Line], sizes: Mapping[str, int], model: CTCModel) -> list[Fault]:
    """Warn of lines far longer than the others, or with far more or fewer characters for their length."""
    lengths = {x.where: sizes[x.where] / model.sample_rate for x in lines if sizes.get(x.where) and x.text}
    known = [line for line in lines if line.where in lengths]
    if len(known) < 20:
        return []
    seconds = model.frontend.kind == "audio"
    faults = []
    median = statistics.median(lengths.values())
    pace = {line.where: len(line.text) / lengths[line.where] for line in known}
    middle = statistics.median(pace.values())
    for line in known:
        length = lengths[line.where]
        if length > max(10 * median, 30.0 if seconds else 0.0):
            shown = f"{length:.1f} s" if seconds else f"{length:.0f} frames"
            faults.append(
                fault(split, line, "very long", "warning", f"{shown}, {length / median:.0f} times the median")
            )
        if not middle / 5 <= pace[line.where] <= middle * 5:
            unit, scale = ("second", 1) if seconds else ("100 columns or points", 100)
            message = f"{scale * pace[line.where]:.1f} characters per {unit} where {scale * middle:.1f} is usual"
            faults.append(fault(split, line, "unusual pace", "warning", message + ": does the text belong to it?"))
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
                faults.append(fault(split, line, "file also in train", "warning", message))
            elif line.id in ids:
                message = "the same id stands in train; is it the same line?"
                faults.append(fault(split, line, "id also in train", "warning", message))
    return faults


def _advice(
    diagnosis: Diagnosis,
    splits: Mapping[str, Sequence[Line]],
    sizes: Mapping[str, int],
    tokenizer: Any,
    model: CTCModel,
) -> list[str]:
    kinds = Counter(f.kind for f in diagnosis.faults)
    advice = []
    if kinds["too few frames"]:
        strides = []
        for line in splits.get("train", []):
            needed = required_frames(tokenizer.encode(line.text, skip_unknown=True))
            if needed and sizes.get(line.where):
                strides.append(_largest_stride(torch.tensor([sizes[line.where]]), needed, model))
        fits = [s for s in strides if s > 0]
        if fits:
            advice.append(f"the largest stem stride that fits every line that can fit is {min(fits)}")
    if kinds["wrong case"]:
        letters = [s for s in tokenizer.symbols[1:] if s.isalpha()]
        case = "upper" if letters and all(c.isupper() for c in letters) else "lower"
        advice.append(f"text and alphabet differ in case: set tokenizer.case={case}")
    return advice

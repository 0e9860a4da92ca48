"""seqlab evaluate: decode a test part, count errors, write the report."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from seqlab.batch import pad
from seqlab.config import Config, build
from seqlab.ctc.confidence import word_ranges
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.ctc.peakiness import Peakiness, peakiness
from seqlab.data.sampler import cut_batches
from seqlab.data.sources import check_kind
from seqlab.decoding import run_folder
from seqlab.errors import ConfigError, DataError
from seqlab.manifest import Line, check_manifest, read_manifest
from seqlab.media import read_image
from seqlab.outputs.text import one_line
from seqlab.recognizer import Recognizer, samples_per_second
from seqlab.report import EvaluatedLine, Evaluation, Exhibit, image_uri, ink_uri, sound_uri, worst_lines, write_report
from seqlab.report.embed import listed
from seqlab.report.exhibits import MOST_BYTES, image_measures, link, pack, sound_measures
from seqlab.report.headline import headline
from seqlab.report.pictures import ink_share
from seqlab.report.write import check_folder
from seqlab.scoring import Score
from seqlab.scoring.normalization import Normalization
from seqlab.signals import Signal

MOST_GROUPS = 30  # values of a field of the manifest by which lines are divided


def evaluate(config: Config, console: Console) -> list[dict[str, Path]]:
    """Evaluate a model on one or several manifests; returns the files written for each."""
    rules: Normalization = build(config["scoring"], "scoring") if config.get("scoring") else Normalization()
    where = config["model"], config["device"], config.get("decoder"), config["backend"]
    recognizer = Recognizer.load(*where, config.get("vocal_tracts") or ())
    recognizer.use_threads(config["threads"])
    manifests = config["manifest"] or (recognizer.config.get("corpus") or {}).get("test")
    if not manifests:
        raise ConfigError("manifest: the model's corpus names no test part; give manifest=...jsonl")
    manifests = [manifests] if isinstance(manifests, str) else list(manifests)
    if config["out"] and len(manifests) > 1:
        outs = [Path(config["out"]) / Path(m).stem for m in manifests]
    elif config["out"]:
        outs = [Path(config["out"])]
    else:
        kind = "" if config["backend"] == "torch" else f"-{config['backend']}"
        outs = [run_folder(Path(config["model"])) / "evaluate" / f"{Path(m).stem}{kind}" for m in manifests]
    if len(set(outs)) < len(outs):
        outs = [out.with_name(f"{out.name}-{number}") for number, out in enumerate(outs, 1)]
    for out in outs:
        check_folder(out)
    written = []
    for manifest, out in zip(manifests, outs, strict=True):
        lines = read_manifest(manifest)
        evaluation = decode(recognizer, lines, config["batch_seconds"], console, rules)
        evaluation.name = f"{recognizer.config.get('name', 'model')} on {Path(manifest).name}"
        digest = hashlib.sha256(check_manifest(manifest).read_bytes()).hexdigest()
        evaluation.data = [{"path": manifest, "sha256": digest, "lines": len(lines)}]
        metrics = run_folder(Path(config["model"])) / "metrics.csv"
        evaluation.metrics_csv = metrics if metrics.exists() else None
        score = evaluation.score()
        _exhibit(recognizer, lines, evaluation, score, out)
        files = write_report(out, evaluation, score)
        changed = "".join(f"\n{one_line(rule)}" for rule in rules.rules if rules.changes)
        text = headline(evaluation, score) + changed + f"\nreport: {files['report.html']}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        written.append(files)
    return written


def _exhibit(recognizer: Recognizer, lines: list[Line], evaluation: Evaluation, score: Score, out: Path) -> None:
    """Put pictures or recordings into the report, and of the worst lines how they were read.

    The worst lines are embedded, others are links to their files; those that are no file that a browser shows (parts of
    recordings, ink) are embedded too, the higher error rate first, as long as there is room.
    """
    for line in lines:
        if len(line.files) == 1 and not line.spans and (address := link(line.files[0], out, recognizer.kind)):
            evaluation.media[line.id] = address
    room = MOST_BYTES
    worst = [shown.number for shown in worst_lines(evaluation.rows, score)]  # fifty at most
    for number in worst:
        line = lines[number]
        signal = _open(recognizer, line)
        address = _embedded(recognizer, line)
        if address and len(address) <= room:
            room -= len(address)
            evaluation.media[line.id] = address
        evaluation.exhibits[line.id] = _read(recognizer, line, signal)
    for number in listed(score):
        line = lines[number]
        if number in worst or line.id in evaluation.media:
            continue
        address = _embedded(recognizer, line)
        if not address or len(address) > room:
            break
        room -= len(address)
        evaluation.media[line.id] = address


def _open(recognizer: Recognizer, line: Line) -> Signal:
    """Read a line as the model takes it, with the places of its samples."""
    if recognizer.kind in ("audio", "strokes"):  # joined recordings and ink in the manifest are no files
        return recognizer.open(recognizer.source.read(line))
    return recognizer.open(line.files[0])


def _embedded(recognizer: Recognizer, line: Line) -> str | None:
    """Return a line as a data URI: its sound, the image as it came, or the ink drawn; nothing for arrays."""
    if recognizer.kind == "audio":
        return sound_uri(recognizer.source.read(line), int(recognizer.model.sample_rate))
    if recognizer.kind == "image":
        return image_uri(read_image(line.files[0]))
    return ink_uri(recognizer.source.read(line)) if recognizer.kind == "strokes" else None


def _read(recognizer: Recognizer, line: Line, signal: Signal) -> Exhibit:
    """Return how the model reads a line: its symbols and their places, and its posteriors."""
    emission = recognizer.emissions([signal.samples])[0]
    spans, extent = recognizer.decode([emission])[0].spans, max(signal.extent, 1e-9)
    places = [recognizer.place("", span.start, span.end, 0, signal) for span in spans]
    shares = [(place.start / extent, place.end / extent) for place in places]
    scale = recognizer.model.frame_shift * recognizer.model.sample_rate * signal.step
    ends = (signal.offset / extent, (len(emission) * scale + signal.offset) / extent)
    if recognizer.kind == "strokes":
        ends = (0.0, 1.0)  # an axis of frames: where they lie on the ink is told by its characters
        shares = [ink_share(recognizer.source.read(line), place.start, place.end) for place in places]
    symbols = recognizer.tokenizer.symbols
    return Exhibit(
        [(symbols[s.label], round(a, 4), round(b, 4)) for s, (a, b) in zip(spans, shares, strict=True)],
        pack(emission.exp().numpy(), symbols, ends) if len(emission) else None,
    )


def read_batches(
    recognizer: Recognizer, lines: list[Line], batch_seconds: float, console: Console, doing: str = "decoding"
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Yield the lines of a manifest in batches of like length: their indices and their signals.

    Raises:
        DataError: a recording is missing or not readable; an error rate over fewer lines than the manifest has would
            not be comparable.
    """
    source = recognizer.source
    check_kind(lines, source.kind)
    faults = []
    sizes = np.zeros(len(lines), dtype=np.int64)
    for i, line in enumerate(lines):
        try:
            sizes[i] = source.size(line)
        except (DataError, OSError) as error:
            faults.append(f"{line.where} {line.id}: {error}")
    if faults:
        raise DataError(_list(faults))
    budget = round(batch_seconds * samples_per_second(recognizer))
    batches = cut_batches(np.argsort(sizes, kind="stable").tolist(), sizes, budget, 256)
    for batch in track(batches, doing, console=console, transient=True, disable=not console.is_terminal):
        signals = []
        for i in batch:
            try:
                signals.append(source.signal(source.read(lines[i])))
            except (DataError, OSError) as error:
                faults.append(f"{lines[i].where} {lines[i].id}: {error}")
        if not faults:  # after the first the others are only read, so that all faults are named at once
            yield batch, signals
    if faults:
        raise DataError(_list(faults))


def decode(
    recognizer: Recognizer,
    lines: list[Line],
    batch_seconds: float,
    console: Console,
    rules: Normalization | None = None,
) -> Evaluation:
    """Recognise the lines of a manifest; what is scored of either side is normalised by the rules.

    Raises:
        DataError: as ``read_batches``.
    """
    flat = torch.zeros(1, len(recognizer.tokenizer.symbols)).log_softmax(1)
    recognizer.decode([flat])  # what a decoder compiles when it is first used is no part of the time
    begun = time.perf_counter()
    rules = rules or Normalization()
    source, normalize, scored = recognizer.source, recognizer.tokenizer.normalize, recognizer.tokenizer.scored
    texts: list[str] = [""] * len(lines)
    lengths: list[float] = [0.0] * len(lines)
    confidences: list[list[float] | None] = [None] * len(lines)
    places: list[list[list[float]] | None] = [None] * len(lines)
    measures: list[dict[str, float]] = [{} for _ in lines]
    peaks = Peakiness()
    for batch, signals in read_batches(recognizer, lines, batch_seconds, console):
        emissions = recognizer.emissions(signals)
        peaks += peakiness(*pad(emissions))
        for i, signal, hypothesis in zip(batch, signals, recognizer.decode(emissions), strict=True):
            plain = recognizer.tokenizer.decode(hypothesis.labels)
            texts[i] = rules(scored(plain))
            lengths[i] = len(signal) / recognizer.model.sample_rate
            sure = [round(p, 6) for p in recognizer.confidence.words(hypothesis)]
            words = [rules(scored(word)).split() for word in plain.split()]
            # not so where the tokenizer has no space that separates words, or a rule reaches across words
            if len(sure) == len(words) and [part for parts in words for part in parts] == texts[i].split():
                confidences[i] = [p for p, scored_as in zip(sure, words, strict=True) for _ in scored_as]
                if source.unit == "s":
                    found = zip(_places(recognizer, hypothesis, signal), words, strict=True)
                    places[i] = [place for place, scored_as in found for _ in scored_as]
            if source.kind == "audio":
                measures[i] = sound_measures(signal, recognizer.model.sample_rate)
    seconds = time.perf_counter() - begun
    if source.kind == "image":
        measures = [image_measures(read_image(line.files[0])) for line in lines]
    groups = _groups(lines)
    rows = [
        EvaluatedLine(
            *(line.id, line.speaker, rules(scored(normalize(line.text))), text),
            duration_s=length if source.unit == "s" else None,
            word_confidences=sure_words,
            word_places=where,
            measures=measured,
            groups={name: str(line.extra[name]) for name in groups},
        )
        for line, text, length, sure_words, where, measured in zip(
            lines, texts, lengths, confidences, places, measures, strict=True
        )
    ]
    tokenizer: dict[str, Any] = recognizer.config["tokenizer"]
    weights = recognizer.model.num_weights
    keys = ("frontend", "normalize", "stem", "encoder", "seed")
    return Evaluation(
        name="",
        kind=source.kind,
        rows=rows,
        seconds=seconds,
        model={
            "name": recognizer.config.get("name"),
            "checkpoint": recognizer.name,
            "parameters": weights,
            "config": {k: recognizer.config.get(k) for k in keys},
        },
        peakiness=peaks.rates(),
        decoder=in_words(recognizer.config["decoder"]) + _heard(recognizer),
        rules=[
            f"references are in the tokenizer's form: Unicode {tokenizer['normalization']}, case {tokenizer['case']}, "
            "white space collapsed" + ("" if rules.changes else "; nothing else is changed on either side"),
            *rules.rules,
        ],
    )


def _heard(recognizer: Recognizer) -> str:
    """Say with which vocal tracts lines are read, if with several."""
    warps = getattr(recognizer.model, "vocal_tracts", ())
    return f", averaged over vocal tracts {', '.join(f'{warp:g}' for warp in warps)}" if warps else ""


def _places(recognizer: Recognizer, hypothesis: Hypothesis, samples: np.ndarray) -> list[list[float]]:
    """Return [start, end] in seconds of each word."""
    rate, tokenizer, spans = recognizer.model.sample_rate, recognizer.tokenizer, hypothesis.spans
    signal = Signal(samples, 1 / rate, len(samples) / rate)
    ranges = word_ranges(spans, tokenizer.space, tokenizer.starts)
    words = [recognizer.place("", spans[r.start].start, spans[r.stop - 1].end, 0, signal) for r in ranges]
    return [[word.start, word.end] for word in words]


def _groups(lines: list[Line]) -> list[str]:
    """Name the further fields of the manifest that divide its lines: in all of them, few values, several lines each."""
    return [
        name
        for name in lines[0].extra
        if all(isinstance(line.extra.get(name), str | int) for line in lines)
        and 2 <= len({str(line.extra[name]) for line in lines}) <= min(MOST_GROUPS, len(lines) // 5)
    ]


def in_words(decoder: dict[str, Any]) -> str:
    """Return a decoder's node as one line: its name and its settings, files without their folders."""
    name = str(decoder["_target_"]).rpartition(".")[2].lower()
    told = {k: v for k, v in decoder.items() if k not in ("_target_", "priors", "threads") and v is not None}
    shown = {
        k: Path(v).name if isinstance(v, str) else f"{len(v)} phrases" if k == "hotwords" else v
        for k, v in told.items()
    }
    return " ".join([name, *(f"{k}={v}" for k, v in shown.items())])


def _list(faults: list[str]) -> str:
    more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
    return f"{len(faults)} line(s) cannot be evaluated:\n" + "\n".join(faults[:20]) + more

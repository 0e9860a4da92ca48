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
from seqlab.config import Config
from seqlab.ctc.peakiness import Peakiness, peakiness
from seqlab.data.sampler import cut_batches
from seqlab.data.sources import check_kind
from seqlab.decoding import run_folder
from seqlab.errors import ConfigError, DataError
from seqlab.manifest import Line, read_manifest
from seqlab.media import read_image
from seqlab.recognizer import Recognizer, samples_per_second
from seqlab.report import EvaluatedLine, Evaluation, image_uri, ink_uri, worst_lines, write_report
from seqlab.report.headline import headline


def evaluate(config: Config, console: Console) -> list[dict[str, Path]]:
    """Evaluate a model on one or several manifests; returns the files written for each."""
    recognizer = Recognizer.load(config["model"], config["device"], config.get("decoder"))
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
        outs = [run_folder(Path(config["model"])) / "evaluate" / Path(m).stem for m in manifests]
    if len(set(outs)) < len(outs):
        outs = [out.with_name(f"{out.name}-{number}") for number, out in enumerate(outs, 1)]
    written = []
    for manifest, out in zip(manifests, outs, strict=True):
        lines = read_manifest(manifest)
        evaluation = decode(recognizer, lines, config["batch_seconds"], console)
        evaluation.name = f"{recognizer.config.get('name', 'model')} on {Path(manifest).name}"
        digest = hashlib.sha256(Path(manifest).read_bytes()).hexdigest()
        evaluation.data = [{"path": manifest, "sha256": digest, "lines": len(lines)}]
        metrics = run_folder(Path(config["model"])) / "metrics.csv"
        evaluation.metrics_csv = metrics if metrics.exists() else None
        score = evaluation.score()
        evaluation.pictures = _pictures(recognizer, lines, [w.row.id for w in worst_lines(evaluation.rows, score)])
        files = write_report(out, evaluation)
        text = headline(evaluation, score) + f"\nreport: {files['report.html']}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        written.append(files)
    return written


def _pictures(recognizer: Recognizer, lines: list[Line], wanted: list[str]) -> dict[str, str]:
    """Return pictures of lines by id: the image as it came, or the ink drawn; none of sound and arrays."""
    by_id = {line.id: line for line in lines}
    if recognizer.kind == "image":
        return {i: image_uri(read_image(by_id[i].files[0])) for i in wanted}
    if recognizer.kind == "strokes":
        return {i: ink_uri(recognizer.source.read(by_id[i])) for i in wanted}
    return {}


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


def decode(recognizer: Recognizer, lines: list[Line], batch_seconds: float, console: Console) -> Evaluation:
    """Recognise the lines of a manifest.

    Raises:
        DataError: as ``read_batches``.
    """
    flat = torch.zeros(1, len(recognizer.tokenizer.symbols)).log_softmax(1)
    recognizer.decode([flat])  # what a decoder compiles when it is first used is no part of the time
    begun = time.perf_counter()
    source, normalize, scored = recognizer.source, recognizer.tokenizer.normalize, recognizer.tokenizer.scored
    texts: list[str] = [""] * len(lines)
    lengths: list[float] = [0.0] * len(lines)
    confidences: list[list[float] | None] = [None] * len(lines)
    peaks = Peakiness()
    for batch, signals in read_batches(recognizer, lines, batch_seconds, console):
        emissions = recognizer.emissions(signals)
        peaks += peakiness(*pad(emissions))
        for i, signal, hypothesis in zip(batch, signals, recognizer.decode(emissions), strict=True):
            texts[i] = scored(recognizer.tokenizer.decode(hypothesis.labels))
            lengths[i] = len(signal) / recognizer.model.sample_rate
            sure = [round(p, 6) for p in recognizer.confidence.words(hypothesis)]
            if len(sure) == len(texts[i].split()):  # not so where the tokenizer has no space that separates words
                confidences[i] = sure
    rows = [
        EvaluatedLine(
            *(line.id, line.speaker, scored(normalize(line.text)), text),
            *(length if source.unit == "s" else None, words),
        )
        for line, text, length, words in zip(lines, texts, lengths, confidences, strict=True)
    ]
    tokenizer: dict[str, Any] = recognizer.config["tokenizer"]
    weights = sum(p.numel() for p in recognizer.model.parameters())
    keys = ("frontend", "normalize", "stem", "encoder", "seed")
    return Evaluation(
        name="",
        kind=source.kind,
        rows=rows,
        seconds=time.perf_counter() - begun,
        model={
            "name": recognizer.config.get("name"),
            "checkpoint": recognizer.name,
            "parameters": weights,
            "config": {k: recognizer.config.get(k) for k in keys},
        },
        peakiness=peaks.rates(),
        decoder=in_words(recognizer.config["decoder"]),
        rules=[
            f"references are in the tokenizer's form: Unicode {tokenizer['normalization']}, case {tokenizer['case']}, "
            "white space collapsed; nothing else is changed on either side"
        ],
    )


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

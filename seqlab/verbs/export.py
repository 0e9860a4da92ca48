"""seqlab export: a run as a model folder, with ONNX graphs if wanted."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from seqlab.checkpoints import find_checkpoint
from seqlab.config import Config
from seqlab.decoding import run_folder
from seqlab.encoders.latency_controlled import LatencyControlled
from seqlab.errors import ConfigError
from seqlab.export.card import write_card
from seqlab.export.compact import quantize
from seqlab.export.folder import GREEDY, new_folder, write_folder
from seqlab.export.graph import TOLERANCE, export_graph, sherpa_faults
from seqlab.export.streaming import check_streams, export_streaming
from seqlab.manifest import read_manifest
from seqlab.onnx_model import FILES, STREAMING, PieceModel
from seqlab.recognizer import Recognizer
from seqlab.scoring import Counts, char_counts
from seqlab.verbs.evaluate import read_batches

# Graphs from the signal and from features; of whole lines, and of pieces.
OUTSIDE = {"onnx": "features.onnx", "int8": "features.int8.onnx"}
OUTSIDE_STREAMING = {"onnx": "streaming.features.onnx", "int8": "streaming.features.int8.onnx"}
BATCH_SECONDS = 60.0
PIECE = 0.04  # seconds of a piece, where streaming graphs are checked


@dataclass(frozen=True)
class Wanted:
    """What is to be written beside the weights.

    Attributes:
        onnx: graphs.
        int8: int8 graphs too.
        inside: a graph from the signal.
        outside: a graph from features.
        streaming: graphs that read piece by piece too.
        check: manifest on which int8 is held against the network, or None.
        max_change: points of CER that int8 may add there.
    """

    onnx: bool = False
    int8: bool = False
    inside: bool = True
    outside: bool = False
    streaming: bool = False
    check: str | None = None
    max_change: float = 0.1


def export(arguments: Sequence[str]) -> int:
    """Run the command line of seqlab export; returns the exit status."""
    parser = argparse.ArgumentParser(
        "seqlab export",
        description="Write a model folder: configuration, weights, symbols, decoder, language model and a model card, "
        "which transcribe, evaluate, align, doctor and tune take as MODEL; with --onnx also a graph that runs without "
        "torch: seqlab transcribe OUT FILE --backend onnx. docs/export.md tells how other programs use it.",
        epilog="example: seqlab export runs/fsdd fsdd --onnx --int8 --check data/fsdd/strings_dev.jsonl",
    )
    parser.add_argument("model", metavar="MODEL", help="run folder, checkpoint, or another model folder")
    parser.add_argument("out", metavar="OUT", help="the folder to write")
    parser.add_argument("--onnx", action="store_true", help="write model.onnx, held against the network")
    parser.add_argument("--int8", action="store_true", help="write model.int8.onnx too: a quarter of the size")
    parser.add_argument(
        "--features",
        choices=["inside", "outside", "both"],
        default="inside",
        help="where features of audio are made: in the graph (model.onnx), or by whoever runs it (features.onnx, which "
        "sherpa-onnx takes); default %(default)s",
    )
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="write streaming.onnx too, which reads piece by piece; for encoder=lstm, look_ahead or latency_controlled",
    )
    parser.add_argument("--check", metavar="MANIFEST", help="compare the CER of int8 and of the network on these lines")
    told = "points of CER that int8 may add there; if it adds more, nothing is written (default %(default)s)"
    parser.add_argument("--max-change", metavar="POINTS", type=float, default=0.1, help=told)
    parser.add_argument("--license", metavar="TEXT", help="the model's licence, for its card, such as cc-by-4.0")
    parser.add_argument("--overwrite", action="store_true", help="replace a model folder")
    given = parser.parse_args(arguments)
    if given.check and not given.int8:
        parser.error("--check compares int8; give --int8")
    if not given.max_change >= 0:
        parser.error("--max-change must be 0 or more")
    wanted = Wanted(
        onnx=given.onnx or given.int8 or given.streaming or given.features != "inside",
        int8=given.int8,
        inside=given.features != "outside",
        outside=given.features != "inside",
        streaming=given.streaming,
        check=given.check,
        max_change=given.max_change,
    )
    if wanted.check and not wanted.inside:
        parser.error("--check needs a graph from the signal; give --features both")
    export_model(given.model, Path(given.out), wanted, Console(emoji=False), given.license, given.overwrite)
    return 0


def export_model(
    model: str, out: Path, wanted: Wanted, console: Console, license: str | None = None, overwrite: bool = False
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        model: run folder, checkpoint or model folder.
        out: the folder to write.
        wanted: which graphs.
        console: for what was written and found.
        license: of the model, for its card.
        overwrite: replace a model folder that stands at ``out``.

    Raises:
        ConfigError: something stands at ``out``, a package is missing, or a graph differs from its network.
    """
    recognizer = Recognizer.load(model, "cpu")
    recognizer.use_threads(1)
    if wanted.streaming:
        check_streams(recognizer.model)  # before the graph of whole lines is written and checked
    with new_folder(out, overwrite) as folder:
        decoding = write_folder(recognizer, model, folder)
        notes = _graphs(recognizer, folder, wanted, console) if wanted.onnx else []
        run = run_folder(find_checkpoint(model))
        write_card(folder, recognizer, run, decoding, notes, license)
        sizes = [f"  {file.name}  {_size(file)}" for file in sorted(folder.iterdir()) if file.is_file()]
    for line in (*notes, f"{out}:", *sizes):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _graphs(recognizer: Recognizer, folder: Path, wanted: Wanted, console: Console) -> list[str]:
    """Write the graphs; returns what is to be said of them."""
    notes: list[str] = []
    model = recognizer.model
    kinds = [(FILES, STREAMING, False)] if wanted.inside else []
    kinds += [(OUTSIDE, OUTSIDE_STREAMING, True)] if wanted.outside else []
    for whole, pieces, outside in kinds:
        # a latency-controlled network has no graph of whole lines: that of pieces reads them too
        by_chunks = wanted.streaming and isinstance(model.encoder, LatencyControlled)
        for names in (pieces,) if by_chunks else (whole, pieces) if wanted.streaming else (whole,):
            file = folder / names["onnx"]
            parity = (export_graph if names is whole else export_streaming)(model, file, outside)
            how = "of 1 to 200 output frames, alone and padded" if names is whole else "cut at random"
            notes.append(
                f"{file.name}: probabilities differ from the network's by {parity.probability:.1e} at most "
                f"({TOLERANCE:g} is allowed), log-probabilities by {parity.log_prob:.1e}, on {parity.lines} lines of "
                f"noise {how}"
            )
            if wanted.int8:
                quantize(file, folder / names["int8"])
                share = (folder / names["int8"]).stat().st_size / file.stat().st_size
                notes.append(f"{names['int8']}: {share:.3f} of the size of {file.name}")
        if outside and not by_chunks:
            faults = sherpa_faults(model)
            what = "; ".join(faults) if faults else "its features are those that sherpa-onnx computes"
            notes.append(f"{whole['onnx']} in sherpa-onnx: {what}")
    if wanted.check:
        notes.append(_check(recognizer, folder, wanted.check, wanted.max_change, console))
    elif wanted.int8:
        notes.append("The error rate of the int8 graph was not measured (--check MANIFEST).")
    return notes


def _check(recognizer: Recognizer, folder: Path, manifest: str, most: float, console: Console) -> str:
    """Compare the character error rates of the network and of its int8 graphs, all by the best path.

    Raises:
        ConfigError: int8 adds more than ``most`` points.
    """
    greedy: Config = GREEDY
    plain = Recognizer.load(folder, "cpu", greedy)
    small = Recognizer.load(folder, "cpu", greedy, "int8")
    ways = {"network": plain.hypotheses, "int8": small.hypotheses}
    if (folder / STREAMING["int8"]).is_file() and not isinstance(small.model, PieceModel):  # which reads so anyway
        ways["int8 by pieces"] = lambda signals: small.decode([_by_pieces(small, signal) for signal in signals])
    lines = read_manifest(manifest)
    normalize, scored, decode = (getattr(recognizer.tokenizer, name) for name in ("normalize", "scored", "decode"))
    sums = dict.fromkeys(ways, Counts())
    for batch, signals in read_batches(plain, lines, BATCH_SECONDS, console, "checking int8"):
        for name, read in ways.items():
            for i, hypothesis in zip(batch, read(signals), strict=True):
                text = scored(decode(hypothesis.labels))
                sums[name] += char_counts(scored(normalize(lines[i].text)), text)
    rates = {name: 100 * counts.rate for name, counts in sums.items()}
    before = rates.pop("network")
    after = ", ".join(f"{name} {rate:.3f} % ({rate - before:+.3f} points)" for name, rate in rates.items())
    told = f"CER by the best path on {len(lines)} lines of {Path(manifest).name}: network {before:.3f} %, {after}"
    if not max(rates.values()) - before <= most:
        raise ConfigError(
            f"{told}; more than {most:g} points are added, so nothing is written. Leave --int8 out, or allow it with "
            "--max-change"
        )
    return told


def _by_pieces(recognizer: Recognizer, signal: np.ndarray) -> np.ndarray:
    """Return the log-probabilities (T, V) of a signal (S, ...) that its streaming graph reads in pieces."""
    graph = recognizer.model.streaming
    stream, size = graph.stream(), max(round(PIECE * recognizer.model.sample_rate), graph.step)
    read = [stream.accept(signal[at : at + size]) for at in range(0, len(signal), size)]
    return np.concatenate([*read, stream.accept(signal[:0], last=True)])


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size:,} bytes"

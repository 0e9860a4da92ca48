"""seqlab export: a run as a model folder, with ONNX graphs if wanted."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from seqlab.checkpoints import find_checkpoint
from seqlab.config import Config
from seqlab.decoding import run_folder
from seqlab.errors import ConfigError
from seqlab.export.card import write_card
from seqlab.export.folder import GREEDY, new_folder, write_folder
from seqlab.export.graph import TOLERANCE, export_graph, quantize, sherpa_faults
from seqlab.manifest import read_manifest
from seqlab.onnx_model import FILES
from seqlab.recognizer import Recognizer
from seqlab.scoring import Counts, char_counts
from seqlab.verbs.evaluate import read_batches

OUTSIDE = {"onnx": "features.onnx", "int8": "features.int8.onnx"}
BATCH_SECONDS = 60.0


@dataclass(frozen=True)
class Wanted:
    """What is to be written beside the weights.

    Attributes:
        onnx: graphs.
        int8: int8 graphs too.
        inside: a graph from the signal.
        outside: a graph from features.
        check: manifest on which int8 is held against the network, or None.
        max_change: points of CER that int8 may add there.
    """

    onnx: bool = False
    int8: bool = False
    inside: bool = True
    outside: bool = False
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
        onnx=given.onnx or given.int8 or given.features != "inside",
        int8=given.int8,
        inside=given.features != "outside",
        outside=given.features != "inside",
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
    for names, outside in ((FILES, False), (OUTSIDE, True)):
        if not (wanted.outside if outside else wanted.inside):
            continue
        file = folder / names["onnx"]
        parity = export_graph(model, file, outside)
        notes.append(
            f"{file.name}: probabilities differ from the network's by {parity.probability:.1e} at most "
            f"({TOLERANCE:g} is allowed), log-probabilities by {parity.log_prob:.1e}, on {parity.lines} lines of noise "
            "of 1 to 200 output frames, alone and padded"
        )
        if wanted.int8:
            quantize(file, folder / names["int8"])
            share = (folder / names["int8"]).stat().st_size / file.stat().st_size
            notes.append(f"{names['int8']}: {share:.3f} of the size of {file.name}")
        if outside:
            faults = sherpa_faults(model)
            what = "; ".join(faults) if faults else "its features are those that sherpa-onnx computes"
            notes.append(f"{file.name} in sherpa-onnx: {what}")
    if wanted.check:
        notes.append(_check(recognizer, folder, wanted.check, wanted.max_change, console))
    elif wanted.int8:
        notes.append("The error rate of the int8 graph was not measured (--check MANIFEST).")
    return notes


def _check(recognizer: Recognizer, folder: Path, manifest: str, most: float, console: Console) -> str:
    """Compare the character error rates of the network and of its int8 graph, both by the best path.

    Raises:
        ConfigError: int8 adds more than ``most`` points.
    """
    greedy: Config = GREEDY
    plain = Recognizer.load(folder, "cpu", greedy)
    small = Recognizer.load(folder, "cpu", greedy, "int8")
    lines = read_manifest(manifest)
    normalize, scored, decode = (getattr(recognizer.tokenizer, name) for name in ("normalize", "scored", "decode"))
    sums = [Counts(), Counts()]
    for batch, signals in read_batches(plain, lines, BATCH_SECONDS, console, "checking int8"):
        for k, each in enumerate((plain, small)):
            for i, hypothesis in zip(batch, each.hypotheses(signals), strict=True):
                text = scored(decode(hypothesis.labels))
                sums[k] += char_counts(scored(normalize(lines[i].text)), text)
    before, after = (100 * counts.rate for counts in sums)
    told = (
        f"CER by the best path on {len(lines)} lines of {Path(manifest).name}: network {before:.3f} %, "
        f"int8 {after:.3f} % ({after - before:+.3f} points)"
    )
    if not after - before <= most:
        raise ConfigError(
            f"{told}; more than {most:g} points are added, so nothing is written. Leave --int8 out, or allow it with "
            "--max-change"
        )
    return told


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size:,} bytes"

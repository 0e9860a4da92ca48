"""seqlab inspect: a picture of what a trained network does while it reads a line, and how far back it reaches."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from seqlab.alignment import open_line
from seqlab.data.sources import check_kind
from seqlab.decoding import run_folder
from seqlab.errors import ConfigError, DataError
from seqlab.files import atomic_write
from seqlab.inspection import DIRECTIONS, MOST_FRAMES, cut, inspect_line, reach
from seqlab.manifest import Line, read_manifest
from seqlab.recognizer import Recognizer
from seqlab.report.drawing import Drawing, plot
from seqlab.report.inspection import draw_inspection
from seqlab.signals import Signal

FLOOR = 1e-12  # of the picture of --reach, at the lowest

HELP = """\
Draw what a trained network does while it reads a line: the input, gates and cells of a layer, the posteriors with
their spikes, and the alignment of a text, one below the other over time. The picture is an SVG; any browser shows it.

  seqlab inspect MODEL a.wav                            a.inspect.svg: last layer, forward
  seqlab inspect MODEL line.png --layer 1 --direction backward --cells 64
  seqlab inspect MODEL a.wav --text "one two"           with the alignment of a text
  seqlab inspect MODEL dev.jsonl --id a1                a line of a manifest, with its text
  seqlab inspect MODEL talk.wav --start 12 --end 20     a part of a long one

  seqlab inspect MODEL dev.jsonl --reach                how strongly the output depends on earlier and later input:
                                                        |d output(t) / d input(t - k)| , mean over frames and lines
"""


def inspect(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = argparse.ArgumentParser(
        "seqlab inspect",
        usage=argparse.SUPPRESS,
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="run folder (its best checkpoint is taken) or a checkpoint")
    add("source", metavar="FILE", help="recording, line image, ink or array; or a manifest (.jsonl)")
    add("--id", help="line of the manifest (default: its first)")
    add("--text", help="text to align with the line (default: the manifest's)")
    add("--layer", type=int, metavar="N", help="of the encoder, 1 is next to the input (default: the last)")
    add("--direction", choices=DIRECTIONS, default="forward", help="default %(default)s")
    add("--cells", type=int, default=24, metavar="N", help="show the N that vary most (default %(default)s)")
    add("--start", type=float, metavar="PLACE", help="first second, pixel, point or frame to read (default: 0)")
    add(
        "--end",
        type=float,
        metavar="PLACE",
        help=f"last one (default: the end, at most {MOST_FRAMES} frames of output)",
    )
    add("--reach", action="store_true", help="draw how far the output depends on the input, over the lines")
    add("--lines", type=int, default=20, metavar="N", help="with --reach: lines of the manifest (default %(default)s)")
    add("-o", "--output", metavar="FILE", help="the picture (default: NAME.inspect.svg, with --reach NAME.reach.svg)")
    add("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto")
    given = parser.parse_args(arguments)
    for name in ("cells", "lines", "threads"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    if given.layer is not None and given.layer < 1:
        parser.error("--layer must be 1 or more")
    if given.output and Path(given.output).suffix.lower() != ".svg":
        parser.error(f"the picture is an SVG: let the name end in .svg, not {given.output}")
    many = Path(given.source).suffix == ".jsonl"
    if given.id is not None and (given.reach or not many):
        parser.error("--id names one line of a manifest (.jsonl)")
    if given.reach and given.text is not None:
        parser.error("--reach has no use for --text")
    torch.set_num_threads(given.threads)
    recognizer = Recognizer.load(given.model, given.device)
    lines = read_manifest(given.source) if many else []
    check_kind(lines, recognizer.kind)
    drawing, name = _reach(recognizer, given, lines) if given.reach else _line(recognizer, given, lines)
    path = given.output or f"{name.replace('/', '_')}.{'reach' if given.reach else 'inspect'}.svg"
    with atomic_write(path) as file:
        file.write(drawing.svg())
    Console(stderr=True, emoji=False).print(path, highlight=False, markup=False, soft_wrap=True)
    return 0


def _line(recognizer: Recognizer, given: argparse.Namespace, lines: Sequence[Line]) -> tuple[Drawing, str]:
    """Draw one line; returns the picture and the line's name."""
    text, ink = given.text, None
    if lines:
        line = _chosen(lines, given.id)
        name, signal = line.id, open_line(recognizer, line)
        text = line.text if text is None else text
        if recognizer.kind == "strokes":
            ink = recognizer.source.read(line)
    else:
        name, signal = Path(given.source).stem, recognizer.open(given.source)
        if recognizer.kind == "strokes":
            ink = recognizer.source.open(given.source)
    part, notes = cut(recognizer, signal, given.start, given.end)
    if part.samples is not signal.samples:
        ink = None  # its points are not those of the part
        if text is not None and given.text is None:
            text, notes = None, [*notes, "The text is that of the whole line; give that of the part with --text."]
    title = f"{name}, read by {run_folder(given.model).name}"
    try:
        told = inspect_line(recognizer, part, title, text, given.layer, given.direction, given.cells, ink)
    except DataError as error:
        raise DataError(f"{given.source}: {error}") from None
    told.notes += notes
    return draw_inspection(told), name


def _chosen(lines: Sequence[Line], wanted: str | None) -> Line:
    for line in lines:
        if wanted in (None, line.id):
            return line
    raise ConfigError(f"no line {wanted!r}; there are {', '.join(line.id for line in lines[:5])}, ...")


def _reach(recognizer: Recognizer, given: argparse.Namespace, lines: Sequence[Line]) -> tuple[Drawing, str]:
    """Draw how far the output depends on the input, and print where the curve falls; returns the model's name, too."""
    model, name = recognizer.model, run_folder(given.model).name
    signals = [open_line(recognizer, line) for line in lines[: given.lines]] or [recognizer.open(given.source)]

    def frames() -> Iterator[torch.Tensor]:
        for signal in signals:
            part, _ = cut(recognizer, signal, given.start, given.end)
            samples = torch.from_numpy(np.ascontiguousarray(part.samples))[None].to(model.head.weight.device)
            size = torch.tensor([samples.shape[1]], device=samples.device)
            if int(model.num_frames(size.cpu())) > 0:
                with torch.no_grad():
                    frames = model.frames(samples, size)[0]
                yield frames

    lags, norms, counts = reach(model, frames())
    most = int(counts.max())
    kept = counts * 10 >= most  # the longest lags lie in few lines
    lags, norms = lags[kept], norms[kept] / norms[lags == 0]
    frame = _frame(recognizer, signals[0])
    sys.stdout.write(f"{name}: {len(signals)} lines, {most} output frames, a frame is {frame}\n")
    sys.stdout.write(
        "gradient, relative to lag 0   falls below for good at lag (frames back, ahead; - where it does not)\n"
    )
    for level in (0.1, 0.01, 0.001):
        ends = []
        for side in (lags >= 0, lags <= 0):
            far, ratios = np.abs(lags[side]), norms[side]
            last = int(far[ratios >= level].max(initial=0))
            ends.append("-" if last == far.max() else str(last + 1))
        sys.stdout.write(f"{level:>25g}   {ends[0]:>6} {ends[1]:>6}\n")
    points = {"output(t) on input(t - k)": list(zip(lags.tolist(), norms.tolist(), strict=True))}
    title = f"Memory reach of {name}: {len(signals)} lines"
    drawing = plot(
        title,
        points,
        f"lag k in frames of {frame}; below 0 the input comes after the output",
        "|d output(t) / d input(t - k)|, root mean square, over that at lag 0",
        max(10.0 ** np.floor(np.log10(norms[norms > 0].min())), FLOOR),
    )
    return drawing, name


def _frame(recognizer: Recognizer, signal: Signal) -> str:
    model = recognizer.model
    size = model.frame_shift * model.sample_rate * abs(signal.step)
    return f"{1000 * size:g} ms" if signal.unit == "s" else f"{size:.3g} {signal.unit}"

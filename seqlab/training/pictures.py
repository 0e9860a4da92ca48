"""Small pictures for the log of a training: what the net reads, and the posteriors over it. Pixels, as TensorBoard
takes them."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seqlab.report.drawing import SEQUENTIAL, colours, levels, printable

MARGIN = 56  # pixels left of the time axis, for names
ROW = 14  # pixels of a symbol's row
MOST_ROWS = 40  # symbols that are drawn, those most likely anywhere
MOST_WIDE = 1400  # pixels of the time axis
SEEN = 0.1  # posterior that a symbol must reach to be drawn
_MISSING = "\uffff"  # no font has it


def draw_features(features: np.ndarray, paper: bool = False, backwards: bool = False) -> np.ndarray:
    """Draw features over time, the first below; or a line image, its first row above.

    Args:
        features: (T, F).
        paper: they are an image's ink, 0 to 1, to be drawn black on white.
        backwards: time runs from right to left.

    Returns:
        (height, T, 3), uint8.
    """
    rows = features.T if paper else features.T[::-1]
    rows = rows[:, ::-1] if backwards else rows
    if paper:
        grey = (255 * (1 - rows.clip(0, 1))).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    low, high = np.percentile(rows, (1, 99.8)).tolist() if rows.size else (0.0, 1.0)
    share = ((rows - low) / max(high - low, 1e-9)).clip(0, 1)
    shades = colours(SEQUENTIAL)
    return shades[(np.nan_to_num(share) * (len(shades) - 1)).astype(np.uint8)]


def draw_ink(ink: np.ndarray, height: int = 96, most: int = MOST_WIDE) -> np.ndarray:
    """Draw strokes, black on white.

    Args:
        ink: points (N, 4): x, y downwards, t, end of stroke.
        height: of the picture in pixels, its least.
        most: its greatest width.

    Returns:
        (height, width), uint8.
    """
    points = ink[:, :2] - ink[:, :2].min(0)
    span = np.maximum(points.max(0), 1e-9)
    scale = min((height - 8) / span[1], (most - 8) / span[0])
    picture = Image.new("L", (max(int(span[0] * scale), 1) + 8, height), 255)
    draw = ImageDraw.Draw(picture)
    for stroke in np.split(points * scale + 4, np.flatnonzero(ink[:-1, 3] > 0.5) + 1):
        rows = [(float(x), float(y)) for x, y in stroke]
        draw.line(rows * 2 if len(rows) == 1 else rows, fill=0, width=2)
    return np.asarray(picture)


def draw_alignment(
    features: np.ndarray, posteriors: np.ndarray, symbols: Sequence[str], backwards: bool = False
) -> np.ndarray:
    """Draw posteriors below a picture of what they were computed from, both over the same time.

    A row for each symbol that is likely anywhere, in the order of their highest peaks, blank last; black is 1. A line
    that is read well is a staircase of points.

    Args:
        features: as draw_features gives it.
        posteriors: (T, V), blank 0.
        symbols: texts of the labels, V.
        backwards: time runs from right to left.

    Returns:
        (height, width, 3), uint8.
    """
    frames = len(posteriors)
    pool = -(-frames // MOST_WIDE)  # frames a pixel; peaks must not drown
    starts = np.arange(0, frames, max(pool, 1))
    pooled = np.maximum.reduceat(posteriors, starts, axis=0) if frames else np.zeros((1, len(symbols)))
    wide = len(pooled) * max(min(MOST_WIDE // len(pooled), 8), 1)
    peaks = pooled[:, 1:].max(0)
    rows = [1 + int(i) for i in np.argsort(-peaks, kind="stable")[:MOST_ROWS] if peaks[i] >= SEEN]
    rows = [*sorted(rows, key=lambda label: int(pooled[:, label].argmax())), 0]
    tall = max(64, min(len(features), 96))
    picture = Image.new("RGB", (MARGIN + wide, tall + 2 + ROW * len(rows)), "white")
    picture.paste(Image.fromarray(features).resize((wide, tall), Image.Resampling.BOX), (MARGIN, 0))
    heat = 255 - levels(pooled[:, rows].T, 0.0, 1.0) * 4
    heat = heat[:, ::-1] if backwards else heat
    cells = Image.fromarray(np.ascontiguousarray(heat)).resize((wide, ROW * len(rows)), Image.Resampling.NEAREST)
    picture.paste(cells.convert("RGB"), (MARGIN, tall + 2))
    draw, font = ImageDraw.Draw(picture), _font()
    for number, label in enumerate(rows):
        y = tall + 2 + ROW * number
        draw.line([(MARGIN, y), (MARGIN + wide, y)], fill=(208, 215, 222))
        name = _written(symbols[label], font) if label else "blank"
        draw.text((MARGIN - 6, y + ROW // 2), name, fill="black", anchor="rm", font=font)
    return np.asarray(picture)


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font with many scripts, if this machine has it, else the one that comes with Pillow: ASCII."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        return ImageFont.load_default(12)


def _written(symbol: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a symbol as the font can write it: characters that it lacks as U+ and their number."""
    lacking = bytes(font.getmask(_MISSING))
    symbol = printable(symbol)[:7]
    if all(bytes(font.getmask(c)) != lacking for c in symbol):
        return symbol
    return f"U+{ord(symbol[0]):04X}" if len(symbol) == 1 else f"{len(symbol)} signs"

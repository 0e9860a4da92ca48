"""Written digits: strings of handwritten digits, composed here. A handwriting corpus that needs no download.

**The digits are real, the strings are synthetic compositions.** The digits are the 1,797 images, 8 x 8 pixels in 17
grey values, that scikit-learn ships as ``load_digits``: the test part, by 13 writers, of E. Alpaydin and C. Kaynak,
"Optical Recognition of Handwritten Digits" (1998), UCI Machine Learning Repository, https://doi.org/10.24432/C50P49,
CC BY 4.0. Made for first runs, tests and demonstrations: a result on it says that training works, and nothing about
real handwriting. Every line says so in ``synthetic``; ``digits`` are the numbers of its images in load_digits.

**Strings.** Three to eight digits, drawn evenly, side by side: each is scaled to 22 to 28 pixels of height, a little
wider or narrower than it was, and set with a gap of -1 to 6 pixels and a vertical shift on a canvas 32 pixels high,
dark ink on white paper.

**Splits.** The digit images are split first, 70 % train, 10 % dev, 20 % test of each figure, so no image is in two
parts. scikit-learn does not say who wrote which digit: the same writers are in all parts.

**Determinism.** A line depends on the option seed, its split and its number alone: more lines leave the first ones as
they are.
"""

import random
from pathlib import Path

import numpy as np
from PIL import Image

from seqlab.corpora._common import track, write_manifests
from seqlab.errors import UserError
from seqlab.manifest import Line
from seqlab.media import write_image

HEIGHT = 32  # pixels of the canvas
SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}  # of the digit images of each figure
_NOTE = "strings composed of real digits (scikit-learn load_digits)"


def prepare(
    root: str | None,
    out: str,
    num_train: int = 3000,
    num_dev: int = 200,
    num_test: int = 300,
    seed: int = 1,
) -> dict[str, Path]:
    """Compose the strings, write them as PNG, and write manifests.

    Args:
        root: must be None; there is nothing to read.
        out: folder of the manifests and of lines/<split>/<id>.png.
        num_train: strings for training.
        num_dev: for dev.
        num_test: for test.
        seed: draws everything; equal seeds give equal files.

    Returns:
        Manifests of the splits that have lines.

    Raises:
        UserError: an option makes no sense.
    """
    numbers = {"train": num_train, "dev": num_dev, "test": num_test}
    if root is not None:
        raise UserError(f"written_digits is composed and reads no corpus: leave root empty (null), got {root!r}")
    if wrong := [f"num_{split}={n}" for split, n in numbers.items() if not 0 <= n <= 99_999]:
        raise UserError(f"written_digits: {', '.join(wrong)} must lie between 0 and 99999")
    if not any(numbers.values()):
        raise UserError("written_digits: num_train, num_dev and num_test are all 0, nothing to make")
    images, labels = _digits()
    pools = split_digits(labels, seed)
    manifests: dict[str, list[Line]] = {split: [] for split in numbers}
    plans = [(split, number) for split, n in numbers.items() for number in range(n)]
    for split, number in track(plans, "written_digits"):
        rng = random.Random(f"written_digits {seed} {split} {number}")
        text = "".join(rng.choice("0123456789") for _ in range(rng.randint(3, 8)))
        chosen = [rng.choice(pools[split][int(figure)]) for figure in text]
        canvas = compose([images[index] for index in chosen], rng)
        name = f"{split}-{number:05d}"
        line = Line(
            id=name,
            text=text,
            image=f"lines/{split}/{name}.png",
            width=canvas.shape[1],
            height=HEIGHT,
            extra={"digits": chosen, "synthetic": _NOTE},
        )
        write_image(Path(out) / str(line.image), canvas)
        manifests[split].append(line)
    return write_manifests(Path(out), manifests)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the digit images (1797, 8, 8), ink from 0 to 1, and the figures (1797,) that they show."""
    from sklearn.datasets import load_digits  # slow to import

    data = load_digits()
    return data.images / 16, data.target


def split_digits(labels: np.ndarray, seed: int) -> dict[str, list[list[int]]]:
    """Split digit images by chance, each figure by itself.

    Args:
        labels: figure of each image, 0 to 9, (N,).
        seed: equal seeds give equal splits.

    Returns:
        For each split a list of image numbers per figure.
    """
    pools: dict[str, list[list[int]]] = {split: [] for split in SHARES}
    rng = random.Random(f"written_digits digits {seed}")
    for figure in range(10):
        indices = [int(index) for index in np.flatnonzero(labels == figure)]
        rng.shuffle(indices)
        dev, test = (round(SHARES[split] * len(indices)) for split in ("dev", "test"))
        pools["test"].append(indices[:test])
        pools["dev"].append(indices[test : test + dev])
        pools["train"].append(indices[test + dev :])
    return pools


def compose(digits: list[np.ndarray], rng: random.Random) -> np.ndarray:
    """Set digits side by side.

    Args:
        digits: ink from 0 to 1, each (8, 8).
        rng: draws sizes, gaps and shifts.

    Returns:
        Grey values, dark on white, (32, S), uint8.
    """
    scaled = []
    for digit in digits:
        inked = np.flatnonzero(digit.any(axis=0))
        digit = digit[:, inked[0] : inked[-1] + 1]
        height = rng.randint(22, 28)
        width = max(4, round(digit.shape[1] / digit.shape[0] * height * rng.uniform(0.85, 1.15)))
        enlarged = Image.fromarray(np.round(255 * digit).astype(np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        scaled.append(np.asarray(enlarged))
    starts = []
    column = rng.randint(2, 8)
    for digit in scaled:
        starts.append(column)
        column += digit.shape[1] + rng.randint(-1, 6)
    ink = np.zeros((HEIGHT, starts[-1] + scaled[-1].shape[1] + rng.randint(2, 8)), np.uint8)
    for start, digit in zip(starts, scaled, strict=True):
        top = rng.randint(0, HEIGHT - digit.shape[0])
        place = ink[top : top + digit.shape[0], start : start + digit.shape[1]]
        np.maximum(place, digit, out=place)
    return 255 - ink

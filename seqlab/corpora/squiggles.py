"""Squiggles: simulated currents of DNA in a nanopore. A corpus of arrays that needs no download.

**All of it is synthetic.** As a strand is drawn through a nanopore, the current through the pore depends on the few
bases inside: a read is a row of steps, one for each base, held for a time that nobody knows. This is the kind of
signal that base callers read with CTC, and nothing more than the kind: no pore, no chemistry, no real read is behind
it, and the levels are drawn at random. Made for first runs and tests of input that is neither sound nor image; every
line says so in ``synthetic``.

**Reads.** 8 to 20 bases of A, C, G and T, drawn evenly, but never four equal ones in a row, for their steps would be
one step. While a base stands in the middle of the pore, the current has the level of the three bases inside: 60, 75,
90 or 105 pA by the middle one, and up to 8 pA more or less, drawn once for each three. It stays there for 5 to 9
samples. At both ends the pore is open for 10 to 30 samples, at 150 pA; the first and the last base have an end of the
strand beside them. Each read has a gain (0.9 to 1.1) and an offset (5 pA to both sides) of its own, and noise of 1 pA
goes on top. An array is (T, 1), float32, in pA. Real reads hold each base for a far less even time.

**Splits.** A checksum of the bases decides which split a read may be in: no sequence is in two of them. The levels
are those of one pore throughout, whatever the seed.

**Determinism.** A read depends on the option seed, its split and its number alone: more reads leave the first ones as
they are.
"""

import random
import zlib
from itertools import product
from pathlib import Path

import numpy as np

from seqlab.corpora._common import track, write_manifests
from seqlab.errors import UserError
from seqlab.manifest import Line

BASES = "ACGT"
END = "-"  # no base: an end of the strand
MIDDLE = {"A": 60.0, "C": 75.0, "G": 90.0, "T": 105.0}  # pA, what the base in the middle makes of the current
OPEN = 150.0  # pA of the open pore
NOISE = 1.0  # pA, standard deviation
_SHARES = {"dev": range(0, 1), "test": range(1, 2), "train": range(2, 10)}  # of the checksum, modulo 10
_NOTE = "simulated currents"


def prepare(
    root: str | None,
    out: str,
    num_train: int = 3000,
    num_dev: int = 150,
    num_test: int = 300,
    seed: int = 1,
) -> dict[str, Path]:
    """Simulate the reads, write them as arrays, and write manifests.

    Args:
        root: must be None; there is nothing to read.
        out: folder of the manifests and of reads/<split>/<id>.npy.
        num_train: reads for training.
        num_dev: for dev.
        num_test: for test.
        seed: draws everything but the levels; equal seeds give equal files.

    Returns:
        Manifests of the splits that have reads.

    Raises:
        UserError: an option makes no sense.
    """
    numbers = {"train": num_train, "dev": num_dev, "test": num_test}
    if root is not None:
        raise UserError(f"squiggles is simulated and reads no corpus: leave root empty (null), got {root!r}")
    if wrong := [f"num_{split}={n}" for split, n in numbers.items() if not 0 <= n <= 99_999]:
        raise UserError(f"squiggles: {', '.join(wrong)} must lie between 0 and 99999")
    if not any(numbers.values()):
        raise UserError("squiggles: num_train, num_dev and num_test are all 0, nothing to make")
    manifests: dict[str, list[Line]] = {split: [] for split in numbers}
    plans = [(split, number) for split, n in numbers.items() for number in range(n)]
    for split, number in track(plans, "squiggles"):
        rng = random.Random(f"squiggles {seed} {split} {number}")
        bases = draw_bases(split, rng)
        name = f"{split}-{number:05d}"
        line = Line(id=name, text=bases, features=f"reads/{split}/{name}.npy", extra={"synthetic": _NOTE})
        path = Path(out) / str(line.features)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, simulate(bases, rng))
        manifests[split].append(line)
    return write_manifests(Path(out), manifests)


def split_of(bases: str) -> str:
    """Return the split that a sequence belongs to."""
    checksum = zlib.crc32(bases.encode()) % 10
    return next(split for split, share in _SHARES.items() if checksum in share)


def draw_bases(split: str, rng: random.Random) -> str:
    """Draw a sequence that belongs to a split, without four equal bases in a row."""
    while True:
        bases = "".join(rng.choice(BASES) for _ in range(rng.randint(8, 20)))
        if split_of(bases) == split and not any(4 * base in bases for base in BASES):
            return bases


def levels() -> dict[str, float]:
    """Return the level in pA of each three bases in the pore; at an end of the strand one is "-"."""
    rng = random.Random("squiggles levels")
    threes = ("".join(three) for three in product(BASES + END, BASES, BASES + END))
    return {three: MIDDLE[three[1]] + rng.uniform(-8, 8) for three in threes}


def current(bases: str, dwells: list[int]) -> np.ndarray:
    """Return the current of a strand without noise.

    Args:
        bases: the sequence, L letters of ACGT.
        dwells: samples for which each base stands in the middle of the pore, L numbers.

    Returns:
        pA, (sum of dwells,), float64.
    """
    of = levels()
    strand = f"{END}{bases}{END}"
    return np.repeat([of[strand[i : i + 3]] for i in range(len(bases))], dwells)


def simulate(bases: str, rng: random.Random) -> np.ndarray:
    """Return a read of a sequence, in pA, (T, 1), float32."""
    steps = current(bases, [rng.randint(5, 9) for _ in bases])
    clean = np.pad(steps, (rng.randint(10, 30), rng.randint(10, 30)), constant_values=OPEN)
    clean = rng.uniform(0.9, 1.1) * clean + rng.uniform(-5, 5)
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(clean))
    return (clean + NOISE * noise).astype(np.float32)[:, None]

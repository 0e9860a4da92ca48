"""Divide lines into train, dev and test, so that dev and test tell the truth about what was never seen."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqlab.corpora._common import draw_splits
from seqlab.errors import DataError
from seqlab.manifest import Line

PARTS = ("train", "dev", "test")
LEAST = 10  # lines that can be divided at all
ENOUGH = 1000  # lines in dev and in test that are enough for an error rate; the rest is better learnt from
TENTH = 0.1  # share of dev and of test, where none is asked for
LEAST_TRAIN = 0.5  # share of the lines not asked for in dev and test that whole speakers or documents must leave
FEW = 20  # lines that dev and test should have, as long as train keeps half
DOCUMENT_KEYS = ("page", "document", "book", "chapter", "session", "folder")
FEW_DOCUMENTS = 5  # fewer are no sample of documents


@dataclass(slots=True)
class Split:
    """Lines by part, and how they came there.

    Attributes:
        parts: train, dev, test; test is absent where none was wanted.
        by: "given", "speaker", "document" or "line".
        told: the same in words, with what was left out.
    """

    parts: dict[str, list[Line]]
    by: str
    told: str


def divide(parts: Mapping[str, Sequence[Line]], shares: tuple[float, float] | None, by: str | None, seed: int) -> Split:
    """Make train, dev and test of lines; what is given as a part stays one, what lacks is drawn from train.

    The units drawn are speakers where all are known, else documents (pages, books, folders), else lines; the first of
    which whole ones can be left out and half of the lines remains for train. Lines of one recording, or of files with
    the same content, always stay together, and lines of train whose medium dev or test has are left out.

    Args:
        parts: lines by train, dev, test, or "" for those not divided yet.
        shares: of dev and test among the lines that are divided; 0 draws no test. None: a tenth each, FEW lines or
            more as far as there are, and ENOUGH at most.
        by: speaker, document or line, or None for the first that serves.
        seed: draws.

    Raises:
        DataError: there are too few lines, or no such units.
    """
    lines = {part: list(rows) for part, rows in parts.items() if rows}
    whole = [*lines.pop("", []), *lines.pop("train", [])]
    wanted = dict(zip(PARTS[1:], shares or (TENTH, TENTH), strict=True))
    drawn = [part for part, share in wanted.items() if part not in lines and share]
    if len(whole) < LEAST:
        raise DataError(f"{len(whole)} line(s) to train on; at least {LEAST} are needed, and hundreds to learn well")
    media = _media([*whole, *(line for rows in lines.values() for line in rows)])
    told = [f"{', '.join(lines)} as given"] if lines else []
    kind = "given"
    held: set[str] = set()
    for part in ("test", "dev", "train"):
        rows = whole if part == "train" else lines.get(part, [])
        kept = [line for line in rows if held.isdisjoint(media[id(line)])]
        if len(kept) < len(rows):
            told.append(f"{len(rows) - len(kept)} line(s) of {part} left out, their media stand in another part")
            rows[:] = kept
        held.update(name for line in rows for name in media[id(line)])
    if drawn:
        least = LEAST_TRAIN
        drawn_shares = {part: share if part in drawn else 0.0 for part, share in wanted.items()}
        if shares is None:
            drawn_shares = {part: _share(share, len(whole)) for part, share in drawn_shares.items()}
        else:
            least *= 1 - sum(drawn_shares.values())
        total = len(whole)
        new, kind = _draw(whole, media, drawn_shares, least, by, seed)
        lines |= {part: rows for part, rows in new.items() if part in (*drawn, "train")}
        whole = lines.pop("train")
        told.append(f"{' and '.join(drawn)} drawn by {kind}, seed {seed}: {_why(drawn, wanted, lines, total, shares)}")
    result = {"train": whole, **{part: lines[part] for part in PARTS[1:] if lines.get(part)}}
    if not result["train"] or "dev" not in result:
        raise DataError("nothing is left for train or dev: give other parts, or dev a share above 0")
    for part in PARTS[1:]:
        known = {line.speaker for line in result["train"] if line.speaker}
        if len(known) > 1 and {line.speaker for line in result.get(part, [])} & known:
            told.append(f"speakers of {part} are trained on, too: new ones will have more errors")
            break
    return Split(result, kind, "; ".join(told))


def _share(share: float, lines: int) -> float:
    """Return a share that gives enough lines for an error rate, and not more than serve one."""
    if not share:
        return 0.0
    return min(max(share * lines, min(FEW, lines / 4)), ENOUGH) / lines


def _why(
    drawn: Sequence[str],
    wanted: Mapping[str, float],
    lines: Mapping[str, Sequence[Line]],
    total: int,
    shares: tuple[float, float] | None,
) -> str:
    """Say in words why the parts drawn have as many lines as they have."""
    got = " and ".join(f"{len(lines.get(part, []))}" for part in drawn)
    asked = " and ".join(f"{wanted[part]:g}" for part in drawn)
    if shares is not None:
        return f"{got} of {total} lines, the shares {asked} as asked for, in whole units"
    rule = f"a tenth each, but {FEW} lines or more as far as train keeps half, {ENOUGH} at most; --shares sets others"
    return f"{got} of {total} lines, {rule}"


def _draw(
    lines: list[Line],
    media: Mapping[int, tuple[str, ...]],
    shares: Mapping[str, float],
    least: float,
    by: str | None,
    seed: int,
) -> tuple[dict[str, list[Line]], str]:
    """Draw parts by the coarsest units that serve, of which enough lines remain for train."""
    for kind in (by,) if by else ("speaker", "document", "line"):
        units = _units(lines, media, kind)
        if len(units) < 3 or (kind == "document" and by is None and len(units) < FEW_DOCUMENTS):
            continue
        try:
            parts = draw_splits("fit", units, kind, shares["dev"], shares["test"], seed)
        except DataError:
            continue
        if by or kind == "line" or len(parts["train"]) >= least * len(lines):
            return {part: rows for part, rows in parts.items() if rows}, kind
    named = by or "line"
    raise DataError(
        f"{len(lines)} lines cannot be divided by {named}: three or more are needed, known for every line; give "
        "another --split-by, or train, dev and test as they are to be"
    )


def _units(lines: Sequence[Line], media: Mapping[int, tuple[str, ...]], kind: str) -> dict[str, list[Line]]:
    """Group lines that may not be parted; empty where the units are not known."""
    if kind == "speaker":
        names = [line.speaker for line in lines]
    elif kind == "document":
        key = next((k for k in DOCUMENT_KEYS if len({x.extra.get(k) for x in lines} - {None, "", "."}) > 1), None)
        names = [str(x.extra[key]) if key and x.extra.get(key) else None for x in lines]
    else:
        names = ["+".join(media[id(line)]) for line in lines]
    if None in names:
        return {}
    leader: dict[str, str] = {}  # units that share a medium are one

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    owner: dict[str, str] = {}
    for line, name in zip(lines, names, strict=True):
        for medium in media[id(line)]:
            leader[find(str(name))] = find(owner.setdefault(medium, str(name)))
    units: dict[str, list[Line]] = defaultdict(list)
    for line, name in zip(lines, names, strict=True):
        units[find(str(name))].append(line)
    return dict(units)


def _media(lines: Sequence[Line]) -> dict[int, tuple[str, ...]]:
    """Name the media of lines, by id(line): by content where two files may be the same, else by path."""
    files = {path: path.stat().st_size for line in lines for path in line.files if path.is_file()}
    sizes = defaultdict(list)
    for path, size in files.items():
        sizes[size].append(path)
    names = {path: str(path) for path in files}
    for paths in sizes.values():
        if len({path.resolve() for path in paths}) > 1:
            names |= {path: _digest(path) for path in paths}
        else:
            names |= {path: str(path.resolve()) for path in paths}
    found: dict[int, tuple[str, ...]] = {}
    for line in lines:
        ink = hashlib.sha256(repr(line.strokes).encode()).hexdigest() if not line.files else ""
        found[id(line)] = tuple(names.get(path, str(path)) for path in line.files) or (ink,)
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from seqlab.scoring import Counts, add, align, word_counts
from seqlab.scoring.nist import aligned_counts, nist_align, segments
from seqlab.scoring.significance import matched_pairs

TOOLS = Path("/usr/lib/sctk/bin")  # where Debian's package sctk puts them
with_sctk = pytest.mark.skipif(shutil.which("sctk") is None, reason="needs sclite (Debian package sctk)")

# reference, first and second hypothesis; below what sclite counts, worked by hand
LINES = [
    ("a b c d e f g h", "a x c d e f g h", "a b c d y f g h"),
    ("a b", "b c", "a b"),
    ("x y z p q", "p q u v w", "x y z p q"),
    ("a b", "a b z", "a b"),
    ("a b c d e", "a x c o d e", "a b c d"),
    ("a b c", "a b c", "a b c"),
]
FIRST = [
    Counts(7, 1, 0, 0),
    Counts(1, 0, 1, 1),  # b paired costs 3 + 3, two substitutions 4 + 4
    Counts(2, 0, 3, 3),  # 18, where five substitutions cost 20: one error more than need be
    Counts(2, 0, 0, 1),
    Counts(4, 1, 0, 1),
    Counts(3, 0, 0, 0),
]
SECOND = [Counts(7, 1), Counts(2), Counts(5), Counts(2), Counts(4, 0, 1), Counts(3)]
SEGMENTS = [[(1, 0), (0, 1)], [(2, 0)], [(3, 0), (3, 0)], [(1, 0)], [(2, 1)], []]


def both(line):
    said, first, second = (text.split() for text in line)
    return nist_align(said, first), nist_align(said, second)


def test_counts_by_hand():
    for line, first, second in zip(LINES, FIRST, SECOND, strict=True):
        assert [aligned_counts(aligned) for aligned in both(line)] == [first, second]
    assert word_counts("x y z p q", "p q u v w").errors == 5  # with all errors alike


def test_segments_by_hand():
    assert [segments(*both(line)) for line in LINES] == SEGMENTS
    # one word right between two errors does not part them; an insertion between right words does neither
    assert segments(*both(("a b c d e", "a x c d e", "a b c y e"))) == [(1, 1)]
    assert segments(*both(("a b c d e", "x b i c d e", "a b c d e"))) == [(2, 0)]
    assert segments(*both(("a b c", "x b z", "a b c")), boundary=1) == [(1, 0), (1, 0)]
    with pytest.raises(ValueError, match="same reference"):
        segments(nist_align(["a"], ["a"]), nist_align(["b"], ["a"]))


def test_alignment_covers_both_sides_and_never_costs_more_than_the_one_with_fewest_errors():
    generator = random.Random(0)
    for _ in range(300):
        said, heard = (generator.choices("abcd", k=generator.randrange(0, 12)) for _ in range(2))
        aligned = nist_align(said, heard)
        assert [word for _, word, _ in aligned if word is not None] == said
        assert [word for _, _, word in aligned if word is not None] == heard
        cost, least = (
            sum({"hit": 0, "sub": 4, "ins": 3, "del": 3}[operation] for operation, _, _ in found)
            for found in (aligned, align(said, heard))
        )
        assert cost <= least


def sctk(folder, references, hypotheses):
    """Return sclite's counts (correct, sub, del, ins) of each system, and z and segments of its MAPSSWE."""
    counts, sgml = [], ""
    for name, texts in hypotheses.items():
        for side, rows in (("ref", references), ("hyp", texts)):
            lines = (f"{text} (s{n % 3}-{n:04d})\n" for n, text in enumerate(rows))
            (folder / f"{name}.{side}").write_text("".join(lines))
        command = [TOOLS / "sclite", "-i", "spu_id", "-r", f"{name}.ref", "trn", "-h", f"{name}.hyp", "trn", name]
        rsum, aligned = (
            subprocess.run([*command, "-o", kind, "stdout"], cwd=folder, capture_output=True, text=True, check=True)
            for kind in ("rsum", "sgml")
        )
        row = next(line for line in rsum.stdout.splitlines() if "Sum" in line)
        counts.append(Counts(*map(int, re.findall(r"\d+", row)[2:6])))
        sgml += aligned.stdout
    command = [TOOLS / "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "-"]
    told = subprocess.run(command, input=sgml, capture_output=True, text=True, check=True, cwd=folder).stdout
    found = re.search(r"# segs: (\d+).*\(Z Stat: *([-\d.]+)\) \(Stat Diff: (Yes|No)\)", told)
    return counts, int(found[1]), float(found[2]), found[3] == "Yes"


@with_sctk
def test_command_of_the_manual_counts_as_nist_does(tmp_path):
    references, heard = ["Grün ist das", "a b c", "Ä ö Ü"], ["grün ist das", "a c", "ä Ö Ü"]
    for side, texts in (("ref", references), ("hyp", heard)):
        (tmp_path / f"{side}.trn").write_text("".join(f"{text} (s-{n})\n" for n, text in enumerate(texts)), "utf-8")
    manual = (Path(__file__).parents[1] / "docs/report.md").read_text(encoding="utf-8")
    command = re.search(r"`sctk (sclite [^`]*-h hyp\.trn trn[^`]*)`", manual)[1].split()
    told = subprocess.run(
        [TOOLS / command[0], *command[1:], "-o", "rsum", "stdout"], cwd=tmp_path, capture_output=True, check=True
    ).stdout.decode()
    row = next(line for line in told.splitlines() if "Sum" in line)
    # case counts: Grün, Ä and ö are wrong, b is left out
    assert Counts(*map(int, re.findall(r"\d+", row)[2:6])) == Counts(5, 3, 1, 0)


def noisy(generator, text, rate):
    words = []
    for word in text.split():
        kind = generator.random() / rate
        if kind > 0.3:
            words.append(word if kind > 0.8 else generator.choice("abcdefgh"))
        if 0.8 < kind < 1:
            words.append(generator.choice("abcdefgh"))
    return " ".join(words)


@with_sctk
@pytest.mark.parametrize("rates", [(0.3, 0.22), (0.2, 0.195), (0.6, 0.5)])
def test_counts_and_verdict_equal_sclite(tmp_path, rates):
    generator = random.Random(1)
    references = [" ".join(generator.choices("abcdefgh", k=generator.randrange(1, 25))) for _ in range(150)]
    references += [line[0] for line in LINES]
    first, second = (
        [noisy(generator, text, rate) for text in references[:150]] + [line[place] for line in LINES]
        for place, rate in enumerate(rates, 1)
    )
    counts, number, z, differ = sctk(tmp_path, references, {"one": first, "two": second})
    pairs = [both(line) for line in zip(references, first, second, strict=True)]
    assert [add(aligned_counts(pair[side]) for pair in pairs) for side in (0, 1)] == counts
    found = matched_pairs([cut for pair in pairs for cut in segments(*pair)])
    assert found.segments == number
    assert found.z == pytest.approx(z, abs=0.0006)
    assert (found.p_normal < 0.05) == differ
    assert found.p == found.p_normal  # many segments: the verdict is NIST's

"""stm against lines written by hand, and stm with ctm against sclite where Debian's sctk is installed."""

import subprocess
from pathlib import Path

import pytest

from seqlab.outputs import Transcript, Word, ctm, stm

SCLITE = Path("/usr/lib/sctk/bin/sclite")


def test_lines_by_hand(tmp_path: Path) -> None:
    segments = [("a 1", "ann b", 0.0, 1.23456, " one \t two"), ("a-2", "", 0.0, 2.0, "")]
    segments += [("a-3", "c", 0.0, 1.0, "<x> {y} @")]
    segments += [("a\x1b-4", "c", 0.0, 1.0, "\u202aone\u202c t\0wo\u2067")]  # what trn and ctm leave out too
    assert stm.write(tmp_path / "ref.stm", segments) == 4
    assert (tmp_path / "ref.stm").read_text(encoding="utf-8").splitlines() == [
        "a_1 1 ann_b 0.000 1.235 one two",
        "a-2 1 unknown 0.000 2.000",
        "a-3 1 c 0.000 1.000 <o> <x> \uff5by\uff5d \uff20",
        "a-4 1 c 0.000 1.000 one two",
    ]


# reference, what was recognised; counted by hand: correct, substituted, deleted, inserted
LINES = [
    ("one two three", "one too three", (2, 1, 0, 0)),
    ("a", "", (0, 0, 1, 0)),  # nothing recognised
    ("", "x", (0, 0, 0, 1)),
    ("<b> ( uh ) {a/b} ; * \\ @ %hes", "<b> ( uh ) {a/b} ; * \\ @ %hes", (10, 0, 0, 0)),
    ("grün « 12 »", "grün « 13 »", (3, 1, 0, 0)),
]


@pytest.mark.skipif(not SCLITE.is_file(), reason="needs sclite (Debian package sctk)")
def test_sclite_reads_both_files_and_counts_the_same(tmp_path: Path) -> None:
    said, heard = [], []
    for number, (reference, text, _) in enumerate(LINES):
        words = [Word(word, 0.1 * k, 0.1 * k + 0.1) for k, word in enumerate(text.split())]
        said.append((f"s-{number}", "s", 0.0, 2.0, reference))
        heard.append(Transcript(text, words, id=f"s-{number}"))
    stm.write(tmp_path / "ref.stm", said)
    ctm.write(tmp_path / "hyp.ctm", heard)
    command = [SCLITE, "-s", "-e", "utf-8", "-r", "ref.stm", "stm", "-h", "hyp.ctm", "ctm", "-o", "prf", "stdout"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    scores = [row.split()[-4:] for row in done.stdout.splitlines() if row.startswith("Scores:")]
    assert [tuple(map(int, row)) for row in scores] == [counts for *_, counts in LINES], done.stdout + done.stderr

"""LibriSpeech from its tree to error rates with its language model, on a generated tree in the true layout.

Recordings are tones and noise and the texts are words of three letters drawn by chance: nothing here is speech.
"""

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import Done, Run, tones

SHARES = {  # of the seven subsets, and the speakers and the chapters of each
    "train-clean-100": (0.2, 4),
    "train-clean-360": (0.3, 4),
    "train-other-500": (0.3, 4),
    "dev-clean": (0.05, 2),
    "dev-other": (0.05, 2),
    "test-clean": (0.05, 2),
    "test-other": (0.05, 2),
}
LM = "3-gram.pruned.1e-7.arpa.gz"  # as openslr.org/11 names it


def write_tree(top: Path, lines: int) -> tuple[Counter[str], list[list[str]]]:
    """Write LibriSpeech/ with so many utterances; returns how many each subset has, and the texts of training."""
    rng = np.random.default_rng(0)
    count: Counter[str] = Counter()
    texts = []
    people = ["; generated\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"]
    speaker = 14
    for subset, (share, speakers) in SHARES.items():
        for _ in range(speakers):
            speaker += 5
            people.append(f"{speaker:<5}| {'FM'[speaker % 2]} | {subset:<17}| 1.00 | Nobody At All\n")
            for chapter in (speaker + 100_000, speaker + 100_001):
                folder = top / "LibriSpeech" / subset / str(speaker) / str(chapter)
                folder.mkdir(parents=True)
                rows = []
                for number in range(round(lines * share / speakers / 2)):
                    words = ["".join(rng.choice(list("abc"), 3)) for _ in range(rng.integers(1, 4))]
                    name = f"{speaker}-{chapter}-{number:04d}"
                    audio = tones(" ".join(words), rng, 16000)
                    soundfile.write(folder / f"{name}.flac", audio, 16000, subtype="PCM_16")
                    rows.append(f"{name} {' '.join(words).upper()}\n")
                    count[subset] += 1
                    if subset.startswith("train"):
                        texts.append(" ".join(words).upper().split())
                (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(rows))
    (top / "LibriSpeech" / "SPEAKERS.TXT").write_text("".join(people))
    for name in ("README.TXT", "LICENSE.TXT", "BOOKS.TXT", "CHAPTERS.TXT"):
        (top / "LibriSpeech" / name).write_text("generated\n")
    return count, texts


def write_arpa(path: Path, texts: list[list[str]]) -> None:
    """Write a 3-gram model of upper-case words as SRILM does: tabs, <UNK>, back-off weights where needed.

    Relative frequencies less 0.5, what is left over to the order below; no more is needed to be read.
    """
    grams: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(4)]
    for words in texts:
        line = ("<s>", *words, "</s>")
        for order in (1, 2, 3):
            grams[order].update(line[i : i + order] for i in range(len(line) - order + 1))
    grams[1][("<UNK>",)] = 1
    grams[0][()] = sum(grams[1].values())
    rows = ["", "\\data\\", *(f"ngram {order}={len(grams[order])}" for order in (1, 2, 3))]
    for order in (1, 2, 3):
        rows += ["", f"\\{order}-grams:"]
        contexts = {gram[:-1] for gram in grams[order + 1]} if order < 3 else set()
        for gram, number in sorted(grams[order].items()):
            p = -99 if gram == ("<s>",) else np.log10((number - 0.5 * (order > 1)) / grams[order - 1][gram[:-1]])
            rows.append(f"{p:.6f}\t{' '.join(gram)}" + ("\t-0.301030" if gram in contexts else ""))
    with gzip.open(path, "wt") as file:
        file.write("\n".join([*rows, "", "\\end\\", ""]))


def dry_run(lines: int, epochs: int, folder: Path, seqlab: Run, *settings: str) -> None:
    """Prepare, train, resume, evaluate without and with the language model.

    Args:
        lines: utterances of the tree.
        epochs: before and again after the resume.
        folder: where all lies.
        seqlab: runs the command line there.
        settings: of the training.
    """
    count, texts = write_tree(folder, lines)
    assert len(count) == 7
    assert sum(count.values()) == lines
    write_arpa(folder / LM, texts)

    def run(*arguments: object) -> Done:
        done = seqlab(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    run("prepare", "corpus=librispeech", "corpus.prepare.root=LibriSpeech")
    prepared = folder / "data" / "librispeech"
    found = {path.stem: len(path.read_text().splitlines()) for path in prepared.glob("*.jsonl")}
    train = sum(count[subset] for subset in count if subset.startswith("train"))
    others = {subset: count[subset] for subset in ("dev-other", "test-clean", "test-other")}
    assert found == {"train": train, "dev": count["dev-clean"], **others}
    first = json.loads((prepared / "train.jsonl").read_text().splitlines()[0])
    assert (first["sex"], first["sample_rate"], first["subset"]) == ("M", 16000, "train-clean-100")

    small = ["data.batch_frames=2000", "data.num_workers=0", "training.accelerator=cpu", "training.precision=32-true"]
    command = ["train", "experiment=librispeech", "encoder.num_layers=1", *small, *settings]
    run(*command, f"training.max_epochs={epochs}")
    last = folder / "runs" / "librispeech" / "checkpoints" / "last.ckpt"
    steps = torch.load(last, weights_only=True)["global_step"]
    run(*command, f"training.max_epochs={2 * epochs}", "resume=true")
    record = json.loads((folder / "runs" / "librispeech" / "environment.json").read_text())
    assert [session["epochs"] for session in record["sessions"]] == [epochs, 2 * epochs]
    assert record["sessions"][0]["steps"] == steps < record["sessions"][1]["steps"]

    for name, decoder in (("greedy", []), ("lm", ["decoder=beam", "decoder.beam=16", f"decoder.lm={LM}"])):
        run("evaluate", "model=runs/librispeech", "device=cpu", *decoder, f"out={name}")
        for part in ("test-clean", "test-other"):
            report = json.loads((folder / name / part / "report.json").read_text())
            assert report["scores"]["lines"] == count[part]
            assert (f"lm={LM}" in report["decoder"]) == (name == "lm")


def test_eighty_utterances(tmp_path: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLAB_DATA", "data")
    dry_run(80, 1, tmp_path, seqlab, "encoder.hidden_size=16")


@pytest.mark.slow
def test_two_thousand_utterances(tmp_path: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLAB_DATA", "data")
    dry_run(2000, 1, tmp_path, seqlab, "encoder.hidden_size=16")

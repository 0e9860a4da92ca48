"""seqlab align: places of known texts, of lines and long recordings; --fit, priors, peakiness; training with priors."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from seqlab.alignment import Aligner, fit_local, save
from seqlab.ctc import priors
from seqlab.ctc.align import STAR
from seqlab.ctc.hypothesis import Span
from seqlab.errors import DataError
from seqlab.manifest import read_manifest
from seqlab.recognizer import Recognizer
from seqlab.tokenizers.pieces import SentencePieces
from seqlab.verbs.align import _cure, align
from tests import test_handwriting as handwriting
from tests.conftest import RATE, Run, tones
from tests.test_resume import finish, kill_after, same, settings

BEGIN, LETTER = 0.05, 0.13  # tones: silence before the first letter, and a letter with its silence


@pytest.fixture(scope="module")
def aligner(trained: Path) -> Aligner:
    return Aligner.load(trained)


def true_places(text: str) -> list[tuple[str, float, float]]:
    """Return words with start and end in seconds, as conftest.tones says them."""
    found, at = [], 0
    for word in text.split():
        found.append((word, BEGIN + at * LETTER, BEGIN + (at + len(word)) * LETTER - 0.03))
        at += len(word) + 1
    return found


def test_words_and_characters_lie_where_they_are(aligner: Aligner) -> None:
    text = "ab cab b"
    transcript = aligner.align(aligner.recognizer.open(tones(text, np.random.default_rng(1))), text)
    assert (transcript.text, transcript.unit) == (text, "s")
    assert "".join(c.text for c in transcript.characters) == text
    for word, (name, start, end) in zip(transcript.words, true_places(text), strict=True):
        assert word.text == name
        assert abs(word.start - start) < 0.12
        assert abs(word.end - end) < 0.12
        assert word.confidence is not None
        assert word.confidence > 0.5


def test_local_aligner_is_nearer_and_belongs_to_its_weights(corpus: Path, trained: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(trained)
    local = fit_local(recognizer, read_manifest(corpus / "train.jsonl"))
    rng = np.random.default_rng(2)
    off: dict[str, list[float]] = {"path": [], "local": []}
    for text in ("ab cab b", "cc a bab", "a b c"):
        signal = recognizer.open(tones(text, rng))
        for name, near in (("path", None), ("local", local)):
            words = Aligner(recognizer, near).align(signal, text).words
            for word, (_, start, end) in zip(words, true_places(text), strict=True):
                off[name] += [abs(word.start - start), abs(word.end - end)]
    assert np.mean(off["local"]) < min(np.mean(off["path"]), 0.04)

    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    checkpoint = torch.load(next((trained / "checkpoints").glob("best*")), weights_only=True)
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    save(run, recognizer, local)
    loaded = Aligner.load(run).local
    assert loaded is not None
    assert torch.equal(loaded.priors, local.priors)
    hostile = torch.load(run / "aligner.pt", weights_only=True)
    hostile["weights"]["context.weight"] = hostile["weights"]["context.weight"][:1].expand(2_000_000, -1, -1)
    torch.save(hostile, run / "aligner.pt")
    with pytest.raises(DataError, match=r"aligner\.pt is no aligner of this model \(2000000 channels\)"):
        Aligner.load(run)
    checkpoint["hyper_parameters"]["config"]["stem"]["factor"] = 1
    weight = checkpoint["state_dict"]["model.encoder.lstm.weight_ih_l0"]
    for key in [k for k in checkpoint["state_dict"] if "weight_ih_l0" in k]:
        checkpoint["state_dict"][key] = weight[:, : weight.shape[1] // 2].clone()
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    with pytest.raises(DataError, match=r"aligner\.pt was fitted to other weights.*--fit"):
        Aligner.load(run)
    (run / "aligner.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"aligner\.pt is no aligner of this model"):
        Aligner.load(run)


def test_labels_of_stars(aligner: Aligner) -> None:
    a, b, space = (aligner.recognizer.tokenizer.symbols.index(s) for s in "ab ")
    assert aligner.labels(" ab  b ") == [a, b, space, b]
    assert aligner.labels("a * b") == [a, STAR, space, b]
    assert aligner.labels("* a * * b *") == [STAR, a, STAR, space, b, STAR]
    assert aligner.labels("a ? b", skip_unknown=True) == [a, space, b]
    for text in ("", " * "):
        with pytest.raises(DataError, match="the text is empty"):
            aligner.labels(text)
    with pytest.raises(DataError, match=r"'\?' are not in the alphabet"):
        aligner.labels("a ?")


def test_words_of_pieces(aligner: Aligner) -> None:
    pytest.importorskip("sentencepiece")
    tokenizer = SentencePieces(size=12)
    tokenizer.fit(["ab cab b cc a bab a b c"])
    recognizer = copy.copy(aligner.recognizer)
    recognizer.tokenizer = tokenizer
    aligner = Aligner(recognizer)
    signal = recognizer.open(tones("ab cab b", np.random.default_rng(1)))
    for text in ("ab cab b", "* ab * cab b *", "cc"):
        spans = [Span(label, i, i + 1, 1.0) for i, label in enumerate(aligner.labels(text))]
        assert [word.text for word in aligner._transcript(spans, signal, "", 1).words] == text.split()
    with pytest.raises(DataError) as caught:
        aligner.labels("a ?")
    assert "--skip-unknown" in _cure(caught.value)


def test_star_and_text_that_is_not_there(aligner: Aligner) -> None:
    signal = aligner.recognizer.open(tones("ab cab ba", np.random.default_rng(3)))
    words = aligner.align(signal, "ab * ba").words
    assert [w.text for w in words] == ["ab", "*", "ba"]
    assert abs(words[2].start - true_places("ab cab ba")[2][1]) < 0.12
    sure = [w.confidence or 0.0 for w in aligner.align(signal, "ab cab cccc ba").words]
    assert sure[2] < 0.05 < min(sure[0], sure[3])


def test_long_recording_in_chunks_equals_whole(aligner: Aligner, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    text = " ".join("".join(rng.choice(list("abc"), rng.integers(1, 4))) for _ in range(40))
    signal = aligner.recognizer.open(tones(text, rng))
    whole, frames = aligner.align(signal, text), len(aligner.emit(signal.samples)[0])
    for name, value in (("WHOLE", 200), ("CHUNK", 150), ("OVERLAP", 50)):
        monkeypatch.setattr(f"seqlab.alignment.{name}", value)
    assert frames > 3 * 150
    assert len(aligner.emit(signal.samples)[0]) == frames
    pieces = aligner.align(signal, text)
    assert max(abs(a.start - b.start) for a, b in zip(whole.words, pieces.words, strict=True)) < 0.08


def test_verb_on_files(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "r.wav", tones("ab ca", np.random.default_rng(5)), RATE)
    (tmp_path / "r.txt").write_text("ab\nca\n")
    done = seqlab("align", trained, "r.wav", "r.txt")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert [w["text"] for w in row["words"]] == ["ab", "ca"]
    assert row == json.loads(seqlab("align", trained, "r.wav", "--text", "ab ca").stdout)
    done = seqlab("align", trained, "r.wav", "--text", "ab ca", "-f", "ctm")
    assert [line.split()[4] for line in done.stdout.splitlines()] == ["ab", "ca"]
    done = seqlab("align", trained, "r.wav", "--text", "ab ca", "-f", "textgrid", "-o", "r.TextGrid")
    assert done.returncode == 0
    assert 'text = "ca"' in (tmp_path / "r.TextGrid").read_text()
    done = seqlab("align", trained, "r.wav", "--text", "ab cccc ca")
    assert done.returncode == 0
    assert "r.wav: 1 of 3 words may not be there: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r.wav", "--text", "a ?"], "--text: characters '?' are not in the alphabet; --skip-unknown leaves them out"),
        (["r.wav", "bad.txt"], "bad.txt: not UTF-8"),
        (["r.wav", "empty.txt"], "empty.txt: the text is empty"),
        (["r.wav", "--text", "abc" * 40], "r.wav: 120 symbols need 120 frames, there are"),
        (["r.wav"], "give the file of the text, or --text"),
        (["r.wav", "--fit"], "take a manifest"),
        (["none.wav", "--text", "a"], "none.wav"),
        (["r.wav", "--text", "a", "--priors", "p.json"], "label priors p.json not found; write it with"),
        (["r.wav", "--text", "a", "--prior-weight", "0.5"], "goes with --priors"),
    ],
)
def test_wrong_input_has_a_message(
    arguments: list[str], message: str, trained: Path, seqlab: Run, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "r.wav", tones("ab ca", np.random.default_rng(5)), RATE)
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "empty.txt").write_text("\n")
    done = seqlab("align", trained, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_verb_on_manifests(corpus: Path, trained: Path, seqlab: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").write_bytes(next((trained / "checkpoints").glob("best*")).read_bytes())
    decoder = "{_target_: seqlab.ctc.beam.Beam, lm: none.ngram, lm_weight: 0.5}"
    (run / "decoding.yaml").write_text(f"decoder: {decoder}\n")  # aligning needs no decoder
    dev = corpus / "dev.jsonl"
    done = seqlab("align", run, corpus / "train.jsonl", "--fit")
    assert done.returncode == 0, done.stderr
    assert (run / "aligner.pt").is_file()
    for form, suffix in (("json", "json"), ("textgrid", "TextGrid"), ("ctm", "ctm")):
        done = seqlab("align", run, dev, "-f", form, "-d", "out")
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out").glob(f"*.{suffix}"))) == 8
    assert len(seqlab("align", run, dev).stdout.splitlines()) == 8
    assert seqlab("align", run, dev, "-f", "textgrid").returncode == 2
    done = seqlab("align", run, dev, "--write-priors", run / "priors.json")
    assert done.returncode == 0, done.stderr
    symbols = Recognizer.load(trained).tokenizer.symbols
    assert float(priors.read(run / "priors.json", symbols).exp().sum()) == pytest.approx(1, abs=1e-3)
    done = seqlab("align", run, dev, "--plain", "--priors", run / "priors.json")
    assert done.returncode == 0, done.stderr
    done = seqlab("align", run, dev, "--peakiness")
    for word in ("blank frames", "frames per symbol", "entropy per frame", "surer than 0.99"):
        assert word in done.stdout
    lines = dev.read_text().splitlines()
    lines = [line.replace('"audio": "', f'"audio": "{corpus}/') for line in lines]
    lines[1] = json.dumps(json.loads(lines[1]) | {"text": "a ?"})
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    done = seqlab("align", run, "bad.jsonl", "-o", "all.json")
    assert done.returncode == 1
    assert "bad.jsonl:2 dev-001: characters '?' are not in the alphabet; --skip-unknown" in done.stderr
    assert len((tmp_path / "all.json").read_text().splitlines()) == 7


def test_ids_that_differ_by_a_slash_get_files_of_their_own(corpus: Path, trained: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (corpus / "dev.jsonl").read_text().splitlines()[:3]]
    rows = [
        row | {"id": name, "audio": f"{corpus}/{row['audio']}"}
        for row, name in zip(rows, ("a/b", "a_b", "a_b-2"), strict=True)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert align([str(trained), str(tmp_path / "m.jsonl"), "-d", str(tmp_path / "out"), "--device", "cpu"]) == 0
    written = {path.stem: json.loads(path.read_text())["id"] for path in (tmp_path / "out").iterdir()}
    assert written == {"a_b": "a_b", "a_b-2": "a_b-2", "a_b-3": "a/b"}


def test_transcribe_writes_textgrid_and_ctm(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("transcribe", trained, corpus / "dev", "-f", "textgrid", "-d", "out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.TextGrid"))) == 8
    assert seqlab("transcribe", trained, corpus / "dev", "-f", "textgrid").returncode == 2
    done = seqlab("transcribe", trained, corpus / "dev" / "dev-000.wav", "-f", "ctm")
    assert done.stdout.startswith("dev-000 1 ")


def test_line_images_are_placed_in_pixels(seqlab: Run, tmp_path: Path) -> None:
    images = handwriting.write_lines(tmp_path / "images", sizes=(24, 4, 4))
    done = seqlab("train", *handwriting.settings(images), "training.max_epochs=1", "run_dir=run")
    assert done.returncode == 0, done.stderr
    manifest = next(Path(images).glob("dev*.jsonl"))
    assert seqlab("align", "run", manifest, "--fit").returncode == 0
    done = seqlab("align", "run", manifest)
    assert done.returncode == 0, done.stderr
    for row in map(json.loads, done.stdout.splitlines()):
        assert row["unit"] == "px"
        assert 0 <= row["words"][0]["start"] < row["words"][-1]["end"] <= row["duration"]


def test_priors_of_the_loss_survive_a_kill_bit_by_bit(corpus: Path, tmp_path: Path) -> None:
    def command(folder: str, *more: str) -> list[str]:
        return [*settings(corpus, tmp_path / folder, 0), "training.max_epochs=2", "loss.prior_weight=0.5", *more]

    finish(command("whole"))
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    kill_after(command("cut"), last, 3)
    finish(command("cut", "resume=true"))
    whole = torch.load(tmp_path / "whole" / "checkpoints" / "last.ckpt", weights_only=True)
    cut = torch.load(last, weights_only=True)
    for key in ("state_dict", "current_model_state", "optimizer_states"):
        same(whole[key], cut[key], key)
    learnt = [value for name, value in whole["current_model_state"].items() if name.endswith("loss.priors")]
    assert len(learnt) == 1
    assert float(learnt[0].sum()) == pytest.approx(1, abs=1e-4)
    assert float(learnt[0].std()) > 0

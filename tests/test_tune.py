"""seqlab tune: what it chooses, where it keeps it, who uses it."""

import json
import shutil
from pathlib import Path

import pytest

from seqlab.config import load_yaml
from seqlab.decoding import changed, run_folder, same_reading, stored
from seqlab.errors import DataError
from seqlab.recognizer import Recognizer
from seqlab.verbs.tune import Trials
from tests.conftest import Run, small_settings


class Valley(Trials):
    """Trials whose error rate is known: smallest at the given settings."""

    def __init__(self, lowest: dict[str, float], flat: tuple[str, ...] = ()) -> None:
        self.lowest, self.flat, self.calls = lowest, flat, 0

    def __call__(self, settings):  # type: ignore[no-untyped-def]
        self.calls += 1
        return sum(abs(settings[k] - v) for k, v in self.lowest.items() if k not in self.flat)


def test_search_walks_to_the_lowest_rate() -> None:
    lowest = {"lm_weight": 1.3, "insertion_bonus": -0.75, "prior_weight": 0.3}
    assert Valley(lowest).search(list(lowest), dict.fromkeys(lowest, 0.0)) == lowest


def test_what_does_not_help_stays_zero_or_goes_back_to_it() -> None:
    lowest = {"lm_weight": 0.0, "insertion_bonus": 0.0, "prior_weight": 0.0}
    assert Valley(lowest).search(list(lowest), {**lowest, "lm_weight": 0.4}) == lowest
    level = Valley({"lm_weight": 0.4, "prior_weight": 9.0}, flat=("prior_weight",))
    assert level.search(["lm_weight", "prior_weight"], {"lm_weight": 0.4, "prior_weight": 0.2})["prior_weight"] == 0.0


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def test_choice_is_kept_and_used(model: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("tune", model, "--order", 3, "--beam", 8)
    assert done.returncode == 0, done.stderr
    assert "greedy" in done.stdout
    assert f"kept in {model}/decoding.yaml" in done.stdout
    kept = load_yaml(model / "decoding.yaml")
    assert kept["chosen_on"]["lines"] == 8
    assert kept["chosen_on"]["cer"] <= kept["chosen_on"]["greedy"]
    assert set(kept["calibration"]) == {"symbol", "word", "line"}
    assert not (model / "lm.ngram.new").exists()
    assert seqlab("evaluate", f"model={model}").returncode == 0
    report = json.loads((model / "evaluate" / "test" / "report.json").read_text())
    assert report["decoder"].split()[0] == kept["decoder"]["_target_"].rpartition(".")[2].lower()


def test_beam_decodes_and_the_folder_can_move(model: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("ab c\nabc a\nbca\n" * 5)
    assert seqlab("lm", "build", text, "--order", 3, "--unit", "char", "-o", model / "lm.ngram").returncode == 0
    (model / "decoding.yaml").write_text(
        "decoder: {_target_: seqlab.ctc.beam.Beam, beam: 8, lm: lm.ngram, lm_weight: 0.2}\n"
    )
    moved = model.rename(tmp_path / "moved")
    decoder = stored(moved / "checkpoints" / "last.ckpt")["decoder"]
    assert decoder["lm"] == str(moved / "lm.ngram")
    assert type(Recognizer.load(moved).decoder).__name__ == "Beam"
    row = json.loads((corpus / "test.jsonl").read_text().splitlines()[0])
    done = seqlab("transcribe", moved, corpus / row["audio"])
    assert (done.returncode, done.stdout.strip()) == (0, row["text"])
    plain = seqlab("transcribe", moved, corpus / row["audio"], "-s", "decoder=greedy")
    assert plain.stdout.strip() == row["text"]
    several = ("-s", "decoder=beam", "-s", "decoder.n_best=3", "-f", "json")
    best = seqlab("transcribe", moved, corpus / row["audio"], *several)
    assert len(json.loads(best.stdout)["alternatives"]) == 2


def test_single_settings_change_what_was_chosen(model: Path, corpus: Path, seqlab: Run) -> None:
    (model / "decoding.yaml").write_text(
        "decoder: {_target_: seqlab.ctc.beam.Beam, beam: 1, insertion_bonus: -0.25, lexicon: null, "
        "priors: [-0.7, -1.0]}\n"
    )
    overrides = changed(model, ["decoder.n_best=3", "model=x"])
    assert overrides[0] == "decoder=beam"
    assert {"decoder.beam=1", "decoder.insertion_bonus=-0.25", "decoder.priors=[-0.7,-1.0]"} < set(overrides)
    assert "decoder.lexicon=null" in overrides
    assert overrides[-2:] == ["decoder.n_best=3", "model=x"]
    assert changed(model, ["decoder=greedy"]) == ["decoder=greedy"]
    (model / "decoding.yaml").write_text("decoder: {_target_: seqlab.ctc.beam.Beam, beam: 7}\n")
    done = seqlab("evaluate", f"model={model}", "decoder.n_best=2")
    assert done.returncode == 0, done.stderr
    report = json.loads((model / "evaluate" / "test" / "report.json").read_text())
    assert "beam=7" in report["decoder"]
    assert "n_best=2" in report["decoder"]


def test_calibration_goes_with_its_decoder() -> None:
    kept = {"_target_": "seqlab.ctc.beam.Beam", "beam": 7, "n_best": 1}
    assert same_reading({**kept, "n_best": 4, "threads": 2}, kept)
    assert not same_reading({**kept, "beam": 8}, kept)


def test_wrong_value_in_the_choice_is_named_with_its_file(model: Path) -> None:
    (model / "decoding.yaml").write_text("decoder: {_target_: seqlab.ctc.beam.Beam, bream: 7}\n")
    with pytest.raises(DataError, match=r"decoding\.yaml: .*bream.*seqlab tune"):
        Recognizer.load(model)
    (model / "decoding.yaml").write_text("decoder: {_target_: seqlab.ctc.beam.Beam, lm: gone.ngram}\n")
    with pytest.raises(DataError, match=r"decoding\.yaml: .*gone\.ngram.*decoder=greedy"):
        Recognizer.load(model)
    (model / "decoding.yaml").write_text("decoder: {_target_: seqlab.ctc.beam.Beam, lm: '${oc.env:PATH}'}\n")
    with pytest.raises(DataError, match="values stand for themselves"):
        Recognizer.load(model)


def test_training_may_validate_with_beam_search(corpus: Path, seqlab: Run) -> None:
    done = seqlab("train", *small_settings(corpus), "training.max_epochs=1", "run_dir=run", "decoder=beam")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", ["decoder: 3\n", "a: [\n", "chosen_on: {}\n", "decoder: &a {b: 1}\nlm: *a\n"])
def test_damaged_choice_is_named(text: str, model: Path) -> None:
    (model / "decoding.yaml").write_text(text)
    with pytest.raises(DataError, match=r"decoding\.yaml.*seqlab tune"):
        stored(model)
    with pytest.raises(DataError, match=r"^.*decoding\.yaml.*seqlab tune"):
        Recognizer.load(model)
    assert Recognizer.load(model, decoder={"_target_": "seqlab.ctc.greedy.Greedy"}).decoder is not None


def test_numbers_may_be_written_without_a_point(tmp_path: Path) -> None:
    text = "decoder: {token_cut: 1e-3, threshold: -2E+1, beam: 7, lm_weight: 5.0e-1}\n"
    (tmp_path / "decoding.yaml").write_text(text)
    assert stored(tmp_path)["decoder"] == {"token_cut": 0.001, "threshold": -20.0, "beam": 7, "lm_weight": 0.5}


def test_run_folder_of_a_run_and_of_its_checkpoint() -> None:
    assert run_folder("runs/a/checkpoints/last.ckpt") == Path("runs/a")
    assert run_folder("weights/a.ckpt") == Path("weights")


def test_wrong_settings_are_named(model: Path, seqlab: Run) -> None:
    for arguments, told in (
        (("--dev", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--lm", "nowhere.arpa"), "nowhere.arpa"),
        (("--beam", "0"), "--beam must be 1 or more"),
    ):
        done = seqlab("tune", model, *arguments)
        assert done.returncode == 2
        assert told in done.stderr
    done = seqlab("transcribe", model, "a.wav", "-s", "decoder=bean")
    assert done.returncode == 2
    done = seqlab("transcribe", model, "a.wav", "-s", "threads=2")
    assert done.returncode == 2
    assert "-s takes decoder=" in done.stderr

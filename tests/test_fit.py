"""seqlab fit: what is found, how it is divided, what is chosen, and the whole command on a corpus of tones."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqlab.config import compose, load_yaml
from seqlab.errors import DataError
from seqlab.fit.choose import Facts, choose, look, smaller_strides
from seqlab.fit.discover import discover
from seqlab.fit.split import divide
from seqlab.manifest import Line, read_manifest
from seqlab.media import write_image
from seqlab.media.kinds import SUFFIXES
from seqlab.verbs import transcribe_files
from tests.conftest import RATE, Run, tones
from tests.corpora.test_pages import add_page


def wave(path: Path, seconds: float = 0.5, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.1, 0.1, int(seconds * RATE)), RATE)
    return path


def table(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def named(count: int, **fields: Any) -> list[Line]:
    return [Line(id=f"x{i}", text="a", audio=f"x{i}.wav", **fields) for i in range(count)]


def test_media_are_told_by_the_same_endings_as_elsewhere() -> None:
    assert transcribe_files.SUFFIXES is SUFFIXES


# ---- found


def test_columns_are_guessed_from_names_and_from_what_is_on_disk(tmp_path: Path) -> None:
    for i in range(3):
        wave(tmp_path / "clips" / f"{i}.wav", seed=i)
    rows = [[f"{i}.wav", f"word {i}", f"p{i}", "ab.wav"] for i in range(3)]
    path = table(tmp_path / "list.csv", ["where", "sentence", "client_id", "note"], rows)
    parts, told = discover(path).read(tmp_path / "out")
    lines = parts[""]
    assert [line.text for line in lines] == ["word 0", "word 1", "word 2"]
    assert [line.speaker for line in lines] == ["p0", "p1", "p2"]
    assert Path(str(lines[0].audio)) == tmp_path / "clips" / "0.wav"
    assert "media 'where', text 'sentence', speaker 'client_id'" in told


def test_a_table_that_names_files_elsewhere_is_refused_until_their_folder_is_given(tmp_path: Path) -> None:
    outside = wave(tmp_path / "far" / "0.wav")
    (tmp_path / "near").mkdir()
    path = table(tmp_path / "near" / "list.csv", ["file", "text"], [[str(outside), "a"]])
    with pytest.raises(DataError, match="--media DIR"):
        discover(path).read(tmp_path / "out")
    parts, _ = discover(path, media=tmp_path / "far").read(tmp_path / "out")
    assert [line.text for line in parts[""]] == ["a"]


def test_a_text_column_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    wave(tmp_path / "0.wav")
    path = table(tmp_path / "list.csv", ["file", "this", "that"], [["0.wav", "a", "b"]])
    with pytest.raises(DataError, match="--columns text=NAME"):
        discover(path).read(tmp_path / "out")
    parts, _ = discover(path, columns={"text": "that"}).read(tmp_path / "out")
    assert parts[""][0].text == "b"


def test_json_lines_of_any_names_and_their_split(tmp_path: Path) -> None:
    rows = []
    for i in range(4):
        write_image(tmp_path / f"{i}.png", np.full((20, 40), 255, np.uint8))
        rows.append({"image_path": f"{i}.png", "transcription": str(i), "subset": ("train", "valid")[i % 2]})
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    parts, _ = discover(path).read(tmp_path / "out")
    assert {part: [line.text for line in lines] for part, lines in parts.items()} == {
        "train": ["0", "2"],
        "dev": ["1", "3"],
    }
    assert (parts["dev"][0].width, parts["dev"][0].height) == (40, 20)


def test_texts_beside_recordings_and_lists_of_texts(tmp_path: Path) -> None:
    wave(tmp_path / "own" / "a" / "1.wav", seed=1)
    (tmp_path / "own" / "a" / "1.txt").write_text("one\ntwo\n")
    wave(tmp_path / "own" / "a" / "2.wav", seed=2)
    (tmp_path / "own" / "a" / "2.lab").write_text("three")
    parts, _ = discover(tmp_path / "own").read(tmp_path / "out")
    assert [line.text for line in parts[""]] == ["one two", "three"]
    wave(tmp_path / "tree" / "84" / "12" / "84-12-0001.wav")
    (tmp_path / "tree" / "84" / "12" / "84-12.trans.txt").write_text("84-12-0001 GO DO\n84-12-0002 NOT THERE")
    parts, _ = discover(tmp_path / "tree").read(tmp_path / "out2")
    assert [(line.text, line.speaker) for line in parts[""]] == [("GO DO", "84")]


def test_notes_beside_a_recording_are_no_ink(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "a.json").write_text("{}")
    assert discover(tmp_path).layout == "audio"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "ink.json").write_text('{"strokes": [[[0, 0], [1, 1]]]}')
    (tmp_path / "b" / "ink.txt").write_text("x")
    assert discover(tmp_path / "b").layout == "strokes"


def test_pairs_of_images_and_folders_of_parts(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        (tmp_path / part).mkdir()
        write_image(tmp_path / part / "a.png", np.full((20, 40), 255, np.uint8))
        (tmp_path / part / "a.gt.txt").write_text(part)
    found = discover(tmp_path)
    assert found.layout == "line_pairs"
    parts, _ = found.read(tmp_path / "out")
    assert {part: [line.text for line in lines] for part, lines in parts.items()} == {
        part: [part] for part in ("train", "dev", "test")
    }


def test_what_is_ambiguous_or_empty_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(DataError, match=r"there: 1 \.md.*(?s:.)*looked for"):
        discover(tmp_path)
    wave(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("one")
    table(tmp_path / "list.csv", ["file", "text"], [["a.wav", "one"]])
    with pytest.raises(DataError, match=r"several things.*--layout"):
        discover(tmp_path)
    assert discover(tmp_path, layout="audio").layout == "audio"
    with pytest.raises(FileNotFoundError, match="give a folder or a table"):
        discover(tmp_path / "none")


def test_a_run_folder_below_the_data_is_no_data(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    for place in (tmp_path, run / "data"):
        wave(place / "a.wav")
        (place / "a.txt").write_text("one")
    (run / "fit.json").write_text("{}")
    (run / "report.html").write_text("<html/>")
    found = discover(tmp_path)
    assert (found.layout, found.told) == ("audio", "1 files with text beside them")


def test_pages_of_a_run_folder_are_no_data(tmp_path: Path) -> None:
    for place in (tmp_path / "scans", tmp_path / "scans" / "results" / "pages"):
        add_page(place, "p1", ["one"])
    (tmp_path / "scans" / "results" / "fit.json").write_text("{}")
    found = discover(tmp_path / "scans")
    assert (found.layout, found.told) == ("pages", "1 page files")
    parts, _ = found.read(tmp_path / "out")
    assert [line.text for line in parts[""]] == ["one"]


def test_what_an_importer_asks_for_is_said_as_fit_understands_it(tmp_path: Path) -> None:
    wave(tmp_path / "my data" / "a.wav")
    (tmp_path / "my data" / "wav.scp").write_text("a a.wav\nb b.wav\n")
    (tmp_path / "my data" / "text").write_text("a one\nb two\n")
    with pytest.raises(DataError) as caught:
        discover(tmp_path / "my data").read(tmp_path / "out")
    said = str(caught.value)
    assert "1 of 2 line(s) have no sound recording" in said
    command = said.splitlines()[-2].split(None, 2)
    assert command[:2] == ["seqlab", "prepare"]
    assert f"'corpus.prepare.root={tmp_path}/my data'" in command[2]
    compose("prepare", [*shlex.split(command[2]), "corpus.prepare.max_faulty=0.5"])  # the cure is a command
    path = table(tmp_path / "my data" / "list.csv", ["file", "text"], [["a.wav", "one"], ["b.wav", "two"]])
    with pytest.raises(DataError, match="take out these lines") as caught:
        discover(path).read(tmp_path / "out")
    assert "max_faulty" not in str(caught.value)


def test_hostile_lists_do_not_leave_their_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    wave(tmp_path / "secret.wav")
    (tmp_path / "d" / "x.trans.txt").write_text("../secret TEXT")
    with pytest.raises(DataError, match="no name of a recording"):
        discover(tmp_path / "d")


def test_a_table_without_a_header_is_refused(tmp_path: Path) -> None:
    for i in range(3):
        wave(tmp_path / f"c{i}.wav", seed=i)
    for ending in (".wav", ""):
        path = table(tmp_path / "list.csv", [f"c0{ending}", "one"], [[f"c{i}{ending}", "two"] for i in (1, 2)])
        with pytest.raises(DataError, match="there is no header; put one on top"):
            discover(path).read(tmp_path / "out")


@pytest.mark.parametrize("name", ["Client ID", "Speaker ID", "Speaker-ID", "speaker_id", "SpeakerID"])
def test_names_of_columns_are_known_in_any_spelling(tmp_path: Path, name: str) -> None:
    wave(tmp_path / "a.wav")
    path = table(tmp_path / "list.csv", ["File Name", "Text", name, "age"], [["a.wav", "one", "ann", "3"]])
    parts, told = discover(path).read(tmp_path / "out")
    assert parts[""][0].speaker == "ann"
    assert "not used: 'age'" in told


def test_a_recording_named_twice_is_told_with_its_rows(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav")
    path = table(tmp_path / "list.csv", ["file", "text"], [["a.wav", "one"], ["a.wav", "two"]])
    with pytest.raises(DataError, match=r"a\.wav is named twice, rows 2 and 3: leave one"):
        discover(path).read(tmp_path / "out")


def test_paths_of_windows_and_names_without_ending(tmp_path: Path) -> None:
    wave(tmp_path / "clips" / "c0.wav")
    path = table(tmp_path / "list.csv", ["file", "text"], [["clips\\c0.wav", "one"]])
    assert [line.text for line in discover(path).read(tmp_path / "out")[0][""]] == ["one"]
    table(path, ["file", "text"], [["C:\\mine\\c0.wav", "one"]])
    with pytest.raises(DataError, match=r"mine\\c0\.wav is a path of Windows"):
        discover(path).read(tmp_path / "out")
    table(path, ["file", "text"], [["c0", "un due"]])
    assert discover(path).read(tmp_path / "out")[0][""][0].files == [tmp_path / "clips" / "c0.wav"]
    wave(tmp_path / "clips" / "c0.flac")
    with pytest.raises(DataError, match=r"need their ending: c0 could be c0\.flac, c0\.wav"):
        discover(path).read(tmp_path / "out")


def test_encodings_are_read_or_named(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav")
    path, text = tmp_path / "list.csv", "file,text\na.wav,più\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert discover(path).read(tmp_path / "out")[0][""][0].text == "più"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"list\.csv:2: byte 0xf9 is not UTF-8; save it as UTF-8"):
        discover(path).read(tmp_path / "out")
    path.write_bytes(text.encode("utf-16-le"))
    with pytest.raises(DataError, match="UTF-16 without a mark"):
        discover(path).read(tmp_path / "out")


# ---- divided


def test_whole_speakers_are_left_out_where_half_remains() -> None:
    lines = [line for s in range(5) for line in named(20, speaker=f"s{s}")]
    for number, line in enumerate(lines):
        line.id = line.audio = str(number)
    split = divide({"": lines}, (0.1, 0.1), None, 1)
    assert split.by == "speaker"
    spoken = {part: {line.speaker for line in rows} for part, rows in split.parts.items()}
    assert {part: len(names) for part, names in spoken.items()} == {"train": 3, "dev": 1, "test": 1}
    assert not spoken["train"] & (spoken["dev"] | spoken["test"])
    two = [line for line in lines if line.speaker in ("s0", "s1")]
    assert divide({"": two}, (0.1, 0.1), None, 1).by == "line"


def test_documents_then_lines_and_least_sizes() -> None:
    lines = named(200)
    for number, line in enumerate(lines):
        line.extra["page"] = f"p{number // 10}"
    split = divide({"": lines}, None, None, 1)
    assert split.by == "document"
    assert {part: len(rows) for part, rows in split.parts.items()} == {"train": 160, "dev": 20, "test": 20}
    split = divide({"": named(100)}, None, None, 1)
    assert {part: len(rows) for part, rows in split.parts.items()} == {"train": 60, "dev": 20, "test": 20}  # not 10
    split = divide({"": named(40_000)}, None, None, 1)
    assert {part: len(rows) for part, rows in split.parts.items()} == {"train": 38_000, "dev": 1000, "test": 1000}
    with pytest.raises(DataError, match="at least 10"):
        divide({"": named(9)}, None, None, 1)
    with pytest.raises(DataError, match="divided by speaker"):
        divide({"": named(30)}, None, "speaker", 1)


def test_shares_that_are_asked_for_are_kept_and_told() -> None:
    split = divide({"": named(100)}, (0.05, 0.1), None, 1)
    assert {part: len(rows) for part, rows in split.parts.items()} == {"train": 85, "dev": 5, "test": 10}
    assert "5 and 10 of 100 lines, the shares 0.05 and 0.1 as asked for" in split.told
    assert "20 and 20 of 100 lines, a tenth each, but 20 lines or more" in divide({"": named(100)}, None, None, 1).told
    split = divide({"": named(20_000)}, (0.2, 0), None, 1)
    assert {part: len(rows) for part, rows in split.parts.items()} == {"train": 16_000, "dev": 4000}


def test_the_same_medium_is_never_in_two_parts(tmp_path: Path) -> None:
    lines = []
    for number in range(40):  # two copies of each of 20 recordings, under names of their own
        path = wave(tmp_path / f"{number}.wav", seed=number % 20)
        lines.append(Line(id=str(number), text=str(number % 20), audio=path.name, root=tmp_path))
    parts = divide({"": lines}, (0.1, 0.1), None, 1).parts
    texts = [{line.text for line in rows} for rows in parts.values()]
    assert sum(map(len, parts.values())) == 40
    assert sum(map(len, texts)) == len(set.union(*texts)) == 20
    given = divide({"train": lines[:30], "test": lines[30:]}, (0.1, 0.1), None, 1)
    assert {line.id for line in given.parts["test"]} == {str(n) for n in range(30, 40)}
    assert not {line.text for line in given.parts["test"]} & {str(int(x.text)) for x in given.parts["train"]}
    assert "10 line(s) of train left out" in given.told


def test_parts_that_are_given_stay() -> None:
    lines = named(60)
    split = divide({"train": lines[:40], "dev": lines[40:50], "test": lines[50:]}, (0.1, 0.1), None, 1)
    assert split.by == "given"
    assert [line.id for line in split.parts["dev"]] == [f"x{i}" for i in range(40, 50)]


# ---- chosen


def test_recipes_by_kind() -> None:
    def recipe(kind: str, **facts: Any) -> str:
        return choose(Facts(kind, 1000, **facts)).recipe

    assert recipe("image", height=80) == "peraire"
    assert recipe("image", height=80, writers=12) == "testaments"
    assert recipe("audio", single=True, writers=5) == "fsdd"
    assert recipe("audio", single=True, writers=3, apart=True, texts=50) == "fsdd_loso"
    assert recipe("audio", single=True, writers=3, apart=True, texts=51) == "fsdd", "too many words for a label each"
    assert recipe("audio", hours=2.0) == "an4"
    assert recipe("audio", hours=100.0, gpu=True) == "librispeech"
    assert recipe("strokes", single=True) == "pendigits"
    assert recipe("strokes") == "iam_online"
    assert recipe("features", size=7) == "squiggles"


def test_every_choice_composes(tmp_path: Path) -> None:
    from seqlab.fit.prepare import Wish, _Experiment

    corpus: dict[str, Any] = {part: [f"{part}.jsonl"] for part in ("train", "dev")}
    for facts in (
        Facts("image", 9, height=30, right_to_left=True),
        Facts("audio", 9, rate=8000),
        Facts("audio", 9, single=True, apart=True),
        Facts("strokes", 9),
        Facts("strokes", 9, single=True),
        Facts("features", 9, size=7),
    ):
        experiment = _Experiment(tmp_path, Wish(Path(), "mine"), corpus, choose(facts))
        config = experiment.compose()
        assert config["corpus"]["train"] == ["train.jsonl"]
        for key, value in experiment.choice.settings.items():
            node: Any = config
            for step in key.split("."):
                node = node[step]
            assert node == value
        for settings in smaller_strides(config):
            experiment.compose(**settings)


def test_settings_that_are_given_are_kept_in_the_file_and_nothing_is_chosen_there(tmp_path: Path) -> None:
    from seqlab.fit.prepare import Wish, _Experiment

    facts = Facts("strokes", 9)
    overrides = ["encoder=lstm", "encoder.hidden_size=48", "stem.pools=null", "+logger.x='a=b'", "training.threads=2"]
    overrides[2:4] = ["logger=csv", "name='it is, #1'"]
    choice = choose(facts, given={"encoder.hidden_size", "optimizer"})
    assert "encoder.hidden_size" not in choice.settings
    assert "optimizer.lr" not in choice.settings
    assert not any("hidden_size" in what for what, _ in choice.reasons)
    corpus: dict[str, Any] = {part: [f"{part}.jsonl"] for part in ("train", "dev")}
    experiment = _Experiment(tmp_path, Wish(Path(), "mine", overrides=overrides), corpus, choice)
    asked = experiment.compose()
    assert experiment.finish() == asked
    assert asked["name"] == "it is, #1"
    assert asked["encoder"]["hidden_size"] == 48
    assert compose("train", ["experiment=fit"], str(tmp_path)) == asked


def test_strides_of_stems_go_down_to_one() -> None:
    stem = {"pools": [[1, 1], [2, 2], [1, 2]], "strides": [[2, 2], [1, 1], [1, 1]]}
    two, one = smaller_strides({"stem": stem})
    assert two == {"stem.pools": [[1, 1], [1, 2], [1, 2]]}
    assert one == {**two, "stem.strides": [[1, 2], [1, 1], [1, 1]]}
    assert smaller_strides({"stem": {"factor": 3}}) == [{"stem.factor": 2}, {"stem.factor": 1}]


def test_facts_of_short_words(tmp_path: Path) -> None:
    lines = [
        Line(id=str(i), text="one", audio="x.wav", sample_rate=8000, duration_s=0.5, speaker="a") for i in range(4)
    ]
    facts = look({"train": lines, "dev": lines[:1]})
    assert (facts.kind, facts.single, facts.rate, facts.writers, facts.apart) == ("audio", True, 8000, 1, False)
    assert look({"train": lines, "dev": [Line("5", "one", audio="y.wav", speaker="b")]}).apart
    lines[0].text = lines[1].text = "one two"
    assert not look({"train": lines}).single


# ---- the command


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 60 recordings of tones with a.txt beside, one of which says nothing."""
    folder = tmp_path_factory.mktemp("spoken") / "my tones"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        text = " ".join("".join(rng.choice(list("abc"), 3)) for _ in range(3))
        soundfile.write(folder / f"{number:02d}.wav", tones(text, rng), RATE)
        (folder / f"{number:02d}.txt").write_text(text)
    (folder / "07.txt").write_text("")
    return folder


SMALL = ("encoder.hidden_size=16", "encoder.num_layers=1", "frontend.num_mels=16", "logger=csv")


def test_own_data_to_a_model_and_the_same_again(seqlab: Run, spoken: Path, tmp_path: Path) -> None:
    command = ("fit", spoken, "--minutes", "0.1", *SMALL)
    done = seqlab(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "my_tones"
    assert "found: audio, 60 files with text beside them" in done.stdout
    lines = {part: read_manifest(run / "data" / f"{part}.jsonl") for part in ("train", "dev", "test")}
    assert sum(map(len, lines.values())) == 59  # without the empty one
    for made in ("decoding.yaml", "evaluate/test/report.html", "checkpoints/last.ckpt", "data/doctor.jsonl"):
        assert (run / made).is_file(), made
    again = compose("train", ["experiment=fit", *SMALL], str(run))
    trained = load_yaml(run / "config.yaml")
    assert compose("train", ["experiment=fit"], str(run)) == again  # what was set is in the file
    for config in (again, trained):
        config["tokenizer"].pop("alphabet")
        for key in ("run_dir", "resume", "overwrite"):
            config.pop(key)
    trained["corpus"]["rejoin_from"] = trained["corpus"]["rejoin_from"] or None  # train makes a list of nothing
    assert again == trained
    assert f"seqlab train --config-dir {run} experiment=fit" in done.stdout
    done = seqlab(*command)
    assert done.returncode == 0
    assert "finished already" in done.stdout
    done = seqlab("fit", spoken, "--minutes", "5", *SMALL)
    assert done.returncode == 2
    assert "minutes 0.1, now 5.0" in done.stderr


def test_a_stopped_fit_goes_on_where_it_was(
    seqlab: Run, spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqlab.verbs import fit

    def stop(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    command = ("fit", spoken, "--minutes", "0.1", "-o", "run", *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "tune", stop)
        done = seqlab(*command)
    assert done.returncode == 130
    assert "by the same command" in done.stderr
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["done"] == ["prepared", "trained"]
    weights = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    done = seqlab(*command)
    assert done.returncode == 0, done.stderr
    assert "found:" not in done.stdout
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == weights  # not trained again
    assert (tmp_path / "run" / "evaluate" / "test" / "report.json").is_file()


def test_what_went_wrong_at_first_does_not_stand_in_the_way(seqlab: Run, spoken: Path, tmp_path: Path) -> None:
    done = seqlab("fit", spoken, "-o", "run", "encoder.hiden_size=3")
    assert done.returncode == 2
    assert "did you mean 'hidden_size'" in done.stderr
    done = seqlab("fit", spoken, "-o", "run", "encoder.hiden_size=4")
    assert "begun by another command" not in done.stderr


def test_a_dry_run_shows_the_choices_and_leaves_nothing(seqlab: Run, spoken: Path, tmp_path: Path) -> None:
    done = seqlab("fit", spoken, "--dry-run", "--minutes", "0.1", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "# as experiment=an4: lines of speech" in done.stdout
    assert "sample_rate: 8000" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["é ' ( , = [ { # b", '${a}\\b"'])
def test_any_name_of_a_run_folder_serves(seqlab: Run, tmp_path: Path, name: str) -> None:
    from seqlab.config import quoted

    run = tmp_path / name
    (run / "experiment").mkdir(parents=True)
    (run / "experiment" / "fit.yaml").write_text("# @package _global_\ndefaults: [an4]\nseed: 7\n")
    assert compose("train", ["experiment=fit"], str(run))["seed"] == 7
    assert compose("evaluate", [f"model={quoted(str(run))}"])["model"] == str(run)
    done = seqlab("train", "--config-dir", run, "experiment=fit", "--cfg", "job")
    assert "seed: 7" in done.stdout, done.stderr


def test_wrong_input_is_named(seqlab: Run, spoken: Path, tmp_path: Path) -> None:
    def message(*arguments: object) -> str:
        done = seqlab("fit", *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "--minutes" in message(spoken, "--minutes", "0")
    assert "leave some to train" in message(spoken, "--shares", "0.6", "0.5")
    assert "use --output" in message(spoken, "run_dir=x")
    assert "one value for each setting" in message(spoken, "seed=1,2")
    assert "there is no experiment 'nope'" in message(spoken, "--recipe", "nope")
    assert "WHAT=NAME" in message(spoken, "--columns", "text")
    assert "not found" in message(tmp_path / "none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("kept")
    assert "holds something else" in message(spoken, "-o", "mine")
    assert (tmp_path / "mine" / "precious.txt").read_text() == "kept"

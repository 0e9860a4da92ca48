"""Starting from a trained model: which weights are carried, what stays as it is, and what is refused."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.config import Config, compose
from seqlab.errors import ConfigError, DataError
from seqlab.finetune import carry_weights, load_start, start_alphabet
from seqlab.model import CTCModel, freeze
from seqlab.recognizer import Recognizer
from seqlab.tokenizers.characters import Characters
from tests.conftest import Run
from tests.test_handwriting import FRONTENDS, SMALL, call

# Arrays of noise with texts of two alphabets: what is learnt does not matter here.
TEXTS = {"old": ["ab", "ba b", "aab", "bab a"], "new": ["bc", "cb d", "bd", "c b"]}
NET = [
    *FRONTENDS["features"],
    *SMALL,
    "stem=line_cnn",
    "stem.channels=[4]",
    "stem.strides=[[1,1]]",
    "stem.pools=[[1,1]]",
    "stem.blocks=[0]",
    "encoder.hidden_size=6",
    "schedule=constant",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with old.jsonl and new.jsonl."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    for name, texts in TEXTS.items():
        rows = []
        for number, text in enumerate(texts):
            np.save(folder / f"{name}{number}.npy", rng.standard_normal((20, 3)))
            rows.append({"id": str(number), "features": f"{name}{number}.npy", "text": text})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(data: Path, name: str) -> list[str]:
    return ["corpus=manifest", f"corpus.train=[{data}/{name}.jsonl]", f"corpus.dev=[{data}/{name}.jsonl]", *NET]


@pytest.fixture(scope="module")
def start(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder of a model with the alphabet " ab"."""
    folder = tmp_path_factory.mktemp("start")
    call(folder, "train", *settings(data, "old"))
    return folder / "run"


def weights(run: Path) -> dict[str, Tensor]:
    """Return the weights that are trained on, not their average."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    found: dict[str, Tensor] = checkpoint.get("current_model_state", checkpoint["state_dict"])
    return {name.removeprefix("model."): value for name, value in found.items()}


def alphabet(run: Path) -> list[str]:
    symbols: list[str] = Recognizer.load(run, "cpu").tokenizer.symbols
    return symbols


GROW = ["<blk>", " ", "a", "b", "c", "d"]
ALPHABETS = {"grow": GROW, "keep": GROW[:4], "replace": ["<blk>", " ", "b", "c", "d"]}


@pytest.mark.parametrize("kind", ALPHABETS)
def test_rows_of_kept_symbols_are_carried(kind: str, start: Path) -> None:
    old = Recognizer.load(start, "cpu")
    tokenizer = Characters()
    symbols = ["<blk>", *start_alphabet(kind, old, tokenizer, TEXTS["new"])]
    assert symbols == ALPHABETS[kind]
    torch.manual_seed(3)
    model = CTCModel(old.config, len(symbols))
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    words = carry_weights(model, symbols, old)
    theirs = old.model.state_dict()
    for name, value in model.state_dict().items():
        if not name.startswith("head."):
            assert value.equal(theirs[name]), name
    rows = {symbol: i for i, symbol in enumerate(["<blk>", " ", "a", "b"])}  # the old alphabet in its order
    for i, symbol in enumerate(symbols):
        if symbol in rows:
            assert model.head.weight[i].equal(theirs["head.weight"][rows[symbol]])
            assert model.head.bias[i] == theirs["head.bias"][rows[symbol]]
        else:
            assert model.head.weight[i].equal(fresh["head.weight"][i])  # random as it was
            assert model.head.bias[i] == theirs["head.bias"].min()
    expected = {"grow": "3 symbols kept, 2 new ('c' 'd')", "keep": "3 symbols kept"}
    assert words == expected.get(kind, "2 symbols kept, 2 new ('c' 'd'), 1 dropped ('a')")


def test_training_begins_at_the_carried_weights(start: Path, data: Path, seqlab: Run, tmp_path: Path) -> None:
    still = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "training.max_epochs=1", "training.ema=null"]
    done = seqlab("train", *settings(data, "new"), *still, f"init.model={start}")
    assert done.returncode == 0, done.stderr
    assert f"starting from {start}/checkpoints/" in done.stdout
    assert alphabet(tmp_path / "run") == GROW
    old, new = Recognizer.load(start, "cpu"), Recognizer.load(tmp_path / "run", "cpu")
    theirs, ours = old.model.state_dict(), new.model.state_dict()
    for name, value in ours.items():
        if not name.startswith(("head.", "stem.stages.0.conv.norm.running")):  # statistics follow the data
            assert value.equal(theirs[name]), name
    for i, symbol in enumerate(new.tokenizer.symbols):
        if symbol in old.tokenizer.symbols:
            assert ours["head.weight"][i].equal(theirs["head.weight"][old.tokenizer.symbols.index(symbol)])


def test_kept_alphabet_refuses_other_characters(start: Path, data: Path, seqlab: Run) -> None:
    done = seqlab("train", *settings(data, "new"), f"init.model={start}", "init.alphabet=keep")
    assert done.returncode == 2
    assert "unknown characters: 4 in train" in done.stdout
    assert "'c' 'd' are not in the alphabet" in done.stdout


@pytest.mark.parametrize("parts", [["encoder"], ["stem", "encoder"]])
def test_frozen_parts_stay_bit_equal_and_others_move(
    parts: list[str], start: Path, data: Path, seqlab: Run, tmp_path: Path
) -> None:
    begin = [f"init.model={start}", f"init.freeze=[{','.join(parts)}]"]
    done = seqlab("train", *settings(data, "old"), *begin, "encoder.dropout=0.2")
    assert done.returncode == 0, done.stderr
    theirs = Recognizer.load(start, "cpu").model.state_dict()
    now = weights(tmp_path / "run")
    assert any("running_mean" in name for name in now)
    for name, value in now.items():
        if name.partition(".")[0] in parts:
            assert value.equal(theirs[name]), name
        else:
            assert not value.equal(theirs[name]), name
    for name, value in Recognizer.load(tmp_path / "run", "cpu").model.state_dict().items():
        if name.partition(".")[0] in parts:
            torch.testing.assert_close(value, theirs[name], atol=1e-6, rtol=1e-6)  # an average rounds


@pytest.fixture(scope="module")
def composed(start: Path) -> Config:
    """Return the configuration of the net, with init.model set."""
    return compose("train", [*NET, f"init.model={start}"])


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"init.alphabet": "shrink"}, ["init.alphabet must be one of grow, keep, replace, got 'shrink'"]),
    (
        {"tokenizer.normalization": "NFD"},
        ["tokenizer.normalization is NFD, the model's text was NFC; set tokenizer.normalization=NFC"],
    ),
    ({"tokenizer.case": "lower"}, ["tokenizer.case is lower, the model's text was keep; set tokenizer.case=keep"]),
    ({"tokenizer.case": "lower", "init.network": True}, ["set tokenizer.case=keep"]),
    (
        {"encoder.hidden_size": 8, "encoder.num_layers": 2, "stem.channels": [5]},
        [
            "encoder.hidden_size is 8, the model has 6",
            "encoder.num_layers is 2, the model has 1",
            "stem.channels is [5], the model has [4]",
            "init.network=true takes the network from the model",
        ],
    ),
    ({"encoder.bidirectional": False}, ["encoder.bidirectional is False, the model has True", "init.network=true"]),
    ({"frontend.frames_per_second": 50}, ["frontend.frames_per_second is 50, the model has 1.0", "init.network=true"]),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_cure(
    changes: dict[str, Any], words: list[str], composed: Config, start: Path
) -> None:
    config = copy.deepcopy(composed)
    for key, value in changes.items():
        node, _, name = key.partition(".")
        config[node][name] = value
    with pytest.raises(ConfigError) as refused:
        load_start(config)
    message = str(refused.value)
    for word in words:
        assert word in message
    if "shrink" not in message:
        assert message.startswith(f"init.model {start} does not fit the configuration:\n  ")
        assert message.count("\n") == len(words)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["nope"], "init.freeze: no part 'nope' with weights; there are stem, encoder, head"),
        (["frontend", "decoder"], "no part 'frontend', 'decoder' with weights"),
        (["stem", "encoder", "head"], "leaves no weight to learn"),
    ],
)
def test_parts_that_cannot_be_frozen_are_refused(parts: list[str], words: str, composed: Config) -> None:
    with pytest.raises(ConfigError, match=words):
        freeze(CTCModel(composed, 4), parts)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("init.freeze=[nope]", "there are stem, encoder, head"),
        ("encoder.hidden_size=8", "encoder.hidden_size is 8, the model has 6"),
        ("init.model=nowhere", "model nowhere not found; give a run folder, a model folder or a checkpoint"),
    ],
)
def test_command_refuses_before_it_trains(
    override: str, words: str, start: Path, data: Path, seqlab: Run, tmp_path: Path
) -> None:
    done = seqlab("train", *settings(data, "new"), f"init.model={start}", override)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.ckpt"))


def test_network_is_taken_from_the_model(start: Path, data: Path, seqlab: Run, tmp_path: Path) -> None:
    other = ["encoder.hidden_size=50", "encoder.num_layers=3", "stem=stack", "frontend=log_mel", "normalize=line"]
    overrides = [s for s in settings(data, "new") if not s.startswith(("stem", "frontend", "normalize", "encoder"))]
    done = seqlab("train", *overrides, *other, f"init.model={start}", "init.network=true")
    assert done.returncode == 0, done.stderr
    assert Recognizer.load(tmp_path / "run", "cpu").model.encoder.num_features == 12
    done = seqlab(
        "train", *overrides, *other, f"init.model={start}", "init.network=true", "resume=true", "training.max_epochs=3"
    )
    assert done.returncode == 0, done.stderr


def test_settings_without_weights_may_change(composed: Config) -> None:
    config = copy.deepcopy(composed)
    config["encoder"]["dropout"], config["stem"]["out_dropout"], config["optimizer"]["lr"] = 0.3, 0.1, 0.5
    assert load_start(config).tokenizer.symbols == GROW[:4]
    assert (config["encoder"]["dropout"], config["stem"]["out_dropout"]) == (0.3, 0.1)


LATER = ["encoder=latency_controlled", "encoder.hidden_size=6", "encoder.num_layers=1"]
ONE_WAY = ["encoder=lstm", "encoder.hidden_size=6", "encoder.num_layers=1"]


def test_a_blstm_is_read_on_by_chunks_with_its_weights(start: Path, data: Path, seqlab: Run, tmp_path: Path) -> None:
    still = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "training.max_epochs=1", "training.ema=null"]
    more = [*LATER, "encoder.chunk=3", "encoder.right=2", "encoder.dropout=0.1"]
    done = seqlab("train", *settings(data, "old"), *still, *more, f"init.model={start}")
    assert done.returncode == 0, done.stderr
    old, new = Recognizer.load(start, "cpu"), Recognizer.load(tmp_path / "run", "cpu")
    assert type(new.model.encoder).__name__ == "LatencyControlled"
    for name, value in old.model.encoder.state_dict().items():
        assert new.model.encoder.state_dict()[name].equal(value), name
    x, lengths = torch.randn(1, 5, new.model.stem.num_features), torch.tensor([5])  # one chunk with its right context
    with torch.no_grad():
        for ours, theirs in zip(new.model.encoder(x, lengths), old.model.encoder(x, lengths), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.fixture(scope="module")
def one_way(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder of an LSTM that reads forward, its features normalised by lines."""
    folder = tmp_path_factory.mktemp("one_way")
    call(folder, "train", *settings(data, "old"), *ONE_WAY, "normalize=line")
    return folder / "run"


def test_a_one_way_model_learns_to_look_ahead(one_way: Path, data: Path, seqlab: Run, tmp_path: Path) -> None:
    ahead = ["encoder=look_ahead", "encoder.hidden_size=6", "encoder.num_layers=1", "encoder.look_ahead=4"]
    still = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "training.max_epochs=1", "training.ema=null"]
    begin = [*settings(data, "new"), *still, f"init.model={one_way}", "normalize=global"]
    done = seqlab("train", *begin, *ahead)
    assert done.returncode == 0, done.stderr
    old, new = Recognizer.load(one_way, "cpu").model, Recognizer.load(tmp_path / "run", "cpu").model
    x, lengths = torch.randn(2, 9, old.stem.num_features), torch.tensor([9, 6])
    with torch.no_grad():
        torch.testing.assert_close(new.encoder(x, lengths)[0], old.encoder(x, lengths)[0])
    arrays = np.concatenate([np.load(data / f"new{i}.npy") for i in range(4)])
    want = torch.tensor(arrays.mean(0))  # no statistics came with a model that normalised by lines
    torch.testing.assert_close(new.normalize.mean.double(), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            [*LATER, "encoder.hidden_size=8"],
            ["lstm.weight_hh_l0 is [32, 8] in LatencyControlled, [24, 6] in BLSTM", "init.network=true"],
        ),
        (
            [*LATER, "encoder.num_layers=2"],
            ["lstm.weight_ih_l1 is [24, 12] in LatencyControlled, not there in BLSTM"],
        ),
        (["encoder=look_ahead", *ONE_WAY[1:]], ["lstm.weight_ih_l0_reverse is not there in LookAhead, [24"]),
        ([*LATER, "stem.channels=[5]"], ["stem.channels is [5], the model has [4]"]),
    ],
)
def test_another_encoder_of_other_weights_is_refused(overrides: list[str], words: list[str], start: Path) -> None:
    given = [o for o in NET if not o.startswith("encoder")]
    with pytest.raises(ConfigError) as refused:
        load_start(compose("train", [*given, *overrides, f"init.model={start}"]))
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(("theirs", "ours"), [("global", "line"), ("none", "global"), ("global", "none")])
def test_normalisation_changes_no_other_way(
    theirs: str, ours: str, composed: Config, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = copy.deepcopy(composed), copy.deepcopy(composed)
    old["normalize"]["kind"], new["normalize"]["kind"] = theirs, ours
    monkeypatch.setattr(Recognizer, "load", lambda *_: SimpleNamespace(config=old))
    with pytest.raises(ConfigError, match=f"normalize.kind is '{ours}', the model has '{theirs}'"):
        load_start(new)


OLDER = [  # what the model's file does not name, what the new configuration does not, its value here, the fault
    (["snip_edges"], [], {"snip_edges": False}, "frontend.snip_edges is False, the model has True"),
    ([], ["snip_edges"], {"snip_edges": False}, "frontend.snip_edges is True, the model has False"),
    (["snip_edges", "low_freq"], [], {"low_freq": 50.0}, "frontend.low_freq is 50.0, the model has 20.0"),
    (["snip_edges"], [], {}, ""),
    ([], ["snip_edges", "high_freq"], {}, ""),
]


@pytest.mark.parametrize(("theirs", "ours", "given", "fault"), OLDER)
def test_what_a_configuration_does_not_name_is_the_default_of_its_class(
    theirs: list[str], ours: list[str], given: dict[str, Any], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (compose("train", ["frontend=log_mel", "init.model=older"]) for _ in range(2))
    for config, without in ((old, theirs), (new, ours)):
        config["frontend"] |= given if (config is new) != bool(ours) else {}
        for key in without:
            del config["frontend"][key]
    monkeypatch.setattr(Recognizer, "load", lambda *_: SimpleNamespace(config=old))
    if not fault:
        assert load_start(new).config is old
        return
    with pytest.raises(ConfigError) as refused:
        load_start(new)
    assert str(refused.value).splitlines()[1:] == [f"  {fault}", "  init.network=true takes the network from the model"]


def test_of_another_class_only_the_class_is_named(composed: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    new = composed | {"stem": compose("train", ["stem=stack"])["stem"]}
    monkeypatch.setattr(Recognizer, "load", lambda *_: SimpleNamespace(config=composed))
    with pytest.raises(ConfigError) as refused:
        load_start(new)
    ours, theirs = "seqlab.stems.stack.Stack", "seqlab.stems.line_cnn.LineCNN"
    assert str(refused.value).splitlines()[1:-1] == [f"  stem._target_ is {ours!r}, the model has {theirs!r}"]


def test_fine_tuning_resumes_where_it_was(
    start: Path, data: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqlab.verbs import train as verb

    overrides = [*settings(data, "new"), f"init.model={start}"]
    assert seqlab("train", *overrides, "run_dir=whole", "training.max_epochs=3").returncode == 0
    assert seqlab("train", *overrides, "training.max_epochs=2").returncode == 0
    before = weights(tmp_path / "run")
    monkeypatch.setattr(verb, "carry_weights", lambda *arguments: pytest.fail("the start weights are loaded again"))
    done = seqlab("train", *overrides, "training.max_epochs=3", "resume=true")
    assert done.returncode == 0, done.stderr
    assert "starting from" not in done.stdout
    assert alphabet(tmp_path / "run") == GROW
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "run")
    for name, value in whole.items():
        assert resumed[name].equal(value), name
        assert "running" in name or not before[name].equal(value), name
    done = seqlab("train", *settings(data, "new"), "resume=true", "training.max_epochs=4")
    assert done.returncode == 2  # without its start it is another run
    assert "trained with other settings:\n  init: was " in done.stderr


def test_a_start_without_a_checkpoint_yet_is_made_again(
    start: Path, data: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqlab.training import trainer

    def killed(*_: object, **__: object) -> None:
        raise DataError("killed before its first save")

    overrides = [*settings(data, "new"), f"init.model={start}", "training.max_epochs=1"]
    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "fit", killed)
        assert "killed before its first save" in seqlab("train", *overrides).stderr
    assert (tmp_path / "run/config.yaml").exists()
    done = seqlab("train", *overrides, "resume=true")
    assert done.returncode == 0, done.stderr
    assert "starting from" in done.stdout


def other_config(checkpoint: dict[str, Any]) -> None:
    checkpoint["hyper_parameters"]["config"]["encoder"] = {"_target_": "os.system", "command": "touch ran"}


def other_shape(checkpoint: dict[str, Any]) -> None:
    checkpoint["state_dict"]["model.head.weight"] = torch.zeros(99, 12)


NONSENSE: dict[str, Callable[[Path, Path], object]] = {
    "text": lambda path, start: path.write_text("no checkpoint"),
    "a list": lambda path, start: torch.save([1, 2], path),
    "nothing in it": lambda path, start: torch.save({"state_dict": {}}, path),
    "foreign target": lambda path, start: changed(path, start, other_config),
    "other shape": lambda path, start: changed(path, start, other_shape),
}


def changed(path: Path, start: Path, change: Callable[[dict[str, Any]], object]) -> None:
    checkpoint = torch.load(start / "checkpoints" / "last.ckpt", weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_no_start(
    kind: str, start: Path, composed: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    NONSENSE[kind](tmp_path / "start.ckpt", start)
    config = copy.deepcopy(composed)
    config["init"]["model"] = "start.ckpt"
    with pytest.raises(DataError, match=r"start\.ckpt is no checkpoint of seqlab"):
        load_start(config)
    assert [path.name for path in tmp_path.iterdir()] == ["start.ckpt"]

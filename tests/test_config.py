"""Configuration: every YAML and experiment composes, checks and builds; faults are named all at once."""

from pathlib import Path

import pytest
import yaml

from seqlab.config import build, compose, conf_dir, resolve_target
from seqlab.config.nodes import PROVIDED, node_faults, type_fault
from seqlab.errors import ConfigError
from seqlab.model import build_on_meta
from seqlab.tokenizers.characters import Characters

CONF = conf_dir()
GROUPS = sorted(p for p in CONF.glob("*/*.yaml") if p.parent.name not in ("experiment", "debug"))
EXPERIMENTS = sorted(CONF.glob("experiment/*.yaml"))


def faults(*overrides: str, verb: str = "train") -> str:
    with pytest.raises(ConfigError) as caught:
        compose(verb, overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", GROUPS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_choice_composes_and_builds(path: Path) -> None:
    config = compose("train", [f"{path.parent.name}={path.stem}"])
    assert config[path.parent.name] is not None
    build_on_meta(config)
    for node in ("tokenizer", "loss", "schedule"):
        assert build(config[node], node) is not None
    assert build(config["decoder"], "decoder", tokenizer=Characters("ab ")) is not None


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_experiment_composes_and_builds(path: Path) -> None:
    config = compose("train", [f"experiment={path.stem}"])
    model = build_on_meta(config, 30)
    assert model.head.out_features == 30


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate"])
def test_every_verb_composes(verb: str) -> None:
    assert compose(verb, ["model=x"] if verb == "evaluate" else [])


@pytest.mark.parametrize("path", sorted(CONF.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_yaml_says_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#") and not line.startswith("# @package")]
    assert comments, "begin with one comment line"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) is not None


def test_group_without_a_choice_is_named() -> None:
    assert "decoder: null chooses nothing; leave it out, or take beam, greedy" in faults("decoder=null")
    assert "encoder: null chooses nothing" in faults("encoder=null")


def test_unknown_key_is_named_with_the_near_one_and_its_file() -> None:
    text = faults("encoder.hiden_size=3")
    assert "encoder.hiden_size: unknown key; did you mean 'hidden_size'?" in text
    text = faults("+encoder.hiden_size=3")
    assert "did you mean 'hidden_size'?" in text


@pytest.mark.parametrize(
    ("verb", "setting", "fault"),
    [
        ("train", "seed=x", "seed: must be int"),
        ("train", "seed=-1", "seed: must be 0 or more"),
        ("train", "resume=maybe", "resume: must be bool"),
        ("train", "max_faulty=-1", "max_faulty: must be 0.0 or more"),
        ("train", "corpus.train=[1]", "corpus.train: must be"),
        ("evaluate", "device=tpu", "device: must be one of auto, cpu, cuda"),
        ("evaluate", "threads=0", "threads: must be 1 or more"),
        ("evaluate", "batch_seconds=0", "batch_seconds: must be 0.1 or more"),
    ],
)
def test_settings_without_a_class_are_checked(verb: str, setting: str, fault: str) -> None:
    text = faults(setting, *(["model=x"] if verb == "evaluate" else []), verb=verb)
    assert text.startswith("1 fault(s)")
    assert fault in text


def test_all_faults_at_once() -> None:
    text = faults("encoder.hidden_size=wide", "stem.factr=2", "training.precision=16", "sead=3", "data.num_workers=1.5")
    assert text.startswith("5 fault(s)")
    assert "encoder.hidden_size: must be int, got 'wide'  (command line)" in text
    assert "stem.factr: unknown key; did you mean 'factor'?" in text
    assert "training.precision: must be one of 32-true, bf16-mixed, got 16" in text
    assert "sead: unknown key; did you mean 'seed'?" in text
    assert "data.num_workers: must be int | null, got 1.5" in text


def test_null_is_taken_where_the_class_takes_it() -> None:
    assert compose("train", ["data.num_workers=null"])["data"]["num_workers"] is None
    assert "data.batch_frames: must be int, got None" in faults("data.batch_frames=null")


def test_fault_in_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "mine.yaml").write_text(
        "_target_: seqlab.encoders.blstm.BLSTM\nhidden_size: 8\nlayers: 2\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        compose("train", ["encoder=mine"], config_dir=str(tmp_path))
    assert "encoder.layers: unknown key; did you mean 'num_layers'?  (conf/encoder/mine.yaml)" in str(caught.value)


def test_unknown_choice_lists_the_known() -> None:
    text = faults("encoder=blstmm")
    assert "blstmm" in text
    assert "blstm" in text.replace("blstmm", "")


def test_unknown_top_key_in_an_experiment_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nencodr:\n  hidden_size: 3\n")
    with pytest.raises(ConfigError, match=r"encodr: unknown key; did you mean 'encoder'"):
        compose("train", ["experiment=mine"], config_dir=str(tmp_path))


def test_broken_syntax_is_one_message() -> None:
    assert "encoder.hidden_size=[" in faults("encoder.hidden_size=[1,")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "seqlab.config.os.system",
        "seqlab.data.dataset.torch",
        "seqlab.encoders.blstm.nn.LSTM",
        "seqlab.data.augment.soxr.resample",
        "seqlab.data.dataset.read_audio",
        "torch.load",
        "seqlab.corpora.fsdd.prepare",
        "seqlab.ctc.greedy.Greedy",
        "torch.optim.SGD",
        "seqlab.encoders.blstm._private",
        "seqlab.encoders.nothing.There",
        "",
    ],
)
def test_targets_outside_the_list_are_refused(target: str) -> None:
    with pytest.raises(ConfigError):
        resolve_target(target, "encoder")
    assert node_faults("encoder", {"_target_": target})


def test_allowed_target_resolves() -> None:
    assert resolve_target("seqlab.ctc.greedy.Greedy", "decoder").__name__ == "Greedy"


def test_values_the_program_gives_are_refused() -> None:
    assert "stem" in PROVIDED
    node = {"_target_": "seqlab.stems.stack.Stack", "factor": 2, "input_size": 3}
    assert node_faults("stem", node) == ["stem.input_size: is given by the program, remove it"]


def test_missing_argument_is_named() -> None:
    faults = node_faults("augment.x", {"_target_": "seqlab.data.augment.Rejoin"})
    assert faults == ["augment.x.pool: is missing and has no default"]


def test_refused_value_names_the_class() -> None:
    with pytest.raises(ConfigError, match=r"schedules\.WarmupCosine: warmup must lie in \[0, 1\], got 2"):
        build({"_target_": "seqlab.schedules.WarmupCosine", "warmup": 2}, "schedule")


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, int, True),
        (True, int, False),
        (1.0, int, False),
        (1, float, True),
        ("1", float, False),
        (None, int | None, True),
        ("x", int | None, False),
        ([1, 2], list[int], True),
        ([1, "a"], list[int], False),
        ([0.9, 0.98], tuple[float, float], True),
        ([0.9], tuple[float, float], False),
        ({"a": 1}, dict[str, int], True),
        ("a", dict[str, int], False),
        (True, bool, True),
        (1, bool, False),
    ],
)
def test_types(value: object, annotation: object, fits: bool) -> None:
    assert (type_fault(value, annotation) is None) == fits

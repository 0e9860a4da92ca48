"""Settings of a decoder without Hydra: what they make is what Hydra makes of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from seqlab.config import Config, compose
from seqlab.decoding import FILE, _composed_plainly, changed, composed
from seqlab.errors import ConfigError, DataError

STORED = """\
decoder: {_target_: seqlab.ctc.beam.Beam, beam: 32, token_cut: 1e-4, lm: lm.ngram, threshold: null, n_best: 2,
  hotwords: [one, "two=2, it's"]}
"""
OF_OLD = "decoder: {_target_: seqlab.ctc.beam.Beam, width: 3}"
WEIGHTS = "decoder: {_target_: seqlab.ctc.beam.Beam, hotwords: {one: 2}}"
PLAIN = [
    "decoder=greedy",
    "decoder=beam",
    "decoder.beam=4",
    "decoder=beam decoder.beam=4 decoder.beam=5",
    "decoder.token_cut=1e-3",
    "decoder.threshold=+15 decoder.insertion_bonus=-0.50 decoder.lm_weight=2E1",
    "decoder.threshold=null decoder.whole_words=False",
    "decoder.lm=true.ngram decoder.lexicon=/a/b-c/words_1.txt decoder.hotwords=null.txt",
    "decoder.n_best=0",  # refused when it is built
    "decoder.neural_mode=rescore",
]
NOT_PLAIN = [
    "decoder.hotwords=[one,two]",
    "decoder.hotwords={one:2.5}",
    "decoder.lm='a b.ngram'",
    "decoder.lm=1a.ngram",
    "+decoder.beam=4",
    "decoder.insertion_bonus=nan",
    "decoder.beam=1_0",
    "decoder.beam=",
    "decoder.beam",
    "decoder.beam=4,8",
    "decoder.beam=four",
    "decoder.beam=4.0",
    "decoder.bean=4 decoder.n_best=x",
    "decoder=greedy decoder.beam=4",
    "decoder=greedy decoder=beam",
    "decoder=best",
    "decoder=null",
    "decoder=3",
    "decoder=/etc/x",
    "decoder._target_=os.system",
    "decoder.beam.x=1",
    "decoders=1",
]


def by_hydra(model: Path, settings: list[str]) -> Config:
    return compose("evaluate", [*changed(model, settings), "model=none"])["decoder"]


@pytest.mark.parametrize("kept", ["", STORED], ids=["", "stored"])
@pytest.mark.parametrize("settings", [*PLAIN, *NOT_PLAIN])
def test_settings_make_the_node_that_hydra_makes(settings: str, kept: str, tmp_path: Path) -> None:
    given = settings.split(" ") if " b" not in settings else [settings]
    if kept:
        (tmp_path / FILE).write_text(kept)
    assert (_composed_plainly(tmp_path, given) is None) == (settings in NOT_PLAIN)
    try:
        wanted = by_hydra(tmp_path, given)
    except ConfigError as error:
        with pytest.raises(ConfigError, match=f"^{re.escape(str(error))}$"):
            composed(tmp_path, given)
    else:
        assert repr(composed(tmp_path, given)) == repr(wanted)  # types and order, too; nan is not equal to itself


def test_what_is_stored_is_checked_alike(tmp_path: Path) -> None:
    plain = by_hydra(tmp_path, ["decoder.beam=4"])
    (tmp_path / FILE).write_text(WEIGHTS)
    assert composed(tmp_path, ["decoder.beam=4"]) == plain | {"hotwords": {"one": 2}}
    (tmp_path / FILE).write_text(OF_OLD)
    with pytest.raises(ConfigError, match=r"decoder\.width: unknown key"):
        composed(tmp_path, ["decoder.beam=4"])
    (tmp_path / FILE).write_text("decoder: 3")
    with pytest.raises(DataError, match="names no decoder"):
        composed(tmp_path, ["decoder.beam=4"])
    assert composed(tmp_path, ["decoder=greedy"]) == {"_target_": "seqlab.ctc.greedy.Greedy"}


def test_plain_settings_import_no_hydra(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(STORED)
    code = (
        "import sys\nfrom seqlab.decoding import composed\n"
        "print(composed('.', ['decoder.beam=4', 'decoder.lm=x.ngram'])['beam'])\n"
        "print({'hydra', 'omegaconf', 'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["4", "set()"], done.stderr

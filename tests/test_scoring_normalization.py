import shutil
import subprocess
from pathlib import Path

import pytest

from seqlab.config import build, compose
from seqlab.corpora._timit_tables import PHONES, fold
from seqlab.errors import ConfigError, DataError
from seqlab.scoring.glm import read_glm
from seqlab.scoring.normalization import NOTHING, Normalization, read_mapping, without_punctuation
from seqlab.tokenizers.symbols import Symbols

GLM = """;; spellings
* name "test"
* format = 'NIST1'
* copy_no_hit = 'T'
* case_sensitive = 'F'

[UH] => [%HES] / [ ] __ [ ]
okay => OK / [ ] __ [ ]  ;; as it is spelt
[T. V.] => [TV] / [ ] __ [ ]
[T. V. SET] => [TELEVISION] / [ ] __ [ ]
UM => / [ ] __ [ ]
[OK] => [ALL RIGHT] / [ ] __ [ ]
GONNA => GOING TO
"""


def written(folder, text, name="rules"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_is_changed_without_rules():
    rules = Normalization()
    assert rules("  Ä  b. ") == "  Ä  b. "
    assert rules.rules == [NOTHING]
    assert not rules.changes


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (["lower"], "  Das  HAUS ", "das haus"),
        (["upper"], "straße", "STRASSE"),
        (["casefold"], "Straße", "strasse"),
        (["nfc"], "e\u0301", "é"),
        (["nfd"], "é", "e\u0301"),
        (["nfkc"], "ﬁve ½", "five 1⁄2"),
        (["nfc", "lower"], "\u0130", "i\u0307"),
        (["punctuation"], "“Well,” he said — (yes)!", "Well he said yes"),
        (["punctuation"], "don't, DON’T 'quoted' boys'", "don't DON'T quoted boys"),
        (["punctuation"], "3.50 or 1,000 at 10:30; $5 5% 7.", "3.50 or 1,000 at 10:30 5 5 7"),
        (["punctuation"], "mid-way a.m. x^2 ¿qué?", "mid way a m x 2 qué"),
        (["punctuation", "lower", "nfc"], "NEIN! E\u0301", "nein é"),
    ],
)
def test_named_rules(names, text, expected):
    rules = Normalization(names)
    assert rules(text) == rules(rules(text)) == expected
    assert rules.changes
    assert len(rules.rules) == len(names)


def test_rules_are_told_in_the_order_in_which_they_act(tmp_path):
    mapping = written(tmp_path, "colour color\n")
    rules = Normalization(["punctuation", "lower", "nfc"], ["uh", "um"], mapping)
    assert rules("Uh, Colour! um") == "color"
    words = ("Unicode form NFC", "lower case", "punctuation", "fillers left out: uh um", "rules (sha256 ")
    assert all(word in rule for word, rule in zip(words, rules.rules, strict=True))


def test_mapping_file_as_timits_table_and_the_tokenizers_fold_agree(tmp_path):
    folds = {phone: fold(phone) for phone in PHONES}
    table = "".join(f"{phone} {' '.join(to)}\n" if to else f"{phone}\n" for phone, to in folds.items())
    path = written(tmp_path, ";; 61 48 39\n\n" + table)
    mapping = read_mapping(path)
    assert len(mapping) == 61
    assert mapping["q"] is None
    assert (mapping["axr"], mapping["ix"], mapping["zh"], mapping["bcl"]) == ("er", "ih", "sh", "sil")
    assert len({to for to in mapping.values() if to}) == 39
    tokenizer = Symbols(alphabet=PHONES, fold={phone: to and to[1] for phone, to in folds.items()})
    text = " ".join(PHONES)
    assert Normalization(mapping=path)(text) == tokenizer.scored(text)
    assert len(tokenizer.scored(text).split()) == 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (";; nothing\n# so\n", "is empty"),
        ("a b\na c\n", ":2: a is mapped in two ways"),
        ("a b\na\n", ":2: a is mapped in two ways"),
    ],
)
def test_faults_of_a_mapping_file(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_mapping(written(tmp_path, text))


def test_faults_of_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        Normalization(mapping=tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"a \xff\n")
    with pytest.raises(DataError, match="not UTF-8"):
        Normalization(glm=tmp_path / "bytes")
    with pytest.raises(DataError, match="directory"):
        read_mapping(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"normalize": ["lowr"]}, "lowr unknown; there are nfc, .* punctuation"),
        ({"normalize": ["lower", "upper"]}, "lower and upper exclude each other"),
        ({"normalize": ["nfc", "nfkd"]}, "nfc and nfkd exclude"),
        ({"fillers": ["you know"]}, "a filler is one word, got 'you know'"),
    ],
)
def test_wrong_rules_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Normalization(**given)


def test_setting_of_evaluate(tmp_path):
    config = compose("evaluate", ["model=x", "scoring.normalize=[lower,punctuation]", "scoring.fillers=[uh]"])
    assert build(config["scoring"], "scoring")("Uh, yes!") == "yes"
    plain = build(compose("evaluate", ["model=x"])["scoring"], "scoring")
    assert not plain.changes
    with pytest.raises(ConfigError, match=r"scoring.normalise: unknown"):
        compose("evaluate", ["model=x", "scoring.normalise=[lower]"])


# each is a line and what NIST's rfilter1 makes of it with GLM, a space before and behind
FILTERED = [
    ("uh okay uh UH um a", "%HES OK %HES %HES a"),
    ("t. v. set gonna gonnax", "TV set GOING TO GOING TOx"),  # the first rule that fits, not the longest
    ("uhuh um um x Okay", "uhuh um x OK".replace(" um", "")),
    ("ok okay", "ALL RIGHT OK"),  # what a rule wrote is not read again
]


@pytest.mark.parametrize(("text", "expected"), FILTERED)
def test_global_mapping_file(tmp_path, text, expected):
    rules = Normalization(glm=written(tmp_path, GLM))
    assert rules(text) == expected
    assert rules.rules[0].endswith("7 rules.")


@pytest.mark.skipif(shutil.which("sctk") is None, reason="needs rfilter1 (Debian package sctk)")
def test_global_mapping_file_as_rfilter1_reads_it(tmp_path):
    path = written(tmp_path, GLM)
    texts = [text for text, _ in FILTERED]
    done = subprocess.run(
        [Path("/usr/lib/sctk/bin/rfilter1"), path],
        input="".join(f" {text} \n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split() for line in done.stdout.splitlines()] == [read_glm(path)(text).split() for text in texts]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[A] [B]", "has no =>"),
        ("=> [B]", "nothing stands before"),
        ("[I'M] => {I'M / I AM} / [ ] __ [ ]", "several spellings"),
        ("[UH] => [(UH)] / [ ] __ [ ]", "may be left out"),
        ("* format = 'NIST2'", "only NIST1"),
        ("* copy_no_hit = 'F'", "copy_no_hit must be 'T'"),
        ("* what", "a line of the head"),
        ("a" * 2000, "longer than"),
    ],
)
def test_faults_of_a_global_mapping_file(tmp_path, line, message):
    with pytest.raises(DataError, match=f":2: .*{message}"):
        read_glm(written(tmp_path, f"[X] => [Y]\n{line}\n"))
    with pytest.raises(DataError, match="holds no rule"):
        read_glm(written(tmp_path, ";; none\n"))


def test_case_counts_where_a_global_mapping_file_does_not_say_otherwise(tmp_path):
    glm = read_glm(written(tmp_path, "[A] => [b]\n"))
    assert glm("A a").split() == ["b", "a"]


def test_punctuation_of_any_length():
    assert without_punctuation("") == ""
    assert without_punctuation("...").split() == []

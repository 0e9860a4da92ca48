"""Settings of a training, chosen from facts about the data and the machine: a table of rules, each with its reason.

What the tuned recipes of conf/experiment learnt is the best guess for data of their kind, so the first rule that fits
names one of them, and the others say where the data differ from its own.
"""

import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from seqlab.config import Config, build
from seqlab.ctc.feasibility import required_frames
from seqlab.data.sources import source_of
from seqlab.errors import DataError
from seqlab.manifest import Line
from seqlab.media import array_shape, audio_info
from seqlab.model import build_on_meta

FEASIBLE = 0.995  # share of the training lines that must have frames enough for their labels
SHORT = 1.5  # seconds: the median of recordings of one word
JOINED = 0.95  # share of one-word texts (ink: one character) from which lines are joined to strings
OFTEN = 20  # recordings of a word on average, from which words are labels: no others are ever recognised
PASSES = 6.0  # over the training lines, below which a smaller net learns more in the time given
LEAST_HIDDEN = 64


@dataclass(slots=True)
class Facts:
    """What rules look at.

    Attributes:
        kind: audio, image, strokes or features.
        lines: of train.
        single: nearly all texts are one short word (audio), or one character (ink).
        texts: different ones in train.
        writers: known speakers or writers of train.
        apart: speakers of dev and test are none of train.
        hours: of audio in train.
        rate: sample rate that most recordings have, Hz.
        height: median height of images, rows.
        right_to_left: most letters are of a script written from the right.
        size: features of a frame of arrays.
        gpu: whether PyTorch has one.
    """

    kind: str
    lines: int
    single: bool = False
    texts: int = 0
    writers: int = 0
    apart: bool = False
    hours: float = 0.0
    rate: int = 16000
    height: float = 0.0
    right_to_left: bool = False
    size: int = 1
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Settings that facts lead to.

    Attributes:
        when: whether the rule applies.
        settings: dotted keys and their values, or functions of the facts.
        why: the reason, for people.
    """

    when: Callable[[Facts], bool]
    settings: Mapping[str, Any]
    why: str


# The recipe that the data are like: the first that fits.
RECIPES: tuple[tuple[str, Callable[[Facts], bool], str], ...] = (
    (
        "fsdd_loso",
        lambda f: f.kind == "audio" and f.single and f.apart and f.texts * OFTEN <= f.lines,
        "recordings of few words, each a label, joined to strings; everything on that helps with voices never heard",
    ),
    ("fsdd", lambda f: f.kind == "audio" and f.single, "short recordings of one word, joined to strings"),
    ("librispeech", lambda f: f.kind == "audio" and f.gpu and f.hours > 50, "many hours of speech and a GPU"),
    ("lj_speech", lambda f: f.kind == "audio" and f.gpu and f.hours > 5, "hours of speech and a GPU"),
    ("an4", lambda f: f.kind == "audio", "lines of speech"),
    (
        "testaments",
        lambda f: f.kind == "image" and (f.apart or f.writers > 2),
        "line images of several hands: slant taken out, stronger warping",
    ),
    ("peraire", lambda f: f.kind == "image", "line images of one hand, or of hands not known"),
    ("pendigits", lambda f: f.kind == "strokes" and f.single, "ink of single characters, joined to strings"),
    ("iam_online", lambda f: f.kind == "strokes", "lines of ink"),
    ("squiggles", lambda f: f.kind == "features", "arrays"),
)

RULES: tuple[Rule, ...] = (
    Rule(
        lambda f: f.kind == "audio",
        {"frontend.sample_rate": lambda f: f.rate},
        "the sample rate that most recordings have, at most 16 kHz: speech has little above 8 kHz",
    ),
    Rule(
        lambda f: f.kind == "audio" and not f.single and f.rate < 16000,
        {"frontend.num_mels": 40},
        "half the band, half the filters",
    ),
    Rule(lambda f: f.single, {"augment.rejoin.min_parts": 1}, "single ones are to be read, too"),
    Rule(
        lambda f: f.single and f.kind == "audio",
        {"augment.rejoin.low_ms": 0},
        "they may be cut close, with no silence around",
    ),
    Rule(
        lambda f: f.kind == "image" and f.height <= 40,
        {"frontend.height": 40},
        "images of 40 rows or less: enlarging them wins nothing",
    ),
    Rule(
        lambda f: f.kind == "image" and f.right_to_left,
        {"frontend.direction": "rtl"},
        "most letters are of a script written from the right",
    ),
    Rule(
        lambda f: f.kind == "strokes" and not f.single and not f.gpu,
        {"encoder.hidden_size": 128, "encoder.num_layers": 2, "data.batch_frames": 4000, "data.num_workers": 0}
        | {"optimizer.lr": 2e-3, "training.ema": 0.998},
        "the recipe is for a GPU: a smaller net and smaller batches for a CPU",
    ),
    Rule(lambda f: f.kind == "features", {"frontend.size": lambda f: f.size}, "features of a frame"),
)


@dataclass(slots=True)
class Choice:
    """A recipe, what is set beside it, and why.

    Attributes:
        recipe: name of the experiment that the settings go out from.
        settings: dotted keys and values.
        reasons: (what, why), in order.
        given: keys that the user set; nothing is chosen there.
    """

    recipe: str
    settings: dict[str, Any]
    reasons: list[tuple[str, str]]
    given: Collection[str] = ()

    def asked(self, key: str) -> bool:
        """Tell whether the user set a key, or what it is part of."""
        return any(key == own or key.startswith(f"{own}.") for own in self.given)

    def set(self, settings: Mapping[str, Any], why: str) -> None:
        """Set further values, with the reason, where the user set none."""
        settings = {key: value for key, value in settings.items() if not self.asked(key)}
        if not settings:
            return
        self.settings |= settings
        self.reasons.append((", ".join(f"{key}={value}" for key, value in settings.items()), why))


def choose(facts: Facts, recipe: str | None = None, given: Collection[str] = ()) -> Choice:
    """Choose a recipe, unless one is given, and settings beside it and beside the keys given."""
    fitting, _, why = next(row for row in RECIPES if row[1](facts))
    recipe, why = (recipe, "as asked for") if recipe else (fitting, why)
    choice = Choice(recipe, {}, [(f"as experiment={recipe}", why)], given)
    for rule in RULES:
        if rule.when(facts):
            choice.set({k: v(facts) if callable(v) else v for k, v in rule.settings.items()}, rule.why)
    return choice


def look(parts: Mapping[str, Sequence[Line]]) -> Facts:
    """Gather the facts about train, dev and test.

    Raises:
        DataError: lines are of several kinds, or arrays of several sizes.
    """
    lines = parts["train"]
    if len(kinds := sorted({line.kind for rows in parts.values() for line in rows})) > 1:
        raise DataError(f"lines of {' and '.join(kinds)} in one set of data; fit takes one kind")
    facts = Facts(lines[0].kind, len(lines), gpu=torch.cuda.is_available())
    trained = {line.speaker for line in lines if line.speaker}
    others = {line.speaker for part, rows in parts.items() if part != "train" for line in rows if line.speaker}
    facts.writers, facts.apart = len(trained), bool(trained and others) and not trained & others
    texts = [line.text for line in lines]
    facts.texts = len(set(texts))
    if facts.kind == "audio":
        for line in lines:
            if line.sample_rate is None or line.duration_s is None:
                heads = [audio_info(path) for path in line.files]
                line.sample_rate = heads[0].sample_rate
                line.duration_s = line.duration_s if line.duration_s is not None else sum(h.duration for h in heads)
        seconds = [line.duration_s or 0.0 for line in lines]
        facts.hours = sum(seconds) / 3600
        rates = Counter(line.sample_rate or 16000 for line in lines)
        facts.rate = min(rates.most_common(1)[0][0], 16000)
        words = sum(len(text.split()) == 1 for text in texts) >= JOINED * len(texts)
        whole = all(line.audio is not None and line.spans is None for line in lines)
        facts.single = words and whole and statistics.median(seconds) < SHORT
    elif facts.kind == "image":
        facts.height = statistics.median(line.height or 0 for line in lines)
        letters = Counter(unicodedata.bidirectional(c) in ("R", "AL") for t in texts for c in t if c.isalpha())
        facts.right_to_left = letters[True] > letters[False]
    elif facts.kind == "strokes":
        short = sum(len(text) == 1 for text in texts) >= JOINED * len(texts)
        facts.single = short and all(isinstance(line.strokes, list) for line in lines)
    else:
        sizes = {array_shape(line.files[0])[1] for line in lines}
        if len(sizes) > 1:
            raise DataError(f"arrays have {', '.join(map(str, sorted(sizes)))} features; they must all have as many")
        facts.size = sizes.pop()
    return facts


def feasible(config: Config, lines: Sequence[Line], tokenizer: Any) -> float:
    """Return the share of lines that have frames enough for their labels and the blanks between equal ones."""
    model = build_on_meta(config, len(tokenizer.symbols))
    source = source_of(build(config["frontend"], "frontend"))
    frames = model.num_frames(torch.tensor([source.size(line) for line in lines]))
    needed = [max(required_frames(tokenizer.encode(line.text, skip_unknown=True)), 1) for line in lines]
    return float((frames >= torch.tensor(needed)).float().mean())


def smaller_strides(config: Config) -> list[dict[str, Any]]:
    """Return settings of the stem that leave more and more frames, from the configured ones on."""
    stem = config["stem"]
    if "factor" in stem:
        return [{"stem.factor": factor} for factor in range(int(stem["factor"]) - 1, 0, -1)]
    if "pools" not in stem:
        return []
    found: list[dict[str, Any]] = []
    for name, pairs in (("pools", stem["pools"]), ("strides", stem["strides"])):
        for place in reversed(range(len(pairs))):
            if pairs[place][0] > 1:
                pairs = [*pairs[:place], [1, pairs[place][1]], *pairs[place + 1 :]]
                before = found[-1] if found else {}
                found.append({**before, f"stem.{name}": pairs})
    return found

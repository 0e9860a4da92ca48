"""seqlab tune: choose how a trained model decodes, on dev, and keep the choice in its run folder."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from seqlab.config import Config, build, save_yaml
from seqlab.ctc.confidence import fit_calibration
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.decoding import FILE, run_folder
from seqlab.errors import ConfigError
from seqlab.lm.estimate import Corpus, estimate
from seqlab.lm.neural import NeuralLM
from seqlab.lm.ngram import NGram, Unit
from seqlab.manifest import read_manifests
from seqlab.recognizer import Recognizer
from seqlab.scoring import add, char_counts, word_counts
from seqlab.verbs.evaluate import read_batches

BEAM = "seqlab.ctc.beam.Beam"
GREEDY: Config = {"_target_": "seqlab.ctc.greedy.Greedy"}
LM_FILE, NEURAL_FILE = "lm.ngram", "neural_lm.ckpt"  # in the run folder
# What is tried: each value is moved by its steps, wide ones first, as long as that lowers the error rate on dev.
STEPS: dict[str, tuple[float, ...]] = {
    "lm_weight": (0.4, 0.2, 0.1),
    "insertion_bonus": (1.0, 0.5, 0.25),
    "prior_weight": (0.2, 0.1),
    "neural_weight": (0.4, 0.2, 0.1),
}
LEAST = {"lm_weight": 0.0, "prior_weight": 0.0, "neural_weight": 0.0}
WEIGHT_OF = {"lm": "lm_weight", "neural_lm": "neural_weight"}


class Trials:
    """Decode the same emissions with one setting after the other, and count the errors.

    Args:
        recognizer: the model.
        emissions: log-probabilities (T, V) per line.
        references: texts, in the tokenizer's form.
        fixed: settings of the beam decoder that are not searched.
        metric: "cer" or "wer".
        console: for one row per trial.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        emissions: list[torch.Tensor],
        references: list[str],
        fixed: Config,
        metric: Literal["cer", "wer"],
        console: Console,
    ) -> None:
        self.recognizer = recognizer
        self.emissions = emissions
        self.references = references
        self.fixed = fixed
        self.count = char_counts if metric == "cer" else word_counts
        self.metric = metric
        self.console = console
        self.seen: dict[tuple[tuple[str, float], ...], float] = {}

    def decode(self, node: Config) -> tuple[list[Hypothesis], list[str]]:
        """Return what a decoder makes of dev, and the texts of that."""
        self.recognizer.decoder = build(node, "decoder", tokenizer=self.recognizer.tokenizer)
        hypotheses = self.recognizer.decode(self.emissions)
        return hypotheses, [self.recognizer.tokenizer.decode(h.labels) for h in hypotheses]

    def rate(self, node: Config) -> float:
        """Return the error rate of dev with a decoder."""
        pairs = zip(self.references, self.decode(node)[1], strict=True)
        scored = self.recognizer.tokenizer.scored
        return add(self.count(scored(reference), scored(text)) for reference, text in pairs).rate

    def node(self, settings: Mapping[str, float]) -> Config:
        """Return the beam decoder's node with these settings."""
        used = {k: v for k, v in self.fixed.items() if k not in WEIGHT_OF or settings.get(WEIGHT_OF[k])}
        return {"_target_": BEAM, **used, **settings}

    def __call__(self, settings: Mapping[str, float]) -> float:
        """Return the error rate of dev with these settings of the beam decoder."""
        key = tuple(sorted(settings.items()))
        if key not in self.seen:
            self.seen[key] = self.rate(self.node(settings))
            told = "  ".join(f"{k} {v:g}" for k, v in settings.items())
            self.console.print(
                f"  {self.metric.upper()} {100 * self.seen[key]:6.2f}%  {told}", highlight=False, soft_wrap=True
            )
        return self.seen[key]

    def search(self, names: list[str], start: Mapping[str, float]) -> dict[str, float]:
        """Walk to the best settings: each name up and down by its steps, until no step helps any more.

        Equal rates keep the smaller weight, so that what does not help stays 0.
        """
        best = dict(start)
        least = self(best)
        for level in range(max(len(STEPS[name]) for name in names)):
            moved = True
            while moved:
                moved = False
                for name in names:
                    size = STEPS[name][min(level, len(STEPS[name]) - 1)]
                    for step in (size, -size):
                        value = round(max(best[name] + step, LEAST.get(name, -10.0)), 3)
                        trial = best | {name: value}
                        rate = self(trial)
                        if rate < least or (rate == least and abs(value) < abs(best[name])):
                            best, least, moved = trial, rate, True
        return best


def tune(
    model: str,
    console: Console,
    lm: str | None = None,
    order: int = 6,
    dev: str | None = None,
    metric: Literal["cer", "wer"] = "cer",
    beam: int = 32,
    batch_seconds: float = 60.0,
    threads: int = 1,
    neural: str | None = None,
    neural_mode: Literal["fusion", "rescore"] = "fusion",
) -> Config:
    """Choose the decoder of a model on dev; writes decoding.yaml, and the language model, into its run folder.

    Args:
        model: run folder or checkpoint.
        console: for progress and the result.
        lm: language model; None builds one of characters from the text that the model was trained on; "none" goes
            without.
        order: of the language model that is built.
        dev: manifest; None takes the dev part that the model was trained with.
        metric: what is lowered.
        beam: width of the search.
        batch_seconds: audio per batch, as for evaluate.
        threads: CPU threads.
        neural: run folder or checkpoint of a neural language model, or None.
        neural_mode: how it is used, see Beam.

    Returns:
        What was written.
    """
    torch.set_num_threads(threads)
    recognizer = Recognizer.load(model, decoder=GREEDY)
    folder = run_folder(model)
    corpus = recognizer.config.get("corpus") or {}
    manifests = [dev] if dev else corpus.get("dev")
    if not manifests:
        raise ConfigError("the model names no dev part; give --dev MANIFEST")
    if neural:
        NeuralLM.load(neural)  # what is wrong with it shows before anything long begins
    built = None
    if lm != "none":
        built = NGram.load(lm) if lm else _from_training_text(recognizer, corpus.get("train"), order, console)
    lines = read_manifests(manifests)
    normalize = recognizer.tokenizer.normalize
    emissions = [torch.zeros(0)] * len(lines)
    for batch, signals in read_batches(recognizer, lines, batch_seconds, console, "reading dev"):
        for i, emission in zip(batch, recognizer.emissions(signals), strict=True):
            emissions[i] = emission
    fixed: Config = {"beam": beam, "threads": threads}
    names = ["insertion_bonus", "prior_weight"]
    if built is not None:
        fixed["lm"] = str(folder / f"{LM_FILE}.new")
        built.save(fixed["lm"])
        names.insert(0, "lm_weight")
    if neural:
        fixed |= {"neural_lm": neural, "neural_mode": neural_mode}
        names.append("neural_weight")
    try:
        return _choose(recognizer, emissions, [normalize(x.text) for x in lines], fixed, names, metric, folder, console)
    finally:
        (folder / f"{LM_FILE}.new").unlink(missing_ok=True)


def _choose(
    recognizer: Recognizer,
    emissions: list[torch.Tensor],
    references: list[str],
    fixed: Config,
    names: list[str],
    metric: Literal["cer", "wer"],
    folder: Path,
    console: Console,
) -> Config:
    """Search, compare with greedy, and write the choice."""
    frames = torch.cat(emissions)
    fixed["priors"] = [round(p, 4) for p in frames.exp().mean(0).clamp(min=1e-8).log().tolist()]
    trials = Trials(recognizer, emissions, references, fixed, metric, console)
    plain = trials.rate(GREEDY)
    console.print(f"  {metric.upper()} {100 * plain:6.2f}%  greedy", highlight=False)
    start = dict.fromkeys(names, 0.0)
    best = trials.search(names, start | ({"lm_weight": 0.4} if "lm_weight" in start else {}))
    found = trials(best)
    node = trials.node(best) if found < plain else dict(GREEDY)
    if not node.get("prior_weight"):
        node.pop("priors", None)
        node.pop("prior_weight", None)
    node.pop("threads", None)  # whoever decodes says how many
    (folder / FILE).unlink(missing_ok=True)  # while its files change it would not fit them
    if "lm" in node:
        shutil.move(str(node["lm"]), folder / LM_FILE)
        node["lm"] = str(folder / LM_FILE)
    if "neural_lm" in node:
        NeuralLM.load(node["neural_lm"]).save(folder / NEURAL_FILE)
        node["neural_lm"] = str(folder / NEURAL_FILE)
    else:
        node = {k: v for k, v in node.items() if not k.startswith("neural")}
    for key, name in (("lm", LM_FILE), ("neural_lm", NEURAL_FILE)):
        if key not in node:
            (folder / name).unlink(missing_ok=True)  # of an earlier choice
    hypotheses, texts = trials.decode(node)
    pairs = list(zip(references, texts, strict=True))
    both = {
        "cer": round(add(char_counts(r, t) for r, t in pairs).rate, 5),
        "wer": round(add(word_counts(r, t) for r, t in pairs).rate, 5),
    }
    kept: dict[str, Any] = {
        "decoder": node | {k: Path(node[k]).name for k in WEIGHT_OF if k in node},
        "calibration": fit_calibration(recognizer.tokenizer, hypotheses, references),
        "chosen_on": {"lines": len(references), "metric": metric, "greedy": round(plain, 5), **both},
    }
    save_yaml(kept, folder / FILE)
    chosen = "  ".join(f"{k} {v:g}" for k, v in best.items()) if found < plain else "greedy: nothing tried was better"
    console.print(
        f"chosen on {len(references)} lines: {chosen}\n"
        f"{metric.upper()} {100 * plain:.2f}% greedy, {100 * both[metric]:.2f}% so; kept in {folder / FILE}, which "
        "evaluate and transcribe use from now on (decoder=greedy goes without)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return kept


def _from_training_text(recognizer: Recognizer, train: Any, order: int, console: Console) -> NGram:
    if not train:
        raise ConfigError(
            "the model names no training part to build a language model from; give --lm FILE or --lm none"
        )
    lines = read_manifests(train)
    tokenizer = recognizer.tokenizer
    unit: Unit = "piece" if tokenizer.starts else "char"
    console.print(f"language model: {unit}s, order {order}, from the text of {len(lines)} training lines")
    corpus = Corpus()
    for line in lines:
        corpus.add([tokenizer.symbols[label] for label in tokenizer.encode(line.text, skip_unknown=True)])
    return estimate(corpus, order, unit)[0]

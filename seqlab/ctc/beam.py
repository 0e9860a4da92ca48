"""Prefix beam search with language models, a lexicon and hotwords."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqlab.ctc.hotwords import build_automaton
from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.ctc.lexicon import read_words
from seqlab.errors import ConfigError

if TYPE_CHECKING:  # decoding needs no torch, see seqlab.onnx_model
    from torch import Tensor

    from seqlab.ctc.beam_stream import BeamStream
    from seqlab.ctc.neural import Neural

LARGEST_BEAM = 100_000
MOST_ROWS = 1 << 20  # of a tree of prefixes to begin with, 50 MB, of which untouched pages cost nothing; it can double


class Beam:
    """Keep the likeliest prefixes of a line, each with the sum over its alignments (Graves 2012, section 7.5).

    A hypothesis' score is log p(text | frames), over the paths within the beam, + lm_weight log p_LM(text)
    + insertion_bonus per word or symbol + unknown_score per unknown one + bonuses of hotwords + neural_weight
    log p_NN(text), in natural logarithms.
    Without cuts and with a beam that holds everything it is exact. Lines are decoded each for itself: batch and threads
    change nothing. The search is compiled when it is first used, for about 15 seconds, and stored beside the module,
    or, where that is read-only, in the user's cache folder or $NUMBA_CACHE_DIR.

    Args:
        tokenizer: labels to text.
        beam: prefixes kept, at most 100,000.
        token_cut: symbols below this probability are not tried in a frame, unless none is above it; 0 tries all.
        max_tokens: symbols tried in a frame at most; null does not limit them.
        threshold: prefixes this much (natural log) below the best are dropped; null drops none.
        blank_skip: a frame whose blank is above this probability counts as blank alone; null skips none.
        n_best: readings returned, the best and ``alternatives``.
        lm: file of an n-gram model of words or of the tokenizer's symbols, see ``seqlab lm``.
        lm_weight: factor of its log-probabilities, 0 to 100. A word counts when it ends; until then the best unigram
            among the words that it may become stands for it.
        insertion_bonus: added for every word if the model is one of words or a lexicon is given, else for every
            symbol, -100 to 100.
        unknown_score: added for every word or symbol that the model does not know, besides its probability of <unk>,
            -1000 to 0.
        lexicon: file of words, one per line; other words are then impossible. Those that the tokenizer cannot spell
            are left out with a warning.
        priors: file of label priors, see ``seqlab align --write-priors``, or their natural logarithms, one per label.
        prior_weight: power of the priors that posteriors are divided by, in each frame, 0 to 100.
        hotwords: phrases that are likelier here than elsewhere; or weights by phrase, -100 to 100, below 0 for less
            likely; or a UTF-8 text file of them, one phrase per line, optionally with a tab and its weight.
        hotword_weight: bonus (natural log) per symbol of a phrase, 0 to 100; multiplies the weights if there are any.
            It is given as the phrase unfolds and taken back if it breaks off; each occurrence of each phrase counts.
        whole_words: hotwords begin and end where words do, if the tokenizer knows words.
        threads: lines decoded at the same time.
        neural_lm: run folder or checkpoint of a neural language model of the tokenizer's symbols, as
            ``seqlab train experiment=char_lm`` makes them.
        neural_weight: factor of its log-probabilities, 0 to 100.
        neural_mode: "fusion" scores every symbol in the search, in one thread, the lines of a batch side by side, so
            that the last digits of scores depend on the batch; "rescore" ranks the readings that the search ends with
            anew.

    Raises:
        ConfigError: a value is out of its range, or files and tokenizer do not go together.
        DataError: a file is damaged.
        FileNotFoundError: a file does not exist.
    """

    def __init__(
        self,
        tokenizer: Any,
        beam: int = 64,
        token_cut: float = 1e-3,
        max_tokens: int | None = None,
        threshold: float | None = 15.0,
        blank_skip: float | None = None,
        n_best: int = 1,
        lm: str | None = None,
        lm_weight: float = 0.5,
        insertion_bonus: float = 0.0,
        unknown_score: float = -5.0,
        lexicon: str | None = None,
        priors: str | list[float] | None = None,
        prior_weight: float = 0.3,
        hotwords: str | list[str] | dict[str, float] | None = None,
        hotword_weight: float = 0.5,
        whole_words: bool = True,
        threads: int = 1,
        neural_lm: str | None = None,
        neural_weight: float = 0.5,
        neural_mode: Literal["fusion", "rescore"] = "fusion",
    ) -> None:
        whole = {
            "beam": beam,
            "n_best": n_best,
            "threads": threads,
            "max_tokens": 1 if max_tokens is None else max_tokens,
        }
        faults = [f"{key} must be 1 or more, got {value}" for key, value in whole.items() if value < 1]
        if not 0 <= token_cut < 1:
            faults.append(f"token_cut must be a probability below 1, got {token_cut}")
        if blank_skip is not None and not 0 < blank_skip <= 1:
            faults.append(f"blank_skip must be a probability above 0, or null, got {blank_skip}")
        if threshold is not None and not threshold > 0:
            faults.append(f"threshold must be above 0, or null, got {threshold}")
        ranges = {
            "lm_weight": (0, lm_weight, 100),
            "insertion_bonus": (-100, insertion_bonus, 100),
            "unknown_score": (-1000, unknown_score, 0),
            "prior_weight": (0, prior_weight, 100),
            "hotword_weight": (0, hotword_weight, 100),
            "neural_weight": (0, neural_weight, 100),
        }
        for key, (low, value, high) in ranges.items():
            if not low <= value <= high:  # not even NaN
                faults.append(f"{key} must be a number from {low} to {high}, got {value}")
        if beam > LARGEST_BEAM:
            faults.append(f"beam must be {LARGEST_BEAM} or less, got {beam}")
        if n_best > beam:
            faults.append(f"n_best ({n_best}) cannot be more than beam ({beam})")
        if faults:
            raise ConfigError("\n".join(f"decoder.{fault}" for fault in faults))
        from seqlab.ctc import _without_blas  # noqa: F401, I001  # first of all
        from seqlab.ctc import _search, _sources, _spans  # numba is imported when a search is wanted
        from seqlab.lm.ngram import NGram

        self.tokenizer = tokenizer
        self.beam = beam
        self.n_best = n_best
        self.threads = threads
        self.prior_weight = prior_weight
        self.priors = self._priors(priors)
        self._search, self._spans = _search, _spans
        self._neural: Neural | None = None
        self._rescores = neural_mode == "rescore"
        if neural_lm is not None and neural_weight:
            from seqlab.ctc import neural

            self._neural = neural.Neural(neural_lm, tokenizer, neural_weight)
        boundary = _sources.word_boundaries(tokenizer)
        automaton = build_automaton(hotwords or [], hotword_weight, whole_words, tokenizer, boundary)
        model = None if lm is None else NGram.load(lm)
        source = f"decoder.lm: {lm}" if lexicon is None else f"decoder.lexicon: {lexicon}"
        words = None if lexicon is None else read_words(lexicon)
        self._fusion = _sources.build_fusion(
            tokenizer, model, lm_weight, insertion_bonus, unknown_score, words, automaton, source
        )
        self._start = (0 if model is None else model.start, automaton.start)
        self._limits = _search.Limits(
            log_cut=float(np.log(token_cut)) if token_cut else -np.inf,
            max_tokens=len(tokenizer.symbols) if max_tokens is None else max_tokens,
            margin=0.0 if threshold is None else float(np.exp(-threshold)),
            log_skip=np.inf if blank_skip is None else float(np.log(blank_skip)),
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Beam":
        """Return itself: decoding changes nothing in it, and it holds modules and large tables."""
        return self

    def __call__(self, log_probs: "Tensor", lengths: "Tensor") -> list[Hypothesis]:
        """Decode a batch.

        Args:
            log_probs: log-probabilities (B, T, V), blank 0, each frame's probabilities summing to 1.
            lengths: frames per line, (B,).

        Returns:
            One hypothesis per line.

        Raises:
            ConfigError: there are not as many labels as the tokenizer has symbols.
        """
        rows = log_probs.detach().cpu().float().numpy()
        return self.lines([row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)])

    def lines(self, emissions: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Decode lines, each log-probabilities (T, V) of its own, float32; otherwise as for a batch."""
        for emission in emissions:
            if emission.shape[1] != len(self.tokenizer.symbols):
                raise ConfigError(
                    f"{emission.shape[1]} labels, but the tokenizer has {len(self.tokenizer.symbols)} symbols"
                )
        lines = [(self._divided(row), row) for row in map(np.ascontiguousarray, emissions)]
        if self._neural and not self._rescores:
            return self._side_by_side(lines, self._neural)
        if self.threads == 1 or len(lines) == 1:
            return [self._line(*line) for line in lines]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda line: self._line(*line), lines))

    def stream(self) -> "BeamStream":
        """Return a search for one line whose frames come piece by piece."""
        from seqlab.ctc.beam_stream import BeamStream

        return BeamStream(self)

    def _line(self, frames: np.ndarray, log_probs: np.ndarray) -> Hypothesis:
        """Decode one line: what is searched, and the posteriors that confidences come from, both (T, V)."""
        search = self._search
        tree, live = self._begin(len(frames))
        while len(left := frames[live.counts[search.FRAME] :]):
            if search.advance(left, tree, live, self._limits, self._fusion) < len(left):
                tree = search.grown(tree)
        return self._finish(tree, live, self._fusion, partial(self._aligned, log_probs))

    def _begin(self, frames: int) -> tuple[np.ndarray, Any]:
        """Return a tree of prefixes with room for so many frames, and the beam before the first."""
        tree = self._search.new_tree(1 + self.beam + min(self.beam * frames, MOST_ROWS))
        live = self._search.new_live(self.beam)
        self._search.begin(tree, live, *self._start)
        return tree, live

    def _side_by_side(self, lines: list[tuple[np.ndarray, np.ndarray]], neural: "Neural") -> list[Hypothesis]:
        """Decode lines frame by frame at the same time, so that the neural model reads on for all of them at once."""
        from seqlab.ctc._sources import with_neural
        from seqlab.ctc.neural import Prefixes, moves

        search, prefixes = self._search, Prefixes(neural, len(lines), self.beam)
        beams = [self._begin(len(frames)) for frames, _ in lines]
        running = [i for i, (frames, _) in enumerate(lines) if len(frames)]
        while running:
            moved = []
            for i in running:
                tree, live = beams[i]
                before = live.node[: live.counts[search.SIZE]].copy()
                fusion = with_neural(self._fusion, prefixes.factors[i])
                search.advance(lines[i][0][live.counts[search.FRAME] :], tree, live, self._limits, fusion)
                if live.counts[search.NODES] + self.beam > len(tree):
                    beams[i] = (search.grown(tree), live)
                moved.append(moves(tree, before, live.node[: live.counts[search.SIZE]], i * self.beam))
            prefixes.follow(*np.concatenate(moved, 1))
            running = [i for i in running if beams[i][1].counts[search.FRAME] < len(lines[i][0])]
        fusions = [with_neural(self._fusion, factors) for factors in prefixes.factors]
        rows = zip(beams, fusions, lines, strict=True)
        return [self._finish(*beam, fusion, partial(self._aligned, log_probs)) for beam, fusion, (_, log_probs) in rows]

    def _finish(
        self, tree: np.ndarray, live: Any, fusion: Any, spans_of: Callable[[np.ndarray], list[Span]]
    ) -> Hypothesis:
        """Return the best reading that a search ended with, and the next ones; spans_of places a path of prefixes."""
        found, scores = self._search.finish(live, tree, fusion)
        if self._neural and self._rescores and len(found):
            scores = scores + self._neural.score([tree["label"][self._spans.path_to(row, tree)[1:]] for row in found])
            order = np.argsort(-scores, kind="stable")
            found, scores = found[order], scores[order]
        found, scores = found[: self.n_best], scores[: self.n_best].tolist()
        paths = [tree[self._spans.path_to(row, tree)] for row in found]
        read = [Hypothesis(spans_of(path), score) for path, score in zip(paths, scores, strict=True)]
        return Hypothesis(read[0].spans, read[0].score, read[1:]) if read else Hypothesis(score=-np.inf)

    def _aligned(self, log_probs: np.ndarray, path: np.ndarray, begin: int = 0) -> list[Span]:
        """Return the symbols of a path of prefixes, the first prefix left out, where they lie in frames (T, V), of
        which the first is the frame ``begin`` of the line."""
        start, end, peak = self._spans.align(log_probs, path)
        columns = (path["label"][1:], start + begin, end + begin, peak)
        return list(map(Span, *(column.tolist() for column in columns)))

    def _divided(self, log_probs: np.ndarray) -> np.ndarray:
        """Divide posteriors (T, V) by the priors (see ``priors.divide``) and bring their sums back to 1."""
        if self.priors is None or not self.prior_weight:
            return log_probs
        x = log_probs - np.float32(self.prior_weight) * self.priors
        x -= x.max(1, keepdims=True)
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    def _priors(self, priors: str | Sequence[float] | None) -> np.ndarray | None:
        if priors is None:
            return None
        symbols = self.tokenizer.symbols
        if isinstance(priors, str):
            from seqlab.ctc.priors import read

            return read(priors, symbols).numpy()
        if len(priors) != len(symbols):
            raise ConfigError(f"decoder.priors: {len(priors)} values for the tokenizer's {len(symbols)} symbols")
        return np.array(priors, np.float32)

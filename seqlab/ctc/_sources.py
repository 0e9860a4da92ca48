"""From files and options to what the beam search counts beside the frames."""

from typing import Any

import numpy as np

from seqlab.ctc._fusion import LABEL, NODE, STATE, Fusion, Switches
from seqlab.ctc.hotwords import Automaton
from seqlab.ctc.lexicon import best_below, build_trie, spell
from seqlab.errors import ConfigError
from seqlab.lm.ngram import NGram
from seqlab.lm.tables import Tables, frozen

LOWEST = -300.0  # natural log; exp() of it and its inverse stay finite


def word_boundaries(tokenizer: Any) -> np.ndarray:
    """Return which labels begin a new word, (V,): the space, or the pieces that stand for one."""
    starts = [symbol.startswith("\u2581") for symbol in tokenizer.symbols]
    if tokenizer.space is not None:
        starts[tokenizer.space] = True
    return np.array(starts)


def with_neural(fusion: Fusion, factors: np.ndarray) -> Fusion:
    """Return the sources with the factors of a neural model, see ``Fusion``."""
    return fusion._replace(on=fusion.on._replace(active=True, neural=True), neural=factors)


def build_fusion(
    tokenizer: Any,
    lm: NGram | None,
    lm_weight: float,
    insertion_bonus: float,
    unknown_score: float,
    lexicon: list[str] | None,
    automaton: Automaton,
) -> Fusion:
    """Put the sources together.

    Args:
        tokenizer: text to labels.
        lm: n-gram model of symbols or of words, or None.
        lm_weight: its weight.
        insertion_bonus: added for each word where words are followed, else for each symbol.
        unknown_score: added for each word or symbol that the model does not know.
        lexicon: the words allowed; None allows all.
        automaton: of the hotwords.

    Raises:
        ConfigError: the model, the lexicon and the tokenizer do not go together.
    """
    boundary = word_boundaries(tokenizer)
    by_word = lm is not None and lm.unit == "word" and bool(boundary.any())
    words = by_word or lexicon is not None
    if words and not boundary.any():
        raise ConfigError("decoder.lexicon: the tokenizer has neither a space nor pieces that begin words")
    labels = np.zeros(len(boundary), LABEL)
    labels["boundary"], labels["hot"] = boundary, automaton.root
    labels["quiet"] = ~boundary if automaton.whole_words else automaton.root == 0
    labels["constant"] = 1.0 if words else np.exp(insertion_bonus)
    by_symbol = lm is not None and not by_word
    if lm is not None and by_symbol:
        names = {tokenizer.space: " " if lm.words.find(" ") >= 0 else "<space>"}
        units = [lm.find(names.get(label, symbol)) for label, symbol in enumerate(tokenizer.symbols)]
        labels["unit"] = units
        strange = labels["unit"] == lm.unknown
        if strange[1:].all():
            raise ConfigError(
                "decoder.lm: the model knows none of the tokenizer's symbols; was it made for other text?"
            )
        labels["constant"][strange] *= np.exp(unknown_score)
    hotwords = np.zeros(len(automaton.fail) + 1, STATE)
    hotwords["first"], hotwords["label"] = automaton.first[:-1], automaton.label
    for name in ("fail", "arrive", "depart", "most"):
        hotwords[name][:-1] = getattr(automaton, name)
    hot = len(automaton.fail) > 1
    ints, floats = np.zeros(2, np.int32), np.zeros(2, np.float32)
    empty = Tables(ints, ints, floats, floats, ints, ints, 1, 0)
    on = Switches(
        active=bool(words or hot or by_symbol or insertion_bonus),
        constant=float(labels["constant"].max()),
        most=float(labels["constant"].max() * automaton.most.max()),
        lm_weight=float(lm_weight),
        end=-1 if lm is None else lm.end,
        by_symbol=by_symbol,
        by_word=by_word,
        words=words,
        hot=hot,
        whole_words=automaton.whole_words,
        neural=False,
        space=-1 if tokenizer.space is None else tokenizer.space,
    )
    nodes = _nodes(tokenizer, lm if by_word else None, lm_weight, insertion_bonus, unknown_score, lexicon, words)
    return Fusion(on, frozen(empty) if lm is None else lm.tables, labels, nodes, hotwords, np.zeros((0, 0)))


def _nodes(
    tokenizer: Any,
    lm: NGram | None,
    lm_weight: float,
    insertion_bonus: float,
    unknown_score: float,
    lexicon: list[str] | None,
    wanted: bool,
) -> np.ndarray:
    """Return the lexicon: the words allowed, or those that the model knows; without either, no words."""
    names, spellings = spell(lm.words if lexicon is None and lm else lexicon or [], tokenizer) if wanted else ([], [])
    if wanted and not names:
        raise ConfigError("decoder: none of the words can be spelled with the tokenizer's alphabet")
    trie = build_trie(spellings)
    nodes = np.zeros(len(trie.parent) + 1, NODE)
    nodes["first"], nodes["label"] = trie.first[:-1], trie.label
    ends = np.zeros(len(nodes), bool)
    ends[trie.ends] = True
    ahead = np.zeros(len(nodes))  # of the best word that may come, natural log, weighted
    strange = np.zeros(len(nodes))
    if lm is not None:
        unigram = lm_weight * lm.tables.log_prob[1:].astype(np.float64)
        index = lm.index
        ids = np.array([index.get(name, lm.unknown) for name in names], np.int64)
        scores = np.maximum(unigram[ids] + unknown_score * (ids == lm.unknown), LOWEST)
        order = np.argsort(scores, kind="stable")  # of words spelled alike the likeliest stays
        nodes["word"] = lm.unknown
        nodes["word"][trie.ends[order]] = ids[order]
        unknown = max(unigram[lm.unknown] + unknown_score, LOWEST)
        ahead = best_below(trie, scores, unknown if lexicon is None else LOWEST)
        strange = unknown_score * (nodes["word"] == lm.unknown)
    ahead[0] = 0.0
    nodes["step"] = np.exp(ahead - ahead[np.append(trie.parent, 0)])
    nodes["leave"] = np.exp(ahead[-1] - ahead)
    nodes["close"] = np.exp(insertion_bonus + strange - ahead)
    if lexicon is not None:
        nodes["close"][~ends] = 0.0
        nodes["leave"] = 0.0
    nodes["close"][0] = 1.0
    return nodes

"""From files and options to what the beam search counts beside the frames."""

import logging
from typing import Any

import numpy as np

from seqlab.ctc._fusion import LABEL, NODE, STATE, Fusion, Switches
from seqlab.ctc.hotwords import Automaton
from seqlab.ctc.lexicon import best_below, build_trie, spell
from seqlab.errors import ConfigError
from seqlab.lm.ngram import NGram
from seqlab.lm.tables import Tables, frozen

log = logging.getLogger(__name__)

MOST_UNKNOWN = 0.2  # of the labels: above it the model was probably made for other text
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
    source: str,
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
        source: where the words come from, for messages: key and file.

    Raises:
        ConfigError: the model, the lexicon and the tokenizer do not go together.
    """
    boundary = word_boundaries(tokenizer)
    if lm is not None:
        _check_unit(lm, tokenizer, bool(boundary.any()))
    by_word = lm is not None and lm.unit == "word"
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
        _check_symbols(lm, tokenizer, strange)
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
    nodes = _nodes(
        tokenizer, lm if by_word else None, lm_weight, insertion_bonus, unknown_score, lexicon, words, source
    )
    return Fusion(
        on, frozen(empty) if lm is None else lm.tables, labels, nodes, hotwords, automaton.hear, np.zeros((0, 0))
    )


def _check_unit(lm: NGram, tokenizer: Any, has_words: bool) -> None:
    """Tell if the model's units cannot be those of the tokenizer."""
    kind = type(tokenizer).__name__
    if lm.unit == "word" and not has_words:
        raise ConfigError(
            f"decoder.lm is a model of words, but the tokenizer ({kind}) has neither a space nor pieces that begin "
            "words; give a model of its symbols"
        )
    if lm.unit == "piece" and not tokenizer.starts:
        raise ConfigError(
            f"decoder.lm is a model of pieces, but the tokenizer ({kind}) has characters; give a model of characters"
            + " or of words" * has_words
        )
    # an ARPA file does not say its unit: one of pieces that are all single characters passes for one of characters
    if lm.unit == "char" and tokenizer.starts and lm.words.find("\u2581") < 0:
        raise ConfigError(
            f"decoder.lm is a model of characters, but the tokenizer ({kind}) has pieces; give a model of these pieces "
            "or of words"
        )


def _check_symbols(lm: NGram, tokenizer: Any, strange: np.ndarray) -> None:
    """Tell if the model knows few of the tokenizer's symbols, or none; ``strange`` (V,) are those it does not."""
    symbols, space = tokenizer.symbols, tokenizer.space
    unknown = [label for label in range(1, len(symbols)) if strange[label]]
    others = any(lm.words.find(symbols[label].swapcase()) >= 0 for label in unknown if label != space)
    hint = "it knows them in another case; make both of text in one case" if others else "was it made of other text?"
    if not set(range(1, len(symbols))) - {space, *unknown}:  # any text has spaces
        raise ConfigError(f"decoder.lm: the model knows none of the tokenizer's symbols; {hint}")
    if len(unknown) > MOST_UNKNOWN * (len(symbols) - 1):
        some = " ".join(repr(symbols[label]) for label in unknown[:10]) + " ..." * (len(unknown) > 10)
        log.warning(
            "decoder.lm: the model does not know %d of the tokenizer's %d symbols: %s; %s",
            *(len(unknown), len(symbols) - 1, some, hint),
        )


def _nodes(
    tokenizer: Any,
    lm: NGram | None,
    lm_weight: float,
    insertion_bonus: float,
    unknown_score: float,
    lexicon: list[str] | None,
    wanted: bool,
    source: str,
) -> np.ndarray:
    """Return the lexicon: the words allowed, or those that the model knows; without either, no words."""
    known = lm.words if lexicon is None and lm else lexicon or []
    names, spellings = spell(known, tokenizer, source) if wanted else ([], [])
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

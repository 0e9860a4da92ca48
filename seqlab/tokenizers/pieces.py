"""One label per sentencepiece piece: frequent words and parts of words (Kudo and Richardson 2018, arXiv:1808.06226)."""

import base64
import binascii
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from seqlab.errors import ConfigError, DataError
from seqlab.tokenizers.characters import BLANK, Characters

WORD_START = "▁"  # begins the pieces that begin a word


class SentencePieces:
    """Map text to one label per piece, after the same normalisation as Characters.

    There is no label for the space: pieces that begin a word begin with "▁" (``starts``). A line has fewer labels than
    characters, so that frames may be longer.

    Args:
        alphabet: a sentencepiece model: its file, or the file's content in base64, as a trained model carries it; null
            trains one on the training text (see ``fit``).
        size: number of labels, blank included, where one is trained; fewer if the text does not yield so many.
        kind: how it is trained: "bpe" or "unigram".
        normalization: Unicode form of the text.
        case: what happens to letters: "keep", "lower" or "upper".

    Raises:
        ConfigError: sentencepiece is not installed.
        DataError: the alphabet is no sentencepiece model.
    """

    def __init__(
        self,
        alphabet: str | None = None,
        size: int = 500,
        kind: Literal["bpe", "unigram"] = "bpe",
        normalization: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC",
        case: Literal["keep", "lower", "upper"] = "keep",
    ) -> None:
        self.size = size
        self.kind = kind
        self.normalization = normalization
        self.case = case
        self._plain = Characters(None, normalization, case)
        self.symbols: list[str] = [BLANK]
        self.starts: frozenset[int] = frozenset()
        self.space: int | None = None
        self._index: dict[str, int] = {}
        self._processor: Any = None
        _sentencepiece()  # tells at once if it is missing
        if alphabet is not None:
            self._set(_content(alphabet))

    def _set(self, proto: bytes) -> None:
        try:
            processor = _sentencepiece().SentencePieceProcessor(model_proto=proto or b"none")
        except RuntimeError:
            raise DataError("tokenizer.alphabet is no sentencepiece model") from None
        ids = range(processor.get_piece_size())
        plain = [i for i in ids if not (processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i))]
        self._processor = processor
        self.symbols = [BLANK, *map(processor.id_to_piece, plain)]
        self.starts = frozenset(i for i, symbol in enumerate(self.symbols) if symbol.startswith(WORD_START))
        self._index = {piece: i for i, piece in enumerate(self.symbols) if i}

    def fit(self, texts: Iterable[str]) -> None:
        """Train a model on texts, the same for the same texts; does nothing when one is there already.

        Raises:
            DataError: the texts are empty.
            ConfigError: the size is too small for the characters of the texts.
        """
        if len(self.symbols) > 1:
            return
        lines = [line for text in texts if (line := self.normalize(text))]
        if not lines:
            raise DataError("the training text is empty: no pieces can be taken from it")
        content = io.BytesIO()
        try:
            _sentencepiece().SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=content,
                vocab_size=self.size,
                model_type=self.kind,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                max_sentence_length=max(10, *(len(line.encode()) + 1 for line in lines)),
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            least = len(set("".join(lines)) - {" "}) + 2  # all characters, "▁" and <unk>
            if least > self.size:
                message = f"tokenizer.size {self.size} is too small: the text has {least - 2} characters; take at least"
                raise ConfigError(f"{message} {least}, or use tokenizer=characters") from None
            raise DataError(f"sentencepiece cannot be trained on the training text: {error}") from None
        self._set(content.getvalue())

    def normalize(self, text: str) -> str:
        """Return the text in the tokenizer's Unicode form and case, white space collapsed."""
        return self._plain.normalize(text)

    def scored(self, text: str) -> str:
        """Return a normalised or recognised text as it is scored: as it is."""
        return text

    def _pieces(self, text: str) -> list[str]:
        """Cut a normalised text; what has no label is left as pieces of its own."""
        return list(self._processor.encode(text, out_type=str)) if self._processor else list(text)

    def unknown(self, text: str) -> list[str]:
        """Return the characters of a text, normalised, that no piece has."""
        pieces = self._pieces(self.normalize(text))
        return sorted({c for piece in pieces if piece not in self._index for c in piece})

    def encode(self, text: str, skip_unknown: bool = False) -> list[int]:
        """Return label ids, none of them blank.

        Args:
            text: any text; it is normalised first.
            skip_unknown: leave out characters that have no label instead of raising.

        Raises:
            DataError: the text has characters that no piece has.
        """
        if not skip_unknown and (unknown := self.unknown(text)):
            raise DataError(f"characters {' '.join(map(repr, unknown))} are in no piece of the tokenizer")
        return [self._index[piece] for piece in self._pieces(self.normalize(text)) if piece in self._index]

    def decode(self, labels: Iterable[int]) -> str:
        """Return the text of label ids; runs of spaces become one."""
        pieces = [self.symbols[i] for i in labels]
        if not pieces:
            return ""
        return " ".join(self._processor.decode_pieces(pieces).replace(WORD_START, " ").split())

    def state(self) -> dict[str, object]:
        """Return what rebuilds this tokenizer: keyword arguments of the constructor, plain values."""
        content = self._processor.serialized_model_proto() if self._processor else b""
        return {
            "alphabet": base64.b64encode(content).decode() or None,
            "size": self.size,
            "kind": self.kind,
            "normalization": self.normalization,
            "case": self.case,
        }


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise ConfigError("tokenizer=pieces needs sentencepiece: pip install 'seqlab[pieces]'") from None
    return sentencepiece


def _content(alphabet: str) -> bytes:
    """Return a sentencepiece model, from its file or in base64."""
    if alphabet.endswith(".model"):
        path = Path(alphabet)
        if not path.is_file():
            raise ConfigError(f"tokenizer.alphabet: sentencepiece model {path} not found")
        return path.read_bytes()
    try:
        return base64.b64decode(alphabet, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("tokenizer.alphabet must be a sentencepiece model FILE.model, or null to train one") from None

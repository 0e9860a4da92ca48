"""Recognizer: a trained model for applications.

from seqlab import Recognizer
recognizer = Recognizer.load("runs/spoken_digits")
print(recognizer.transcribe("a.wav").text)
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from seqlab.batch import pad
from seqlab.config import Config, build
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.errors import ConfigError, DataError
from seqlab.media import read_audio
from seqlab.model import CTCModel
from seqlab.outputs.transcript import Transcript, Word


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint of a run folder (its best, else its last), or the path itself when it is a file.

    Raises:
        FileNotFoundError: there is no such path.
        DataError: the folder holds no checkpoint.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise FileNotFoundError(f"model {path} not found; give a run folder or a checkpoint (.ckpt)")
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    best = sorted(folder.glob("best-*.ckpt"), key=lambda p: (p.stem.rpartition("cer")[2], p.name))
    if best:
        return best[0]
    if (folder / "last.ckpt").is_file():
        return folder / "last.ckpt"
    raise DataError(f"{path} holds no checkpoint; a run folder has checkpoints/*.ckpt")


class Recognizer:
    """A trained model with its tokenizer and decoder.

    Args:
        model: the network, in eval mode.
        tokenizer: labels to text.
        decoder: log-probabilities to hypotheses.
        config: the configuration that it was trained with.
        name: where it came from.
    """

    def __init__(self, model: CTCModel, tokenizer: Any, decoder: Any, config: Config, name: str = "") -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.decoder = decoder
        self.config = config
        self.name = name

    @classmethod
    def load(cls, path: str | Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> "Recognizer":
        """Load a run folder or a checkpoint; nothing in the file is executed.

        Raises:
            FileNotFoundError: there is no such path.
            DataError: it is no checkpoint of seqlab.
        """
        file = find_checkpoint(path)
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device cuda: PyTorch finds no CUDA device; use auto or cpu")
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
            config = checkpoint["hyper_parameters"]["config"]
            weights = {k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k[:6] == "model."}
            tokenizer = build(config["tokenizer"], "tokenizer")
            with torch.device("meta"):  # takes no memory, so that false sizes are found before they cost any
                model = CTCModel(config, len(tokenizer.symbols))
            model.load_state_dict(weights, assign=True)
            model = model.float()
            decoder = build(config["decoder"], "decoder")
        except OSError:
            raise
        except Exception as error:  # whatever a damaged or hostile file leads to
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{file} is no checkpoint of seqlab, or of another version: {reason}") from None
        return cls(model.eval().to(where), tokenizer, decoder, config, str(file))

    @overload
    def transcribe(self, source: str | Path | np.ndarray, sample_rate: int | None = None) -> Transcript: ...
    @overload
    def transcribe(self, source: list[Any] | tuple[Any, ...], sample_rate: int | None = None) -> list[Transcript]: ...
    def transcribe(
        self,
        source: str | Path | np.ndarray | list[Any] | tuple[Any, ...],
        sample_rate: int | None = None,
    ) -> Transcript | list[Transcript]:
        """Transcribe a file, an array, or a list of them (as one batch).

        Args:
            source: path of an audio file, or mono audio (S,), floats in [-1, 1] or integers at their full scale.
            sample_rate: of arrays, in Hz; the model's own rate when not given.

        Returns:
            The transcript, with words, times in seconds and confidence; a list for a list.

        Raises:
            FileNotFoundError: a file is missing.
            DataError: a file is not readable; a recording too short for one frame has an empty transcript.
        """
        if isinstance(source, torch.Tensor):
            source = source.numpy(force=True)
        if isinstance(source, str | Path | np.ndarray):
            return self.transcribe([source], sample_rate)[0]
        signals = [self._read(item, sample_rate) for item in source]
        names = [str(item) if isinstance(item, str | Path) else "" for item in source]
        return self.transcribe_signals(signals, names)

    def _read(self, source: str | Path | np.ndarray, sample_rate: int | None) -> np.ndarray:
        rate = self.model.sample_rate
        if isinstance(source, np.ndarray):
            if np.issubdtype(source.dtype, np.unsignedinteger):
                raise DataError(f"audio must hold floats or signed integers, got {source.dtype}")
            scale = np.iinfo(source.dtype).max if np.issubdtype(source.dtype, np.integer) else 1
            audio = np.asarray(source, dtype=np.float32) / np.float32(scale)
            if sample_rate is not None and sample_rate <= 0:
                raise DataError(f"sample_rate must be positive, got {sample_rate}")
            if audio.ndim != 1:
                raise DataError(f"audio must be mono, shape (S,); got {audio.shape}")
            if sample_rate and sample_rate != rate:
                import soxr

                audio = soxr.resample(audio, sample_rate, rate)
            if not np.isfinite(audio).all():
                raise DataError("the audio holds values that are not finite")
            return audio
        return read_audio(source, rate)[0]

    @torch.inference_mode()
    def hypotheses(self, signals: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Decode signals (S,) at the model's rate as one batch; signals too short for a frame give an empty answer."""
        answer = [Hypothesis() for _ in signals]
        sizes = torch.tensor([len(s) for s in signals])
        long = [i for i, n in enumerate(self.model.num_frames(sizes).tolist()) if n > 0]
        if not long:
            return answer
        device = self.model.head.weight.device
        signal, lengths = pad([torch.from_numpy(np.ascontiguousarray(signals[i])) for i in long])
        log_probs, frames = self.model(signal.to(device), lengths.to(device))
        for i, hypothesis in zip(long, self.decoder(log_probs, frames), strict=True):
            answer[i] = hypothesis
        return answer

    def transcribe_signals(self, signals: Sequence[np.ndarray], names: Iterable[str] = ()) -> list[Transcript]:
        """Transcribe signals (S,) at the model's rate as one batch."""
        names = list(names) or [""] * len(signals)
        rate = self.model.sample_rate
        rows = zip(self.hypotheses(signals), signals, names, strict=True)
        return [self._transcript(hypothesis, len(signal) / rate, name) for hypothesis, signal, name in rows]

    def _transcript(self, hypothesis: Hypothesis, duration: float, source: str) -> Transcript:
        words: list[Word] = []
        letters: list[Any] = []
        shift = self.model.frame_shift

        def close() -> None:
            if letters:
                confidence = math.exp(sum(math.log(max(s.confidence, 1e-12)) for s in letters) / len(letters))
                text = self.tokenizer.decode([s.label for s in letters])
                start, end = letters[0].start * shift, min(letters[-1].end * shift, duration)
                words.append(Word(text, round(start, 3), round(max(end, start), 3), round(confidence, 4)))
                letters.clear()

        for span in hypothesis.spans:
            if span.label == self.tokenizer.space:
                close()
            else:
                letters.append(span)
        close()
        spans = hypothesis.spans
        confidence = math.exp(sum(math.log(max(s.confidence, 1e-12)) for s in spans) / len(spans)) if spans else 0.0
        return Transcript(
            text=self.tokenizer.decode(hypothesis.labels),
            words=words,
            confidence=round(confidence, 4),
            duration=round(duration, 3),
            source=source,
            id=Path(source).stem if source else "",
        )

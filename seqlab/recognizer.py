"""Recognizer: a trained model for applications.

from seqlab import Recognizer
recognizer = Recognizer.load("runs/spoken_digits")
print(recognizer.transcribe("a.wav").text)
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from seqlab.checkpoints import CONFIG, find_checkpoint, read_checkpoint, read_config, reason
from seqlab.config import Config, build
from seqlab.ctc.alternatives import readings, word_readings
from seqlab.ctc.confidence import Confidence, word_ranges
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.data.sources import source_of
from seqlab.decoding import FILE, run_folder, same_reading, stored
from seqlab.errors import ConfigError, DataError, UserError
from seqlab.hub import fetched
from seqlab.media import read_audio, read_image
from seqlab.onnx_model import FILES, OnnxModel, open_model
from seqlab.outputs.transcript import Alternative, Transcript, Word
from seqlab.signals import Signal, audio_samples, grey, ink_points, numbers

if TYPE_CHECKING:  # ONNX Runtime needs no torch
    from torch import Tensor

Backend = Literal["torch", "onnx", "int8"]


class Recognizer:
    """A trained model with its tokenizer and decoder.

    Args:
        model: the network: a CTCModel in eval mode, or an OnnxModel.
        tokenizer: labels to text.
        decoder: log-probabilities to hypotheses.
        config: the configuration that it was trained with.
        name: where it came from.
        calibration: of the decoder's confidences, from ``seqlab tune``; None leaves them raw.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        decoder: Any,
        config: Config,
        name: str = "",
        calibration: Config | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.decoder = decoder
        self.config = config
        self.name = name
        self.confidence = Confidence(tokenizer.space, calibration, tokenizer.starts)
        self.source = source_of(model.frontend)

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        decoder: Config | None = None,
        backend: Backend = "torch",
        vocal_tracts: Sequence[float] = (),
    ) -> "Recognizer":
        """Load a run folder, a checkpoint or a model folder; nothing in the files is executed.

        Args:
            path: run folder, checkpoint, folder of ``seqlab export``, or such a folder on the Hugging Face hub,
                ``hf://OWNER/NAME`` or ``hf://OWNER/NAME@REVISION`` (pip install 'seqlab[hub]').
            device: auto takes CUDA where there is one.
            decoder: node of a decoder, such as ``{"_target_": "seqlab.ctc.beam.Beam", "beam": 32}``; not given, it is
                what ``seqlab tune`` chose for the model, with its calibration, else what it was trained with.
            backend: what runs the network: torch, or ONNX Runtime on a CPU with the model folder's model.onnx (onnx)
                or model.int8.onnx (int8), which imports no torch for audio, and needs none for the other kinds.
            vocal_tracts: warps of the filterbank to read each recording with and average over, ``CTCModel.hear_as``;
                of the backend torch.

        Raises:
            FileNotFoundError: there is no such path.
            DataError: it is no checkpoint of seqlab.
        """
        path = fetched(path)
        if backend == "torch" and Path(path).suffix == ".onnx":
            raise ConfigError(f"{path} has no weights for torch; give its folder, or --backend onnx or int8")
        where = _device(device, backend)
        if vocal_tracts and backend != "torch":
            raise ConfigError(f"vocal tracts: the graph of the backend {backend} hears one; use the backend torch")
        file = find_checkpoint(path) if backend == "torch" else run_folder(path) / FILES[backend]
        try:
            kept = stored(path)
        except DataError:
            if decoder is None:
                raise
            kept = {}  # what is damaged is not wanted
        given = decoder or kept.get("decoder")
        try:
            config, model, tokenizer = _open_torch(file, where) if backend == "torch" else _open_onnx(file)
            own = build(config["decoder"], "decoder", tokenizer=tokenizer) if given is None else None
        except OSError:
            raise
        except Exception as error:  # whatever a damaged or hostile file leads to
            if backend != "torch" and isinstance(error, UserError):
                raise
            if reason(error) == "'frontend'":  # only language models have none
                what = "is a language model, no recogniser; it goes with one by seqlab tune RUN --neural"
                raise DataError(f"{file} {what}") from None
            raise DataError(f"{file} is no checkpoint of seqlab, or of another version: {reason(error)}") from None
        if given is not None:
            config["decoder"] = given
            try:
                own = build(given, "decoder", tokenizer=tokenizer)
            except (UserError, OSError) as error:
                if decoder is not None:
                    raise
                cure = "run seqlab tune again, or take decoder=greedy"
                raise DataError(f"{run_folder(path) / FILE}: {error}; {cure}") from None
        if vocal_tracts:
            model.hear_as(vocal_tracts)
        fits = given is not None and same_reading(given, kept.get("decoder") or {})
        return cls(model, tokenizer, own, config, str(file), kept.get("calibration") if fits else None)

    def use_threads(self, threads: int) -> None:
        """Use so many CPU threads, for the network and for decoding."""
        if isinstance(self.model, OnnxModel):
            self.model.use_threads(threads)
        else:
            import torch

            torch.set_num_threads(threads)
        if hasattr(self.decoder, "threads"):
            self.decoder.threads = threads

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
            source: path of a file, or an array of what the model takes: mono audio (S,), floats in [-1, 1] or integers
                at their full scale; a line image (Y, S) of uint8, grey, or (Y, S, 3), colour; ink (N, 4) of x, y, time
                and end of stroke; features (T, F).
            sample_rate: of audio arrays, in Hz; the model's own rate when not given.

        Returns:
            The transcript, with words and characters, their places and confidence; a list for a list.

        Raises:
            FileNotFoundError: a file is missing.
            DataError: a file is not readable, or an array not what the model takes; what is too short for one frame has
                an empty transcript.
        """
        if not isinstance(source, list | tuple):
            return self.transcribe([source], sample_rate)[0]
        signals = [self.open(item, sample_rate) for item in source]
        names = [str(item) if isinstance(item, str | Path) else "" for item in source]
        return self.transcribe_signals(signals, names)

    @property
    def kind(self) -> str:
        """What the model takes: audio, image, strokes or features."""
        return str(self.model.frontend.kind)

    def open(self, source: str | Path | np.ndarray, sample_rate: int | None = None) -> Signal:
        """Read a file or array as the model wants it.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: it is not readable, or an array of another form than the model takes.
        """
        frontend = self.model.frontend
        path = source if isinstance(source, str | Path) else None
        array = numbers(source) if path is None else np.zeros(0)
        rate = self.model.sample_rate
        if self.kind == "audio":
            audio = read_audio(path, int(rate))[0] if path is not None else audio_samples(array, rate, sample_rate)
            return Signal(audio, 1 / rate, len(audio) / rate, "s")
        try:
            if self.kind == "image":
                image = read_image(path) if path is not None else grey(array)
                step = image.shape[0] / frontend.height
                ink, left = frontend.prepare_placed(image)
                signal = Signal(self.source.signal(ink), step, image.shape[1], "px", -left * step)
                if frontend.direction == "rtl":  # the first sample is the rightmost column
                    signal.step, signal.offset = -step, (len(ink) - left) * step
                return signal
            if self.kind == "strokes":
                ink = self.source.open(path) if path is not None else ink_points(array)
                at = np.append(frontend.places(ink), len(ink))
                return Signal(self.source.signal(ink), unit="points", at=at)
            frames = self.source.open(path) if path is not None else frontend.prepare(array)
            return Signal(frames, 1 / rate, len(frames) / rate, "frames" if rate == 1 else "s")
        except DataError as error:
            told = path is None or str(path) in str(error)
            raise DataError(str(error) if told else f"{path}: {error}") from None

    def emissions(self, signals: Sequence[np.ndarray]) -> "list[Tensor]":
        """Return the log-probabilities (T, V) of signals (S, ...) in the model's form, run as one batch.

        Those too short for one frame give T = 0.
        """
        import torch

        return [torch.from_numpy(line) for line in self.model.log_probs_of(signals)]

    def hypotheses(self, signals: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Decode signals (S, ...) in the model's form as one batch; those too short give an empty answer."""
        return self.decode(self.model.log_probs_of(signals))

    def decode(self, emissions: "Sequence[np.ndarray | Tensor]") -> list[Hypothesis]:
        """Decode log-probabilities (T, V) as one batch; no frames give an empty answer."""
        lines = [np.asarray(emission, np.float32) for emission in emissions]
        answers = iter(self.decoder.lines([line for line in lines if len(line)]))
        return [next(answers) if len(line) else Hypothesis() for line in lines]

    def transcribe_signals(
        self, signals: Sequence[Signal], names: Iterable[str] = (), words: bool = True
    ) -> list[Transcript]:
        """Transcribe opened signals as one batch; see ``transcript_of``."""
        names = list(names) or [""] * len(signals)
        rows = zip(self.hypotheses([signal.samples for signal in signals]), signals, names, strict=True)
        return [self.transcript_of(hypothesis, signal, name, words) for hypothesis, signal, name in rows]

    def place(self, text: str, start: float, end: float, confidence: float, signal: Signal) -> Word:
        """Return a word or symbol that lies in the output frames [start, end), placed in the source."""
        return self._placing(signal)(text, start, end, confidence)

    def _placing(self, signal: Signal) -> Callable[[str, float, float, float], Word]:
        """Return ``place`` for one source: an hour has some 30,000 words and symbols."""
        scale = self.model.frame_shift * self.model.sample_rate * signal.step
        offset, extent, at = signal.offset, signal.extent, signal.at

        def place(text: str, start: float, end: float, confidence: float) -> Word:
            first, last = start * scale + offset, end * scale + offset
            if last < first:
                first, last = last, first
            if at is not None:
                first, last = np.interp([first, last], np.arange(len(at)), at).tolist()
            first, last = min(max(first, 0.0), extent), min(max(last, 0.0), extent)
            return Word(text, round(first, 3), round(last, 3), round(confidence, 4))

        return place

    def transcript_of(self, hypothesis: Hypothesis, signal: Signal, source: str, words: bool = True) -> Transcript:
        """Return what a decoded line says, its words and symbols placed in the source.

        Args:
            hypothesis: the decoder's answer.
            signal: that it was read from.
            source: path of its file, or "".
            words: give words and symbols with their places, confidences and other readings; else the text alone.
        """
        transcript = Transcript(
            text=self.tokenizer.decode(hypothesis.labels),
            duration=round(signal.extent, 3),
            unit=signal.unit,
            source=source,
            id=Path(source).stem if source else "",
        )
        if not words:
            return transcript
        place, symbols = self._placing(signal), self.tokenizer.symbols
        spans, sure, decode = hypothesis.spans, self.confidence, self.tokenizer.decode
        groups = [spans[r.start : r.stop] for r in word_ranges(spans, self.tokenizer.space, self.tokenizer.starts)]
        found = [
            place(decode([s.label for s in group]), group[0].start, group[-1].end, confidence)
            for group, confidence in zip(groups, sure.words(hypothesis), strict=True)
        ]
        transcript.words = [word for word in found if word.text]  # a piece may be a word's begin alone
        shares = readings(hypothesis, decode)
        by_word = word_readings([word.text for word in transcript.words], shares)
        for word, others in zip(transcript.words, by_word, strict=True):
            word.alternatives = _alternatives(others)
        transcript.characters = [
            place(symbols[span.label], span.start, span.end, confidence)
            for span, confidence in zip(spans, sure.symbols(hypothesis), strict=True)
        ]
        transcript.confidence = round(sure.line(hypothesis), 4)
        shares.pop(transcript.text, None)
        transcript.alternatives = _alternatives(shares)
        return transcript


def _device(wanted: str, backend: Backend) -> str:
    if backend != "torch":
        if wanted == "cuda":
            raise ConfigError("device cuda: ONNX Runtime is used on the CPU; use auto or cpu, or the backend torch")
        return "cpu"
    import torch

    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise ConfigError("device cuda: PyTorch finds no CUDA device; use auto or cpu")
    return ("cuda" if found else "cpu") if wanted == "auto" else wanted


def _open_torch(file: Path, device: str) -> tuple[Config, Any, Any]:
    """Return the configuration, the network and the tokenizer of a checkpoint or of a model folder's weights."""
    import torch

    from seqlab.model import CTCModel

    config, weights = read_checkpoint(file)
    tokenizer = build(config["tokenizer"], "tokenizer")
    with torch.device("meta"):  # takes no memory, so that false sizes are found before they cost any
        model = CTCModel(config, len(tokenizer.symbols))
    model.load_state_dict(weights, assign=True)
    return config, model.float().eval().to(device), tokenizer


def _open_onnx(file: Path) -> tuple[Config, Any, Any]:
    """Return the configuration, the network and the tokenizer of a model folder with a graph."""
    config = read_config(file.parent)
    tokenizer = build(config["tokenizer"], "tokenizer")
    model = open_model(file, config)
    if model.num_symbols != len(tokenizer.symbols):
        raise DataError(f"{file} has {model.num_symbols} outputs, {CONFIG} {len(tokenizer.symbols)} symbols")
    return config, model, tokenizer


def samples_per_second(recognizer: Recognizer) -> float:
    """Return how many samples make a second, for budgets: where there is no time, 100 columns, points or frames."""
    return recognizer.model.sample_rate if recognizer.kind == "audio" else 100.0


def _alternatives(shares: dict[str, float]) -> list[Alternative]:
    """Return readings whose share four decimals can show."""
    return [Alternative(text, round(share, 4)) for text, share in shares.items() if share >= 5e-5]

"""Aligner: where the words and symbols of a given text lie in a recording or a line image.

from seqlab.alignment import Aligner
aligner = Aligner.load("runs/fsdd")
print(aligner.align(aligner.recognizer.open("a.wav"), "one two").words)
"""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seqlab.ctc.align import STAR, align, realign
from seqlab.ctc.feasibility import required_frames
from seqlab.ctc.hypothesis import Span
from seqlab.ctc.local import PRIOR_WEIGHT, LocalAligner, fit
from seqlab.decoding import run_folder
from seqlab.errors import DataError
from seqlab.files import replacing
from seqlab.manifest import Line
from seqlab.outputs.transcript import Transcript, Word
from seqlab.recognizer import Recognizer
from seqlab.signals import Signal

FILE = "aligner.pt"  # in a run folder
DECODER = {"_target_": "seqlab.ctc.greedy.Greedy"}  # none is used: what the stored one needs may be missing
WHOLE = 2000  # output frames up to which a line is read at once
CHUNK, OVERLAP = 1000, 100  # output frames of longer ones: what is kept of a chunk, and read before and after it
MARGIN = 25  # frames that the local aligner may move a symbol
FIT_FLOATS = 50_000_000  # features that it is fitted to, 200 MB
MAX_CHANNELS = 1024  # of one in a file


class Aligner:
    """A model that places given texts.

    Args:
        recognizer: the model.
        local: places more exactly what the model has found; None: the model's own CTC path.
        log_priors: of the labels, (V,); divide the model's posteriors.
        prior_weight: their exponent, 0 to 1.
        star: word of a text that stands for anything, unless the alphabet has it.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        local: LocalAligner | None = None,
        log_priors: Tensor | None = None,
        prior_weight: float = 0.0,
        star: str = "*",
    ) -> None:
        self.recognizer = recognizer
        self.local = local
        self.log_priors, self.prior_weight = log_priors, prior_weight
        self.star = star

    @classmethod
    def load(cls, model: str | Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> "Aligner":
        """Load a run folder or a checkpoint, with the local aligner of the run if ``save`` has put one there.

        Raises:
            FileNotFoundError: there is no such path.
            DataError: a file is damaged, or the local aligner belongs to other weights.
        """
        recognizer = Recognizer.load(model, device, DECODER)
        path = run_folder(model) / FILE
        return cls(recognizer, _load(path, recognizer) if path.is_file() else None)

    def align(self, signal: Signal, text: str, source: str = "", skip_unknown: bool = False) -> Transcript:
        """Place a text.

        Args:
            signal: as ``recognizer.open`` or ``open_line`` gives it; may last for hours.
            text: what is said or written; a word that is the star alone stands for anything that is not in the text.
            source: of the signal, for the transcript.
            skip_unknown: leave out characters that are not in the model's alphabet.

        Returns:
            The text with places of words and characters. Confidences are those of the model's own path; a word that is
            not there has one near 0.

        Raises:
            DataError: the text is empty, has unknown characters, or needs more frames than there are.
        """
        labels = self.labels(text, skip_unknown)
        log_probs, local = self.emit(signal.samples)
        spans = align(log_probs, labels, self.log_priors, self.prior_weight).spans
        stride = getattr(self.recognizer.model.encoder, "stride", 1)
        if local is not None:
            fine = [Span(s.label, s.start * stride, s.end * stride, s.confidence) for s in spans]
            spans = realign(local, fine, MARGIN * stride)
        return self._transcript(spans, signal, source, 1 if local is None else stride)

    def labels(self, text: str, skip_unknown: bool = False) -> list[int]:
        """Return labels of a text, ``STAR`` among them; a star takes in the spaces that go with what it stands for.

        Raises:
            DataError: the text is empty or has characters that are not in the alphabet.
        """
        tokenizer = self.recognizer.tokenizer
        star = None if self.star in tokenizer.symbols else self.star
        labels: list[int] = []
        run: list[str] = []
        for word in [*text.split(), None]:
            if word is not None and word != star:
                run.append(word)
                continue
            said = tokenizer.normalize(" ".join(run))
            if skip_unknown:  # before the spaces around them are joined
                unknown = set(tokenizer.unknown(said))
                said = "".join(c for c in said if c not in unknown)
            if part := tokenizer.encode(said):
                spaced = len(labels) > 1 and tokenizer.space is not None  # else the star stands first
                labels += [tokenizer.space, *part] if spaced else part
            run = []
            if word is not None and labels[-1:] != [STAR]:
                labels.append(STAR)
        if not any(label != STAR for label in labels):
            raise DataError("the text is empty")
        return labels

    @torch.inference_mode()
    def emit(self, samples: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Run the model, over a long signal in overlapping chunks: of each the middle is kept.

        A model that normalises each line then does so within a chunk.

        Args:
            samples: (S, ...).

        Returns:
            Log-probabilities (T, V), and the local aligner's scores (T, V) if there is one; with an encoder that
            strides, T x stride of them.
        """
        model = self.recognizer.model
        total = int(model.num_frames(torch.tensor([len(samples)])))
        stride = getattr(model.encoder, "stride", 1)
        step = round(model.frame_shift * model.sample_rate)  # samples per frame
        size, margin = (total, 0) if total <= WHOLE else (CHUNK, OVERLAP)
        device = model.head.weight.device
        read, near = [torch.zeros(0, len(self.recognizer.tokenizer.symbols))], []
        for first in range(0, total, max(size, 1)):
            begin, end = max(first - margin, 0), min(first + size, total)
            part = samples[begin * step : None if end == total else (end + margin) * step]
            signal = torch.from_numpy(np.ascontiguousarray(part))[None].to(device)
            x, frames = model.frames(signal, torch.tensor([len(part)], device=device))
            kept = slice(first - begin, end - begin)
            read.append(model.read(x, frames)[0][0, kept].cpu())
            if self.local is not None:
                near.append(self.local.scores(x[0].cpu())[kept.start * stride : kept.stop * stride])
        return torch.cat(read), torch.cat(near) if near else None

    def _transcript(self, spans: Sequence[Span], signal: Signal, source: str, stride: int) -> Transcript:
        tokenizer = self.recognizer.tokenizer

        def place(text: str, group: Sequence[Span]) -> Word:
            sure = _mean([s.confidence for s in group])
            return self.recognizer.place(text, group[0].start / stride, group[-1].end / stride, sure, signal)

        words: list[Word] = []
        group: list[Span] = []
        for span in [*spans, None]:
            if span is None or span.label in (tokenizer.space, STAR) or span.label in tokenizer.starts:
                if text := tokenizer.decode([s.label for s in group]):  # a piece may be a word's begin alone
                    words.append(place(text, group))
                group = []
            if span is not None and span.label == STAR:
                words.append(place(self.star, [span]))
            elif span is not None and span.label != tokenizer.space:
                group.append(span)
        known = [span for span in spans if span.label != STAR]
        return Transcript(
            text=" ".join(word.text for word in words),
            words=words,
            characters=[place(tokenizer.symbols[span.label], [span]) for span in known],
            confidence=round(_mean([span.confidence for span in known]), 4),
            duration=round(signal.extent, 3),
            unit=signal.unit,
            source=source,
            id=Path(source).stem if source else "",
        )


def open_line(recognizer: Recognizer, line: Line) -> Signal:
    """Read a line of a manifest as the model takes it.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: a file is not readable.
    """
    source, rate = recognizer.source, recognizer.model.sample_rate
    if recognizer.kind == "audio":
        audio = source.read(line)  # parts joined, spans cut
        return Signal(audio, 1 / rate, len(audio) / rate, "s")
    if line.files:
        return recognizer.open(line.files[0])
    return recognizer.open(source.read(line))  # ink in the manifest


def fit_local(
    recognizer: Recognizer,
    lines: Sequence[Line],
    done: Callable[[float], object] = lambda share: None,
    prior_weight: float = PRIOR_WEIGHT,
) -> LocalAligner:
    """Fit a local aligner to lines with their texts, a model's training part best; takes seconds.

    Lines are drawn until their features fill 200 MB. Those with unknown characters or too few frames don't count.

    Args:
        recognizer: the model.
        lines: of its kind.
        done: told the share of the work that is done.
        prior_weight: exponent of the label priors in its loss; 0 is plain CTC, for comparison.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: a file is not readable, or no line is usable.
    """
    order = list(lines)
    random.Random(1).shuffle(order)
    rows: list[tuple[Tensor, Tensor]] = []
    size = 0
    for line in order:
        if recognizer.tokenizer.unknown(line.text):
            continue
        labels = recognizer.tokenizer.encode(line.text)
        x = _frames(recognizer, open_line(recognizer, line).samples)
        if not labels or len(x) < required_frames(labels):
            continue
        rows.append((x, torch.tensor(labels)))
        size += x.numel()
        if size > FIT_FLOATS:
            break
    if not rows:
        raise DataError("no line is usable: each is empty, too short, or has characters that the model does not know")
    return fit(rows, len(recognizer.tokenizer.symbols), done, prior_weight)


@torch.no_grad()
def _frames(recognizer: Recognizer, samples: np.ndarray) -> Tensor:
    """Return what the model's encoder reads, (T, F), on the CPU."""
    model = recognizer.model
    lengths = torch.tensor([len(samples)])
    if int(model.num_frames(lengths)) < 1:
        return torch.zeros(0, model.stem.num_features)
    device = model.head.weight.device
    signal = torch.from_numpy(np.ascontiguousarray(samples))[None].to(device)
    x, frames = model.frames(signal, lengths.to(device))
    return x[0, : int(frames)].cpu().clone()


def save(model: str | Path, recognizer: Recognizer, local: LocalAligner) -> Path:
    """Write a local aligner into the folder of a run, for the weights that it was fitted to; returns the file."""
    path = run_folder(model) / FILE
    with replacing(path) as temporary:
        torch.save({"weights": local.state_dict(), "read": _digest(recognizer)}, temporary)
    return path


def _load(path: Path, recognizer: Recognizer) -> LocalAligner:
    again = "fit it again: seqlab align MODEL TRAIN.jsonl --fit, or delete it"
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["read"] != _digest(recognizer):
            raise DataError(f"{path} was fitted to other weights than {recognizer.name}; {again}")
        channels = len(content["weights"]["context.weight"])
        if not 0 < channels <= MAX_CHANNELS:  # a few bytes can claim any size
            raise ValueError(f"{channels} channels")
        local = LocalAligner(recognizer.model.stem.num_features, len(recognizer.tokenizer.symbols), channels)
        local.load_state_dict(content["weights"])
    except (OSError, DataError):
        raise
    except Exception as error:  # whatever a damaged or hostile file leads to
        raise DataError(f"{path} is no aligner of this model ({str(error).splitlines()[0]}); {again}") from None
    return local.eval()


def _digest(recognizer: Recognizer) -> str:
    """Return a digest of what makes the frames that the encoder reads, and of the symbols."""
    model, config = recognizer.model, recognizer.config
    digest = hashlib.sha256(repr([config["frontend"], config["stem"], recognizer.tokenizer.symbols]).encode())
    for part in (model.normalize, model.stem):  # frontends have no weights
        for name, value in sorted(part.state_dict().items()):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _mean(confidences: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(math.log(max(c, 1e-12)) for c in confidences) / max(len(confidences), 1))

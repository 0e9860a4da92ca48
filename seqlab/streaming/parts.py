"""The parts of a network, fed piece by piece: what comes out in all is what the part gives for the whole line.

Pieces are of one line and have no line dimension: (S, ...) or (T, F) in, (T', F') out.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqlab.batch import pad
from seqlab.errors import ConfigError
from seqlab.frontends.normalize import Normalize
from seqlab.model import average
from seqlab.streaming.windows import Windows

WARM = 50  # frames that running statistics wait for before the first is normalised


class Stream(Protocol):
    """A part of a network that a line goes through piece by piece."""

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """Take the next piece, which may be empty; return the frames that are certain by now."""


def can_stream(model: Any) -> bool:
    """Tell whether a network's frontend and stem work piece by piece."""
    return all(hasattr(getattr(model, part, None), "reach") for part in ("frontend", "stem"))


class Reach:
    """A frontend or a stem: frames that depend on a bounded piece of what comes in.

    Args:
        part: the part; its ``reach`` says on what a frame depends.
    """

    def __init__(self, part: Any) -> None:
        self._part = part
        self._step, self._before, self._after = part.reach
        self._held: Tensor | None = None
        self._start = 0  # place of the first that is held
        self._done = 0  # frames given

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        held = x if self._held is None else torch.cat([self._held, x])
        end, step = self._start + len(held), self._step
        count = torch.tensor([len(held)])
        first = self._start // step
        ready = max((end - self._after) // step + 1, 0)
        if last:
            ready = first + int(self._part.num_frames(count))
        answer = x.new_zeros(0, self._part.num_features)
        if ready > self._done:
            answer = self._part(held[None], count)[0][0, self._done - first : ready - first]
            self._done = ready
        start = max(min(self._done * step - self._before, end) // step * step, self._start)
        self._held, self._start = held[start - self._start :], start
        return answer


class Fixed:
    """Normalisation by given statistics, or none.

    Args:
        mean: of each feature, (F,).
        std: likewise.
    """

    def __init__(self, mean: Tensor | float, std: Tensor | float) -> None:
        self._mean, self._std = mean, std

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        return (x - self._mean) / self._std


class Running:
    """Normalisation by the statistics of the line so far, each frame counted in; the first ``WARM`` frames wait.

    No matter how a line is cut, its frames come out the same, but not as ``Normalize`` of kind line makes them.

    Args:
        eps: added to the variance.
    """

    def __init__(self, eps: float) -> None:
        self._eps = eps
        self._held: Tensor | None = None
        self._count = 0
        self._sums: Tensor | float = 0.0  # of features and of their squares, (2, F)

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        if self._held is not None:
            x = torch.cat([self._held, x])
        if not self._count and len(x) < WARM and not last:
            self._held = x
            return x[:0]
        self._held = None
        if not len(x):
            return x
        sums = torch.stack([x, x.square()], 1).double().cumsum(0) + self._sums  # (T, 2, F)
        counts = torch.arange(1, len(x) + 1, device=x.device) + self._count
        if not self._count:
            warm = min(WARM, len(x))
            sums[:warm], counts[:warm] = sums[warm - 1].clone(), warm
        self._count += len(x)
        self._sums = sums[-1]
        mean, square = (sums / counts[:, None, None]).unbind(1)
        std = ((square - mean.square()).clamp(min=0) + self._eps).sqrt()
        return ((x - mean) / std).to(x.dtype)


class ReadOn:
    """An encoder that carries its state from piece to piece.

    Args:
        encoder: the encoder; its ``read_on`` does the work.
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._state: Any = None

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        states, self._state = self._encoder.read_on(x[None], self._state, last)
        answer: Tensor = states[0]
        return answer


class EncoderWindows:
    """An encoder that wants whole lines, on overlapping windows, see ``Windows``.

    Args:
        encoder: the encoder.
        size: frames kept of a window.
        context: frames on each side of them that are computed and dropped.
        lines: windows run together.
    """

    def __init__(self, encoder: Any, size: int, context: int, lines: int) -> None:
        self._encoder = encoder
        self._device: torch.device | None = None
        self._windows = Windows(self._run, 1, size, context, lines)

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        self._device = x.device
        return torch.from_numpy(self._windows.accept(x.cpu().numpy(), last)).to(x.device)

    def _run(self, windows: list[np.ndarray]) -> list[np.ndarray]:
        x, lengths = self._encoder(*pad([torch.from_numpy(window).to(self._device) for window in windows]))
        return [line[:length].cpu().numpy() for line, length in zip(x, lengths.tolist(), strict=True)]


def normalization(part: Normalize, running: bool = False) -> Stream:
    """Return a normalisation that needs no whole line.

    Args:
        part: the model's.
        running: take the statistics of the line so far where the model has those of the whole line.

    Raises:
        ConfigError: the model normalises by whole lines, and running statistics are not wanted.
    """
    if part.kind == "none":
        return Fixed(0.0, 1.0)
    if part.kind == "global":
        return Fixed(part.mean, part.std)
    if running:
        return Running(part.eps)
    raise ConfigError(
        "normalize.kind=line needs a line whole before its first frame is known; train with normalize=global, or "
        "take running=True: statistics of what was heard so far, which read a little worse at the beginning"
    )


class Warped:
    """A frontend whose filters are bent, see ``CTCModel.hear_as``.

    Args:
        frontend: with a filterbank.
        warp: factor by which frequencies shall seem to be multiplied.
    """

    def __init__(self, frontend: Any, warp: float) -> None:
        self._frontend, self._warp = frontend, warp
        self.reach, self.num_features, self.num_frames = frontend.reach, frontend.num_features, frontend.num_frames

    def __call__(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See the frontend."""
        answer: tuple[Tensor, Tensor] = self._frontend(signal, lengths, [self._warp] * len(signal))
        return answer


class Heard:
    """What a network says of a line piece by piece, averaged over the vocal tracts that it hears, if several.

    Args:
        model: the network.
        begin: returns a network that reads a new line by the frontend that it is given.
    """

    def __init__(self, model: Any, begin: Callable[[Any], Stream]) -> None:
        frontends = [Warped(model.frontend, warp) for warp in model.vocal_tracts] or [model.frontend]
        self._networks = [begin(frontend) for frontend in frontends]

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        return average([network.accept(x, last) for network in self._networks])


class LogProbs:
    """A network piece by piece: samples (S, ...) to log-probabilities (T, V).

    Args:
        model: the network.
        normalize: its normalisation.
        encoder: its encoder; None: that of ``read_on``.
        frontend: its frontend; None: the model's as it is.
    """

    def __init__(self, model: Any, normalize: Stream, encoder: Stream | None = None, frontend: Any = None) -> None:
        self._head = model.head
        frontend, encoder = frontend or model.frontend, encoder or ReadOn(model.encoder)
        self._parts = [Reach(frontend), normalize, Reach(model.stem), encoder]

    @torch.inference_mode()
    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``; the log-probabilities are on the CPU."""
        x = x.to(self._head.weight.device)
        for part in self._parts:
            x = part.accept(x, last)
        if not len(x):
            return torch.zeros(0, self._head.out_features)
        log_probs: Tensor = self._head(x).float().log_softmax(1)
        return log_probs.cpu()


def recording_network(
    model: Any, blocks: Callable[[], Iterable[np.ndarray]], size: int, context: int, lines: int
) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Return what a recording goes through piece by piece: samples (S,) in, log-probabilities (T, V) out.

    Args:
        model: the network, one that ``can_stream``.
        blocks: reads the recording, where its statistics must be known first.
        size: frames kept of a window, if the encoder wants whole lines.
        context: frames on each side of them.
        lines: windows run together.
    """

    def begin(frontend: Any) -> Stream:
        whole = model.normalize.kind == "line"
        normalize = _measured(model, frontend, blocks()) if whole else normalization(model.normalize)
        streams = getattr(model.encoder, "streams", False)
        encoder = None if streams else EncoderWindows(model.encoder, size, context, lines)
        return LogProbs(model, normalize, encoder, frontend)

    network = Heard(model, begin)
    return lambda x, last: network.accept(torch.from_numpy(x), last).numpy()


@torch.inference_mode()
def _measured(model: Any, frontend: Any, blocks: Iterable[np.ndarray]) -> Stream:
    """Return the normalisation of a whole recording, its statistics measured in a pass of their own."""
    reach = Reach(frontend)
    count, sums = 0, torch.zeros(2, model.frontend.num_features, dtype=torch.float64)

    def add(x: Tensor, last: bool = False) -> None:
        nonlocal count
        x = reach.accept(x, last).double()
        count += len(x)
        sums.add_(torch.stack([x.sum(0), x.square().sum(0)]))

    for block in blocks:
        add(torch.from_numpy(block))
    add(torch.zeros(0), last=True)
    mean, square = sums / max(count, 1)
    std = ((square - mean.square()).clamp(min=0) + model.normalize.eps).sqrt()
    device = model.head.weight.device
    return Fixed(mean.float().to(device), std.float().to(device))

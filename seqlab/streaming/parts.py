"""The parts of a network, fed piece by piece: what comes out in all is what the part gives for the whole line.

Pieces are of one line and have no line dimension: (S, ...) or (T, F) in, (T', F') out.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from seqlab.batch import pad
from seqlab.errors import ConfigError
from seqlab.frontends.normalize import Normalize

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


class Windows:
    """A network that wants whole lines, on overlapping windows, several at a time; frames at their edges are dropped.

    Args:
        run: computes the frames (T, F) of each of some windows (S, ...).
        step: inputs from frame to frame.
        size: frames kept of a window.
        context: frames on each side of them that are computed and dropped.
        lines: windows run together.
    """

    def __init__(
        self, run: Callable[[list[Tensor]], Sequence[Tensor]], step: int, size: int, context: int, lines: int
    ) -> None:
        self._run, self._step, self._size, self._context, self._lines = run, step, size, context, lines
        self._held: list[Tensor] = []
        self._start = 0  # place of the first frame whose input is held
        self._done = 0
        self._count = 0  # inputs held

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        """See ``Stream.accept``."""
        self._held.append(x)
        self._count += len(x)
        wanted = self._done + self._lines * self._size + self._context - self._start
        if self._count <= wanted * self._step and not last:
            return x.new_zeros(0)
        held = torch.cat(self._held)
        windows: list[Tensor] = []
        sides: list[tuple[int, int | None]] = []
        while (last and self._start * self._step + len(held) > self._done * self._step) or (
            not last and len(windows) < self._lines
        ):
            first = max(self._done - self._context, 0)
            end = self._done + self._size + self._context
            # a short rest goes along with the last window
            final = last and self._start * self._step + len(held) <= end * self._step
            windows.append(
                held[(first - self._start) * self._step : None if final else (end - self._start) * self._step]
            )
            sides.append((self._done - first, None if final else self._done - first + self._size))
            self._done += self._size
            if final:
                break
        answers: list[Tensor] = []
        for i in range(0, len(windows), self._lines):
            answers += self._run(windows[i : i + self._lines])
        start = max(self._done - self._context, 0)
        self._held = [held[(start - self._start) * self._step :]]
        self._start, self._count = start, len(self._held[0])
        kept = [answer[left:right] for answer, (left, right) in zip(answers, sides, strict=True)]
        return torch.cat(kept) if kept else x.new_zeros(0)


def encoder_windows(encoder: Any, size: int, context: int, lines: int) -> Windows:
    """Return an encoder that wants whole lines, on overlapping windows of so many frames."""

    def run(windows: list[Tensor]) -> list[Tensor]:
        x, lengths = encoder(*pad(windows))
        return [line[:length] for line, length in zip(x, lengths.tolist(), strict=True)]

    return Windows(run, 1, size, context, lines)


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


class LogProbs:
    """A network piece by piece: samples (S, ...) to log-probabilities (T, V).

    Args:
        model: the network.
        normalize: its normalisation.
        encoder: its encoder; None: that of ``read_on``.
    """

    def __init__(self, model: Any, normalize: Stream, encoder: Stream | None = None) -> None:
        self._head = model.head
        self._parts = [Reach(model.frontend), normalize, Reach(model.stem), encoder or ReadOn(model.encoder)]

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

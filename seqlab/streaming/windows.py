"""Networks that want whole lines, on recordings of any length. torch is not imported here."""

from collections.abc import Callable, Sequence

import numpy as np


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
        self,
        run: Callable[[list[np.ndarray]], Sequence[np.ndarray]],
        step: int,
        size: int,
        context: int,
        lines: int,
    ) -> None:
        self._run, self._step, self._size, self._context, self._lines = run, step, size, context, lines
        self._held: list[np.ndarray] = []
        self._start = 0  # place of the first frame whose input is held
        self._done = 0
        self._count = 0  # inputs held

    def accept(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next piece (S, ...), which may be empty; return the frames that are certain by now, or (0, 1)."""
        self._held.append(x)
        self._count += len(x)
        wanted = self._done + self._lines * self._size + self._context - self._start
        if self._count <= wanted * self._step and not last:
            return np.zeros((0, 1), np.float32)
        held = np.concatenate(self._held)
        windows: list[np.ndarray] = []
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
        answers: list[np.ndarray] = []
        for i in range(0, len(windows), self._lines):
            answers += self._run(windows[i : i + self._lines])
        start = max(self._done - self._context, 0)
        self._held = [held[(start - self._start) * self._step :]]
        self._start, self._count = start, len(self._held[0])
        kept = [answer[left:right] for answer, (left, right) in zip(answers, sides, strict=True)]
        return np.concatenate(kept) if kept else np.zeros((0, 1), np.float32)

"""Prefix beam search of one line whose frames come piece by piece."""

from typing import TYPE_CHECKING

import numpy as np

from seqlab.ctc.hypothesis import Hypothesis, Span

if TYPE_CHECKING:
    from seqlab.ctc.beam import Beam

ROOM = 256  # frames that the tree of prefixes has room for at first
KEPT = 2048  # frames after which what lies further back than TAIL is settled and let go
TAIL = 256


class BeamStream:
    """The search of ``Beam``, its state kept between pieces: the same reading however the frames are cut.

    Up to ``KEPT`` frames it is that of ``Beam`` for the whole line. Beyond, every so often the likeliest reading of
    what lies further back than ``TAIL`` frames is taken as settled, since two readings that differed there would be
    carried along for ever, each with everything that may follow: an n-gram model, which sees a few words, cannot tell
    them apart any more. Memory so is that of some thousand frames, and of the text.

    Args:
        beam: the decoder.
    """

    def __init__(self, beam: "Beam") -> None:
        self._beam = beam
        self._tree, self._live = beam._begin(ROOM)
        self._fusion = beam._fusion
        self._prefixes = None
        if beam._neural and not beam._rescores:
            from seqlab.ctc._sources import with_neural
            from seqlab.ctc.neural import Prefixes

            self._prefixes = Prefixes(beam._neural, 1, beam.beam)
            self._fusion = with_neural(beam._fusion, self._prefixes.factors[0])
        self._placed: list[Span] = []  # symbols placed for good
        self._cut = 0  # the first frame that is kept
        self._log_probs: list[np.ndarray] = []
        self._next = KEPT

    def accept(self, log_probs: np.ndarray) -> None:
        """Read the next frames, log-probabilities (T, V), float32; nothing changes for none."""
        if not len(log_probs):
            return
        log_probs = np.ascontiguousarray(log_probs)
        frames = self._beam._divided(log_probs)
        self._log_probs.append(log_probs)
        search, live = self._beam._search, self._live
        while len(frames):
            if live.counts[search.NODES] + self._beam.beam > len(self._tree):
                search.prune(self._tree, live)
                if 2 * live.counts[search.NODES] > len(self._tree):
                    self._tree = search.grown(self._tree)
            before = self._nodes()
            read = search.advance(frames, self._tree, live, self._beam._limits, self._fusion)
            self._follow(before)
            frames = frames[read:]
        if live.counts[search.FRAME] - self._cut > self._next:
            self._place()

    def partial(self) -> tuple[Hypothesis, int]:
        """Return the likeliest reading by now, and how many of its symbols are certain: later frames keep them.

        Certain is what all prefixes in the beam begin with; where words are followed, the whole words of that.
        """
        score = float(self._live.scale[0] + np.log(self._live.blank[0] + self._live.symbol[0]))
        return Hypothesis(self._spans_of(self._path(self._live.node[0])), score), self._certain()

    def finish(self) -> Hypothesis:
        """Return the best reading, and the next ones if the decoder keeps some."""
        return self._beam._finish(self._tree, self._live, self._fusion, self._spans_of)

    def _nodes(self) -> np.ndarray:
        return self._live.node[: self._live.counts[self._beam._search.SIZE]].copy()

    def _follow(self, before: np.ndarray) -> None:
        """Have the neural model read on, or move its states to where the beam's prefixes are now."""
        if self._prefixes is not None:
            from seqlab.ctc.neural import moves

            self._prefixes.follow(*moves(self._tree, before, self._nodes(), 0))

    def _certain(self) -> int:
        path = self._path(self._beam._search.agreed(self._tree, self._live))
        if not self._fusion.on.words:
            return len(path) - 1
        ends = np.flatnonzero(self._fusion.labels["boundary"][path["label"][1:]])
        return int(ends[-1]) if len(ends) else 0  # a word of a lexicon that nothing finishes is taken back

    def _kept(self) -> np.ndarray:
        if len(self._log_probs) > 1:
            self._log_probs = [np.concatenate(self._log_probs)]
        return self._log_probs[0] if self._log_probs else np.zeros((0, len(self._beam.tokenizer.symbols)), np.float32)

    def _path(self, row: int) -> np.ndarray:
        """Return the prefixes that lead to a row of the tree."""
        path: np.ndarray = self._tree[self._beam._spans.path_to(row, self._tree)]
        return path

    def _spans_of(self, path: np.ndarray) -> list[Span]:
        """Return the symbols of a path of prefixes."""
        tail = path[len(self._placed) :].copy()
        tail["born"] -= self._cut
        tail["seen"] -= self._cut
        return [*self._placed, *self._beam._aligned(self._kept(), tail, self._cut)]

    def _place(self) -> None:
        """Settle what lies far enough back, place its symbols for good, and let their frames go."""
        search, live = self._beam._search, self._live
        frames = int(live.counts[search.FRAME])
        rows = self._beam._spans.path_to(live.node[0], self._tree)
        old = int(np.searchsorted(self._tree["born"][rows], frames - TAIL))
        before = self._nodes()
        search.settle(self._tree, live, rows[max(old - 1, 0)])
        self._follow(before)
        spans = self._spans_of(self._tree[rows])[: self._certain()]
        done = [span for span in spans[len(self._placed) :] if span.end <= frames - TAIL]
        if done:
            self._placed += done
            self._log_probs = [self._kept()[done[-1].end - self._cut :].copy()]
            self._cut = done[-1].end
        self._next = frames - self._cut + KEPT

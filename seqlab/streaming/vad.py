"""Where a recording has speech: silero-vad's network, run by ONNX Runtime (pip install 'seqlab[vad]').

Silero Team, "Silero VAD", the graph silero_vad_16k_sequence.onnx of its package, from release 6.2.3 on. A frame is 32
ms of audio at 16 kHz, with the last 4 ms before it. The package itself, which imports torch, is not imported.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from seqlab.errors import ConfigError
from seqlab.media import audio_blocks
from seqlab.onnx_model import open_session
from seqlab.outputs.transcript import Transcript, Word
from seqlab.recognizer import Recognizer
from seqlab.signals import Signal

RATE, FRAME, BEFORE = 16_000, 512, 64  # Hz; samples of a frame, and of what it is given from the one before it
FILE = "data/silero_vad_16k_sequence.onnx"
BLOCK = 512  # frames of a run
ON, OFF = 0.5, 0.35  # probability from which there is speech, and below which it is over: silero's own
PAD = 0.3  # seconds of a pause that go along with the speech beside it
SILENT = 1.0  # seconds of pause that are not read; shorter ones are, if the piece stays short enough
LONGEST = 30.0  # seconds of a piece
BATCH = 120.0  # seconds read together

Span = tuple[float, float]


def transcribe_speech(recognizer: Recognizer, path: str | Path) -> Transcript:
    """Transcribe a recording's speech alone, of any length, in pieces that end in pauses.

    A piece is a line of its own. The recording is read twice: where the speech is shows in the first pass. Words,
    symbols and duration are in the time of the file; readings of the whole text beside the likeliest are not kept.

    Args:
        recognizer: a model of audio.
        path: the file.

    Raises:
        ConfigError: the model reads no audio, or silero-vad is not installed.
        FileNotFoundError: there is no such file.
        DataError: it is not readable.
    """
    if recognizer.kind != "audio":
        raise ConfigError(f"speech is looked for in audio, the model reads {recognizer.kind}")
    rate, samples = int(recognizer.model.sample_rate), 0
    spans = speech_pieces(np.fromiter(speech_probabilities(audio_blocks(path, RATE)), np.float32), FRAME / RATE)

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in audio_blocks(path, rate):
            samples += len(block)
            yield block

    found: list[Transcript] = []
    batch: list[Signal] = []
    held = 0
    for start, signal in cut(counted(), [(round(a * rate), round(b * rate)) for a, b in spans]):
        if batch and held + len(signal) > BATCH * rate:
            found += recognizer.transcribe_signals(batch)
            batch, held = [], 0
        batch.append(Signal(signal, 1 / rate, (start + len(signal)) / rate, offset=start / rate))
        held += len(signal)
    if batch:
        found += recognizer.transcribe_signals(batch)
    return joined(found, samples / rate, str(path))


def speech_probabilities(blocks: Iterable[np.ndarray]) -> Iterator[float]:
    """Yield for each frame of 32 ms how probably it is speech; the last one is filled up with zeros.

    Args:
        blocks: of audio at 16 kHz, (S,), float32.

    Raises:
        ConfigError: silero-vad, or ONNX Runtime, is not installed.
    """
    session = open_session(vad_graph(), 1)
    h = c = np.zeros((1, 1, 128), np.float32)
    held = np.zeros(BEFORE, np.float32)
    for block, last in chain(((block, False) for block in blocks), [(np.zeros(0, np.float32), True)]):
        held = np.concatenate([held, block])
        if last:
            held = np.pad(held, (0, (BEFORE - len(held)) % FRAME))
        ready = (len(held) - BEFORE) // FRAME
        while ready >= BLOCK or (last and ready):
            count = min(ready, BLOCK)
            frames = np.lib.stride_tricks.sliding_window_view(held, BEFORE + FRAME)[: count * FRAME : FRAME]
            found, h, c = session.run(
                ["speech_probs", "hn", "cn"], {"input": np.ascontiguousarray(frames), "h": h, "c": c}
            )
            yield from found.ravel().tolist()
            held, ready = held[count * FRAME :], ready - count


def vad_graph() -> Path:
    """Return the file of silero-vad's graph.

    Raises:
        ConfigError: silero-vad is not installed, or too old.
    """
    found = importlib.util.find_spec("silero_vad")
    folders = (found and found.submodule_search_locations) or []
    for file in (Path(folder) / FILE for folder in folders):
        if file.is_file():
            return file
    raise ConfigError("speech is found by silero-vad, from release 6.2.3 on: pip install 'seqlab[vad]'")


def speech_pieces(probabilities: np.ndarray, step: float = FRAME / RATE) -> list[Span]:
    """Divide a recording into pieces that hold its speech, in seconds.

    Speech begins at a probability of ``ON`` and ends below ``OFF``. All of it is kept, however short. A pause of more
    than ``SILENT`` seconds ends a piece; a piece of more than ``LONGEST`` is divided at its longest pause, and where it
    has none, where speech is least probable in its middle half. ``PAD`` seconds of a pause, at most half of it, go with
    the speech on either side.

    Args:
        probabilities: of speech in each frame, (T,).
        step: seconds of a frame.
    """
    at = np.arange(len(probabilities))
    known = np.maximum.accumulate(np.where((probabilities >= ON) | (probabilities < OFF), at, -1))
    speech = (known >= 0) & (probabilities[known] >= ON)
    edges = np.flatnonzero(np.diff(speech, prepend=False, append=False)).reshape(-1, 2)  # of stretches of speech
    gaps = edges[1:, 0] - edges[:-1, 1]
    groups = [g for g in np.split(edges, np.flatnonzero(gaps * step > SILENT) + 1) if len(g)]
    pieces: list[tuple[int, int]] = []
    while groups:
        group = groups.pop()
        start, end = int(group[0, 0]), int(group[-1, 1])
        if (end - start) * step <= LONGEST or end - start < 4:
            pieces.append((start, end))
        elif len(group) > 1:
            widest = int((group[1:, 0] - group[:-1, 1]).argmax()) + 1
            groups += [group[:widest], group[widest:]]
        else:
            quarter = (end - start) // 4
            middle = start + quarter + int(probabilities[start + quarter : end - quarter].argmin())
            groups += [np.array([[start, middle]]), np.array([[middle, end]])]
    pieces.sort()
    ends = [0, *(end for _, end in pieces)]
    starts = [*(start for start, _ in pieces), len(probabilities)]
    # half of each pause, between the end of a piece and the start of the next; all of that at the recording's ends
    pauses = [(b - a) * step for a, b in zip(ends, starts, strict=True)]
    pads = [min(PAD, pause if i in (0, len(pieces)) else pause / 2) for i, pause in enumerate(pauses)]
    return [(a * step - pads[i], b * step + pads[i + 1]) for i, (a, b) in enumerate(pieces)]


def cut(blocks: Iterable[np.ndarray], pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, np.ndarray]]:
    """Cut pieces out of a recording that comes in blocks (S,), all of which are read.

    Args:
        blocks: the recording.
        pieces: first sample and the one after the last, in order, without overlap.

    Yields:
        The first sample and the samples of each piece; the recording's end may cut it short.
    """
    blocks = iter(blocks)
    held, start = np.zeros(0, np.float32), 0
    for first, end in pieces:
        while start + len(held) < end and (block := next(blocks, None)) is not None:
            held = np.concatenate([held, block])
            skipped = min(max(first - start, 0), len(held))
            held, start = held[skipped:], start + skipped
        yield first, held[max(first - start, 0) : end - start]
    for _ in blocks:
        pass


def joined(pieces: Iterable[Transcript], duration: float, source: str) -> Transcript:
    """Join the transcripts of pieces of a recording, whose places are the recording's, with a space between them."""
    whole = Transcript("", confidence=1.0, duration=round(duration, 3), source=source, id=Path(source).stem)
    for piece in pieces:
        whole.confidence = round((whole.confidence or 0.0) * (piece.confidence or 0.0), 4)
        if not piece.text:
            continue
        if whole.characters and piece.characters:
            whole.characters.append(Word(" ", whole.characters[-1].end, piece.characters[0].start))
        whole.text += " " * bool(whole.text) + piece.text
        whole.words += piece.words
        whole.characters += piece.characters
    return whole

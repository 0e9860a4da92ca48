"""Streaming: CPU time per frame of a one-way encoder in pieces, the latency to the first word, and an hour of audio.

Run: python scripts/bench/streaming.py [--hidden-size 320 --num-layers 5] [--model RUN --manifest FILE [--long N]]

Without a model: a one-way LSTM of random weights, its state carried from piece to piece, against nn.LSTM eager. With
one: lines of the manifest are fed in pieces of 40 ms; a word's latency is what had been heard when it stood in a
partial result for good, less where the model places its end. --long N joins so many of the lines into one recording
and compares transcribe_long with one pass.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from timing import measure, start, table

from seqlab.encoders.blstm import BLSTM

PIECE = 0.04  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input-size", type=int, default=240)
    parser.add_argument("--hidden-size", type=int, default=320)
    parser.add_argument("--num-layers", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--model")
    parser.add_argument("--manifest")
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--long", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    start()
    if not arguments.model:
        frame_by_frame(arguments)
        return
    if arguments.long:
        long(arguments)
    else:
        latencies(arguments)


def frame_by_frame(arguments: argparse.Namespace) -> None:
    encoder = BLSTM(arguments.input_size, arguments.hidden_size, arguments.num_layers, bidirectional=False).eval()
    x = torch.randn(1, arguments.frames, arguments.input_size)

    @torch.inference_mode()
    def eager(size: int) -> torch.Tensor:
        state, out = None, []
        for piece in x.split(size, 1):
            y, state = encoder.lstm(piece, state)
            out.append(y)
        return torch.cat(out, 1)

    @torch.inference_mode()
    def ours(size: int) -> torch.Tensor:
        state, out = None, []
        for piece in x.split(size, 1):
            y, state = encoder.read_on(piece, state)
            out.append(y)
        return torch.cat(out, 1)

    for size in (1, 4, 20):
        runs = {"nn.LSTM eager": lambda size=size: eager(size), "read_on": lambda size=size: ours(size)}
        notes = {"read_on": f"largest difference {(ours(size) - eager(size)).abs().max():.1e}"}
        print(f"\n{arguments.num_layers} x {arguments.hidden_size}, pieces of {size}, {arguments.frames} frames\n")
        print(table(measure(runs, arguments.rounds), "nn.LSTM eager", notes))


def latencies(arguments: argparse.Namespace) -> None:
    from seqlab.manifest import read_manifest
    from seqlab.media import read_line
    from seqlab.recognizer import Recognizer
    from seqlab.streaming import StreamingRecognizer

    recognizer = Recognizer.load(arguments.model, "cpu")
    streaming = StreamingRecognizer(recognizer)
    rate = int(recognizer.model.sample_rate)
    first, every, same, audio, cpu = [], [], 0, 0.0, 0.0
    lines = list(read_manifest(arguments.manifest))[: arguments.lines]
    for line in lines:
        signal, _ = read_line(line, rate)
        began = time.process_time()
        seen: list[tuple[float, list[str]]] = []
        for at in range(0, len(signal), round(PIECE * rate)):
            partial = streaming.accept(signal[at : at + round(PIECE * rate)])
            seen.append((partial.heard, [word.text for word in partial.words]))
        final = streaming.finish()
        cpu += time.process_time() - began
        audio += len(signal) / rate
        words = [word.text for word in final.words]
        seen.append((len(signal) / rate, words))
        for k, word in enumerate(final.words):
            stands = len(seen) - 1
            while stands and seen[stands - 1][1][: k + 1] == words[: k + 1]:
                stands -= 1
            late = seen[stands][0] - word.end
            every.append(late)
            if k == 0:
                first.append(late)
        same += final.text == recognizer.transcribe(signal).text
    print(
        f"{len(lines)} lines, {audio:.0f} s in pieces of {PIECE * 1000:.0f} ms; bound of the model: {streaming.latency}"
    )
    print(f"text equal to the whole line's: {same} of {len(lines)}; CPU {cpu / audio:.3f} of real time")
    for name, values in (("first word", first), ("all words", every)):
        middle, high = statistics.median(values), sorted(values)[round(0.95 * (len(values) - 1))]
        print(f"{name}: stands for good {1000 * middle:.0f} ms after its end (median), {1000 * high:.0f} ms (95 %)")


def long(arguments: argparse.Namespace) -> None:
    import resource

    import numpy as np
    import soundfile
    from rapidfuzz.distance import Levenshtein

    from seqlab.manifest import read_manifest
    from seqlab.media import read_line
    from seqlab.recognizer import Recognizer
    from seqlab.streaming import transcribe_long

    recognizer = Recognizer.load(arguments.model, "cpu")
    rate = int(recognizer.model.sample_rate)
    lines = list(read_manifest(arguments.manifest))
    chosen = [lines[i % len(lines)] for i in range(arguments.long)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
            for line in chosen:
                file.write(read_line(line, rate)[0])
        began = time.process_time()
        pieces = transcribe_long(recognizer, path)
        cpu, memory = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{pieces.duration:.0f} s: CPU {cpu:.1f} s, peak memory {memory:.2f} GB, {len(pieces.words)} words")
        began = time.process_time()
        whole = recognizer.transcribe(path)
    print(f"one pass: CPU {time.process_time() - began:.1f} s")
    symbols = [[c.text for c in t.characters] for t in (pieces, whole)]
    edits = Levenshtein.distance(*symbols)
    print(f"{edits} of {len(symbols[1])} symbols differ, {1 - edits / max(len(symbols[1]), 1):.3%} agree")
    if edits == 0:
        moved = [abs(a.start - b.start) for a, b in zip(pieces.words, whole.words, strict=True)]
        print(f"words begin {1000 * np.max(moved):.0f} ms apart at most")


if __name__ == "__main__":
    main()

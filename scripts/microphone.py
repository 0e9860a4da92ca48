"""Read what is said into the microphone, as it is said.

Needs the package sounddevice and a model that streams (docs/streaming.md):
python scripts/microphone.py runs/MODEL
"""

import argparse
import queue
import sys

import numpy as np

from seqlab.recognizer import Recognizer
from seqlab.streaming import StreamingRecognizer


def main() -> None:
    """Listen until Ctrl+C; what is certain stands plain, the rest in grey."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--rate", type=int, default=16000, help="of the microphone, in Hz")
    parser.add_argument("--running", action="store_true", help="for models with normalize=line")
    arguments = parser.parse_args()
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, PortAudio is not
        raise SystemExit(f"{error}; pip install sounddevice, which needs the library PortAudio") from None
    recognizer = StreamingRecognizer(Recognizer.load(arguments.model), arguments.rate, arguments.running)
    if not recognizer.streams:
        print("this model reads whole lines: its text comes at the end, after Ctrl+C", file=sys.stderr)
    heard: queue.Queue[np.ndarray] = queue.Queue()

    def hear(block: np.ndarray, frames: int, time: object, status: object) -> None:
        heard.put(block[:, 0].copy())

    with sounddevice.InputStream(arguments.rate, arguments.rate // 25, channels=1, dtype="float32", callback=hear):
        try:
            while True:
                partial = recognizer.accept(heard.get())
                rest = partial.text[len(partial.stable) :]
                sys.stdout.write(f"\r\x1b[K{partial.stable}\x1b[90m{rest}\x1b[0m")
                sys.stdout.flush()
        except KeyboardInterrupt:
            sys.stdout.write(f"\r\x1b[K{recognizer.finish().text}\n")


if __name__ == "__main__":
    main()

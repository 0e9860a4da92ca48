"""Audio: reading WAV and FLAC, and changing the sample rate, against the libraries that users take for it.

Run: python scripts/bench/audio.py [--rounds N] [--files N] [--seconds S]

Files are read from the page cache; what a disk costs is not measured. seqlab's reader checks what the others do not:
cut-off files, values that are no numbers, headers that make no sense.
"""

import argparse
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio
from scipy.signal import resample_poly
from timing import growth, installed, measure, start, table

from seqlab.media import read_audio, write_flac, write_wav

RATE = 16000
Runs = dict[str, Callable[[], object]]


def by_wave(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768


def reading(paths: list[Path], loads: bool) -> Runs:
    """Return contenders that read files at the rate that they have."""
    peers: dict[str, Callable[[Path], object]] = {
        "soundfile": lambda path: soundfile.read(path, dtype="float32"),
        "seqlab read_audio": read_audio,
        "librosa.load(sr=None)": lambda path: librosa.load(path, sr=None),
    }
    if paths[0].suffix == ".wav":
        peers["wave and numpy"] = by_wave
    if loads:
        peers["torchaudio.load"] = torchaudio.load
    return {name: lambda read=read: [read(path) for path in paths] for name, read in peers.items()}


def resampling(signals: list[np.ndarray], rate: int) -> Runs:
    """Return contenders that change the rate of signals to 16 kHz; torch's filter is made once."""
    change = torchaudio.transforms.Resample(rate, RATE)
    common = np.gcd(rate, RATE)
    peers: dict[str, Callable[[np.ndarray], object]] = {
        "soxr HQ, as seqlab": lambda x: soxr.resample(x, rate, RATE, "HQ"),
        "librosa.resample": lambda x: librosa.resample(x, orig_sr=rate, target_sr=RATE),
        "torchaudio Resample": lambda x: change(torch.from_numpy(x)),
        "scipy resample_poly": lambda x: resample_poly(x, RATE // common, rate // common),
    }
    return {name: lambda run=run: [run(x) for x in signals] for name, run in peers.items()}


def torchaudio_loads(path: Path) -> bool:
    """Tell whether torchaudio.load works here: it needs torchcodec and FFmpeg's libraries."""
    if not installed("torchcodec"):
        return False
    try:
        torchaudio.load(path)
    except (OSError, RuntimeError, ImportError):
        print("torchaudio.load: left out, torchcodec finds no FFmpeg")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=12.3)
    given = parser.parse_args()
    start(packages=("torchaudio", "librosa", "soundfile", "soxr", "scipy", "numpy", "torchcodec"))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = [(0.1 * rng.standard_normal(int(given.seconds * RATE))).astype(np.float32) for _ in range(given.files)]
        for number, signal in enumerate(noise):
            write_wav(folder / f"{number}.wav", signal, RATE)
            write_flac(folder / f"{number}.flac", signal, RATE)
        loads = torchaudio_loads(folder / "0.wav")
        for form in ("wav", "flac"):
            paths = sorted(folder.glob(f"*.{form}"))
            print(f"\nreading {given.files} {form.upper()} files of {given.seconds:g} s, 16 kHz, 16 bits\n")
            print(table(measure(reading(paths, loads), given.rounds), "soundfile"))
        many: Runs = {
            "files as above": lambda: [read_audio(path) for path in paths],
            "ten times as many files": lambda: [read_audio(path) for path in 10 * paths],
            "read at 8 kHz": lambda: [read_audio(path, RATE // 2) for path in paths],
        }
        print(growth(measure(many, given.rounds), "files as above"))
    for rate in (48000, 44100, 8000):
        signals = [np.resize(x, int(given.seconds * rate)) for x in noise]
        print(f"\n{rate} Hz to {RATE} Hz, {given.files} signals of {given.seconds:g} s\n")
        print(table(measure(resampling(signals, rate), given.rounds), "soxr HQ, as seqlab"))


if __name__ == "__main__":
    main()

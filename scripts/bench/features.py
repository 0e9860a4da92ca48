"""Log-mel features: seqlab against torchaudio's Kaldi, kaldi-native-fbank and librosa.

Run: python scripts/bench/features.py [--rounds N] [--lines B] [--seconds S]
"""

import argparse
from collections.abc import Callable
from functools import partial

import librosa
import numpy as np
import torch
from timing import bar, growth, installed, measure, ratio, start, table, threads
from torch import Tensor
from torchaudio.compliance import kaldi

from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.mfcc import MFCC

RATE = 16000
PEER, NATIVE = "torchaudio kaldi.fbank", "kaldi-native-fbank"


def noise(lines: int, size: int) -> Tensor:
    """Return lines (B, S) of noise with a tone in it."""
    time = torch.arange(size) / RATE
    return 0.05 * torch.randn(lines, size) + 0.1 * torch.sin(2 * torch.pi * 300 * time)


def by_kaldi_native(line: np.ndarray) -> np.ndarray:
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(RATE, line)
    bank.input_finished()
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lines", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=12.3)
    arguments = parser.parse_args()
    start(packages=("torch", "torchaudio", "librosa", "numpy", "kaldi-native-fbank"))
    size = int(arguments.seconds * RATE)
    signal = noise(arguments.lines, size)
    lengths = torch.full((arguments.lines,), size)
    log_mel = LogMel()
    bank, cut = log_mel._bank(torch.device("cpu")), signal.unfold(1, 400, 160)

    def by_torchaudio() -> list[Tensor]:
        return [kaldi.fbank(line[None], num_mel_bins=80) for line in signal]

    def mel_by_librosa(line: np.ndarray) -> np.ndarray:
        mel = librosa.feature.melspectrogram(
            y=line, sr=RATE, n_fft=512, win_length=400, hop_length=160, n_mels=80, center=False
        )
        return np.log(mel + 1e-7)

    contenders: dict[str, Callable[[], object]] = {
        PEER: by_torchaudio,
        "seqlab LogMel": partial(log_mel, signal, lengths),
        "seqlab graves_2013": partial(LogMel(num_mels=40, energy=True, deltas=2), signal, lengths),
        "seqlab MFCC": partial(MFCC(), signal, lengths),
        "seqlab LogMel, whole batch at once": partial(bank, cut),
        "librosa melspectrogram + log": lambda: [mel_by_librosa(line) for line in signal.numpy()],
    }
    notes = {
        "seqlab graves_2013": "123 features",
        "seqlab MFCC": "39 features",
        "librosa melspectrogram + log": "another definition",
    }
    if installed("kaldi_native_fbank"):
        contenders[NATIVE] = lambda: [by_kaldi_native(line) for line in signal.numpy()]
    with torch.inference_mode():
        seconds = measure(contenders, arguments.rounds)
        features = log_mel(signal, lengths)[0]
        difference = float((features - torch.stack(by_torchaudio())).abs().max())
        notes["seqlab LogMel"] = f"largest difference to torchaudio {difference:.1e}"
        print(f"{arguments.lines} lines of {arguments.seconds:g} s, 80 filters, 25 ms every 10 ms\n")
        print(table(seconds, PEER, notes))
        twice, more = noise(arguments.lines, 2 * size), noise(2 * arguments.lines, size)
        larger = {
            "as above": partial(log_mel, signal, lengths),
            "lines twice as long": partial(log_mel, twice, 2 * lengths),
            "twice as many lines": partial(log_mel, more, lengths.repeat(2)),
        }
        print(growth(measure(larger, arguments.rounds), "as above"))
        print(threads(larger["as above"], arguments.rounds))
    print()
    bar("fbank, times as fast as torchaudio's", ratio(seconds, PEER, "seqlab LogMel"), 1.6, least=True)
    if NATIVE in seconds:
        bar("fbank, times as fast as kaldi-native-fbank", ratio(seconds, NATIVE, "seqlab LogMel"), 6, least=True)
    bar("largest difference to torchaudio's fbank", difference, 5e-4)


if __name__ == "__main__":
    main()

"""Log-mel features: seqlab against torchaudio's Kaldi and librosa.

Run: python scripts/bench/features.py [--rounds N]
"""

import argparse
from collections.abc import Callable
from functools import partial

import librosa
import numpy as np
import torch
from timing import measure, start, table
from torch import Tensor
from torchaudio.compliance import kaldi

from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.mfcc import MFCC

RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lines", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=12.3)
    arguments = parser.parse_args()
    start()
    size = int(arguments.seconds * RATE)
    time = torch.arange(size) / RATE
    signal = 0.05 * torch.randn(arguments.lines, size) + 0.1 * torch.sin(2 * torch.pi * 300 * time)
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
        "torchaudio kaldi.fbank": by_torchaudio,
        "seqlab LogMel": partial(log_mel, signal, lengths),
        "seqlab graves_2013": partial(LogMel(num_mels=40, energy=True, deltas=2), signal, lengths),
        "seqlab MFCC": partial(MFCC(), signal, lengths),
        "seqlab LogMel, whole batch at once": partial(bank, cut),
        "librosa melspectrogram + log": lambda: [mel_by_librosa(line) for line in signal.numpy()],
    }
    with torch.inference_mode():
        seconds = measure(contenders, arguments.rounds)
        difference = (log_mel(signal, lengths)[0] - torch.stack(by_torchaudio())).abs().max()
    notes = {
        "seqlab LogMel": f"largest difference to torchaudio {difference:.1e}",
        "seqlab graves_2013": "123 features",
        "seqlab MFCC": "39 features",
        "librosa melspectrogram + log": "another definition",
    }
    print(f"{arguments.lines} lines of {arguments.seconds:g} s, 80 filters, 25 ms every 10 ms\n")
    print(table(seconds, "torchaudio kaldi.fbank", notes))


if __name__ == "__main__":
    main()

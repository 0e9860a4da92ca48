from typing import Any

import pytest
import torch
from torchaudio.compliance import kaldi

from seqlab.export.filterbank import in_graph
from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.mfcc import MFCC


@pytest.mark.parametrize("snip", [False, True])
@pytest.mark.parametrize("energy", [False, True])
def test_convolved_filterbank_equals_kaldis(energy: bool, snip: bool) -> None:
    signal = 0.1 * torch.randn(1, 9000, generator=torch.Generator().manual_seed(1))
    found, frames = in_graph(LogMel(8000, 40, energy=energy, snip_edges=snip))(signal, torch.tensor([9000]))
    options: dict[str, Any] = {"use_energy": energy, "htk_compat": True, "energy_floor": 0.0, "snip_edges": snip}
    wanted = kaldi.fbank(signal, sample_frequency=8000, num_mel_bins=40, dither=0.0, **options)
    assert frames.tolist() == [len(wanted)]
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=2e-4)


def test_convolved_cepstra_equal_kaldis() -> None:
    signal = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(2)) + 0.2  # an offset, too
    found, _ = in_graph(MFCC(deltas=0))(signal, torch.tensor([16000]))
    wanted = kaldi.mfcc(signal, dither=0.0, use_energy=True, energy_floor=0.0)
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=2e-3)


@pytest.mark.parametrize("frontend", [LogMel(8000, 24, deltas=2), MFCC(8000)])
def test_padding_changes_nothing(frontend: Any) -> None:
    net = in_graph(frontend)
    signal = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(3))
    alone, frames = net(signal[:1, :1500], torch.tensor([1500]))
    signal[0, 1500:] = 0
    together, lengths = net(signal, torch.tensor([1500, 4000]))
    assert lengths.tolist() == [int(frames), 48]
    torch.testing.assert_close(together[0, : int(frames)], alone[0])
    assert not together[0, int(frames) :].any()

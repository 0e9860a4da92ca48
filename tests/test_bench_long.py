"""The hour's bench measures a large network that says what a small one says."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from seqlab.config import compose
from seqlab.model import CTCModel
from tests.scripts import BENCH, load

SMALL = ["corpus=manifest", "frontend.sample_rate=8000", "normalize=line", "encoder=blstm", "encoder.hidden_size=6"]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load(BENCH / "long.py")


@pytest.mark.parametrize(("size", "layers"), [(6, 2), (9, 2), (9, 4)])
def test_an_enlarged_network_says_the_same(bench: ModuleType, size: int, layers: int) -> None:
    torch.manual_seed(0)
    small = CTCModel(compose("train", [*SMALL, "encoder.num_layers=2"]), 5).eval()
    wide = [f"encoder.num_layers={layers}", f"encoder.hidden_size={size}"]
    large = CTCModel(compose("train", [*SMALL, *wide]), 5).eval()
    with torch.no_grad():
        small.head.weight.mul_(10)
        bench.enlarge(small, large)
        signal, lengths = 0.1 * torch.randn(2, 8000), torch.tensor([8000, 5000])
        want, got = small(signal, lengths)[0], large(signal, lengths)[0]
    assert (want.exp().amax(1) - want.exp().amin(1)).max() > 0.1  # it says something
    torch.testing.assert_close(got.exp(), want.exp(), atol=2e-3, rtol=0)


def test_words_of_a_language_model(bench: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "words.arpa"
    path.write_text(
        "\\data\\\n\n\\1-grams:\n-1\t</s>\n-99\t<s>\t-1\n-1\tone\t-0.5\n-1\ttwo\n\n\\2-grams:\n-1\tone two\n"
    )
    assert bench.arpa_words(path) == ["one", "two"]

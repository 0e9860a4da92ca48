"""The hour's bench measures a large network that says what a small one says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from seqlab.config import compose
from seqlab.model import CTCModel

FILE = Path(__file__).parents[1] / "scripts" / "bench" / "long.py"
SMALL = ["corpus=manifest", "frontend.sample_rate=8000", "normalize=line", "encoder=blstm", "encoder.hidden_size=6"]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """Return the bench as a module."""
    spec = importlib.util.spec_from_file_location("bench_long", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.path", ["there", "others"])  # the bench moves the first to the end
        spec.loader.exec_module(module)
    return module


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

"""seqlab inspect: what is drawn is what the network computes; parts of lines; memory reach; wrong input."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlab.cells.lstm import LSTM
from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.recurrent import Recurrent
from seqlab.errors import ConfigError, DataError
from seqlab.inspection import MOST_FRAMES, cut, inspect_line, layers_of, reach
from seqlab.recognizer import Recognizer
from tests.conftest import Run, tones

LENGTH = torch.tensor([19])


@pytest.fixture(scope="module")
def recognizer(trained: Path) -> Recognizer:
    return Recognizer.load(trained, "cpu")


@pytest.mark.parametrize("proj_size", [0, 5])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_layers_of_the_fused_lstm_say_what_it_computes(bidirectional: bool, proj_size: int) -> None:
    torch.manual_seed(0)
    encoder = BLSTM(7, 9, 2, proj_size=proj_size, bidirectional=bidirectional).eval()
    x = torch.randn(1, 19, 7)
    states, _ = encoder(x, LENGTH)
    layers = layers_of(encoder, x, LENGTH)
    ways = ["forward", "backward"] if bidirectional else ["forward"]
    assert [(layer.number, layer.direction) for layer in layers] == [(n, w) for n in (1, 2) for w in ways]
    with torch.no_grad():
        activities = [layer.cell.activity(layer.x) for layer in layers]
        lstm = encoder.lstm(x)  # one line has no padding: torch's own run of all layers
    outputs = [a["output"][:, 0] for a in activities]
    last = [outputs[-2], outputs[-1].flip(0)] if bidirectional else [outputs[-1]]
    torch.testing.assert_close(torch.cat(last, 1), states[0].detach(), atol=1e-5, rtol=0)
    for activity, cell in zip(activities, lstm[1][1], strict=True):
        torch.testing.assert_close(activity["cell state"][-1], cell, atol=1e-5, rtol=0)
    for activity in activities:
        if proj_size == 0:
            states_, gate = activity["cell state"], activity["output gate"]
            torch.testing.assert_close(activity["output"], gate * states_.tanh(), atol=1e-6, rtol=0)
        for name in ("input gate", "forget gate", "output gate"):
            assert activity[name].shape == (19, 1, 9)
            assert 0 <= float(activity[name].min()) <= float(activity[name].max()) <= 1


def test_layers_of_cells_say_what_the_encoder_computes() -> None:
    from functools import partial

    from seqlab.cells.gru import GRU
    from seqlab.encoders.recurrent import Recurrent

    torch.manual_seed(0)
    encoder = Recurrent(7, partial(GRU, hidden_size=9), num_layers=2).eval()
    x = torch.randn(1, 19, 7)
    layers = layers_of(encoder, x, LENGTH)
    assert [(layer.number, layer.direction) for layer in layers] == [
        (1, "forward"),
        (1, "backward"),
        (2, "forward"),
        (2, "backward"),
    ]
    with torch.no_grad():
        ahead, back = (layer.cell.activity(layer.x)["output"][:, 0] for layer in layers[2:])
        states = encoder(x, LENGTH)[0][0]
    torch.testing.assert_close(torch.cat([ahead, back.flip(0)], 1), states, atol=1e-5, rtol=0)


def test_layers_that_have_not_joined_in_yet_are_not_shown() -> None:
    x, lengths = torch.randn(1, 7, 5), torch.tensor([7])
    for encoder in (
        BLSTM(5, 4, num_layers=2, grow_at=[0.5]),
        Recurrent(5, partial(LSTM, hidden_size=4), num_layers=2, grow_at=[0.5]),
    ):
        assert {layer.number for layer in layers_of(encoder.eval(), x, lengths)} == {1}
        encoder.growth.grow(0.6)
        assert {layer.number for layer in layers_of(encoder, x, lengths)} == {1, 2}


def test_a_line_is_told_as_the_recogniser_reads_it(recognizer: Recognizer) -> None:
    signal = recognizer.open(tones("ab c", np.random.default_rng(3)))
    told = inspect_line(recognizer, signal, text="ab c", layer=1, direction="backward", cells=5)
    transcript = recognizer.transcribe_signals([signal])[0]
    assert told.text == transcript.text == "ab c"
    assert [place.text for place in told.decoded] == list("ab c")
    for place, character in zip(told.decoded, transcript.characters, strict=True):
        assert place.start * told.scale + told.offset == pytest.approx(character.start, abs=1e-3)
        assert place.start <= place.peak < place.end
    assert [place.text for place in told.aligned] == list("ab c")
    features, *gates = told.panels
    assert features.values.shape[0] == 24
    assert features.frames == pytest.approx(told.frames, abs=1)
    assert {"input gate", "forget gate", "output gate", "cell state", "output"} <= {panel.name for panel in gates}
    assert {panel.values.shape for panel in gates} == {(5, told.frames)}
    np.testing.assert_allclose(told.posteriors.sum(1), 1, atol=1e-5)
    with torch.no_grad():
        samples = torch.from_numpy(signal.samples)[None]
        x, lengths = recognizer.model.frames(samples, torch.tensor([samples.shape[1]]))
        states = recognizer.model.encoder(x, lengths)[0][0, :, 24:].numpy()  # the backward ones
    rows = np.sort(np.argsort(-states.std(0))[:5])
    np.testing.assert_allclose(gates[-1].values, states[:, rows].T, atol=1e-5)


def test_parts_are_cut_at_frames(recognizer: Recognizer) -> None:
    signal = recognizer.open(np.arange(80_000, dtype=np.float32) / 80_000)  # 10 s; a frame is 20 ms
    assert cut(recognizer, signal) == (signal, [])
    part, notes = cut(recognizer, signal, 2.0, 3.0)
    assert part.offset == pytest.approx(2.0)
    assert part.samples[0] == pytest.approx(0.2)
    assert len(part.samples) == 8000
    assert "frames 100 to 150 of" in notes[0]
    long = recognizer.open(np.zeros(8000 * 40, np.float32))
    part, notes = cut(recognizer, long)
    assert len(part.samples) == MOST_FRAMES * 160
    assert str(MOST_FRAMES) in notes[0]
    with pytest.raises(DataError, match="a picture shows"):
        inspect_line(recognizer, long)
    for start, end in ((3.0, 2.0), (11.0, 12.0)):
        with pytest.raises(ConfigError, match="nothing lies from"):
            cut(recognizer, signal, start, end)


class Taps(nn.Module):
    """y(t) = x(t) + x(t - 1) / 2 + x(t + 2) / 10."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        after = torch.cat([x[:, 2:], torch.zeros_like(x[:, :2])], 1)
        return x + before / 2 + after / 10, lengths


def test_reach_of_known_taps_is_exact() -> None:
    model = SimpleNamespace(encoder=Taps(), head=nn.Identity())
    lags, norms, counts = reach(model, [torch.randn(1, 12, 3), torch.randn(1, 40, 3)], most=100)
    assert lags.tolist() == list(range(-39, 40))
    assert counts[39] == 52  # every frame has itself
    assert counts[39 + 1] == counts[39 - 1] == 50
    expected = dict.fromkeys(range(-39, 40), 0.0) | {0: 3**0.5, 1: 3**0.5 / 2, -2: 3**0.5 / 10}
    np.testing.assert_allclose(norms, [expected[k] for k in lags.tolist()], atol=1e-6)


def test_reach_of_a_forward_lstm_ends_at_the_frame_itself() -> None:
    torch.manual_seed(0)
    encoder = BLSTM(4, 8, 1, bidirectional=False).eval()
    model = SimpleNamespace(encoder=encoder, head=nn.Linear(8, 3))
    lags, norms, _ = reach(model, [torch.randn(1, 30, 4)])
    assert not norms[lags < 0].any()
    assert (norms[lags >= 0] > 0).all()
    model.encoder.stride = 2  # type: ignore[assignment]
    with pytest.raises(DataError, match="as many frames"):
        reach(model, [torch.randn(1, 30, 4)])


def test_verb_draws_a_line_and_the_reach(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("inspect", trained, corpus / "dev.jsonl", "--id", "dev-002")
    assert done.returncode == 0, done.stderr
    root = ElementTree.parse(tmp_path / "dev-002.inspect.svg").getroot()
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"dev-002, read by run", "forget gate", "aligned text"} <= set(words)
    assert (tmp_path / "dev-002.inspect.svg").stat().st_size < 100_000
    done = seqlab("inspect", trained, corpus / "dev" / "dev-000.wav", "-o", "a.svg", "--start", "0.1", "--end", "0.3")
    assert done.returncode == 0, done.stderr
    assert "Read by itself: frames 5 to 15 of" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    done = seqlab("inspect", trained, corpus / "dev.jsonl", "--reach", "--lines", 3)
    assert done.returncode == 0, done.stderr
    assert "run: 3 lines" in done.stdout
    assert (tmp_path / "run.reach.svg").is_file()


WRONG = [
    (["a.wav", "--cells", "0"], "--cells must be 1 or more"),
    (["a.wav", "--layer", "0"], "--layer must be 1 or more"),
    (["a.wav", "-o", "a.png"], "end in .svg, not a.png"),
    (["a.wav", "--id", "x"], "--id names one line of a manifest"),
    (["a.wav", "--reach", "--text", "a"], "--reach has no use"),
    (["missing.wav"], "missing.wav"),
    (["DEV", "--id", "x"], "no line 'x'; there are dev-000"),
    (["DEV", "--layer", "2"], "no layer 2 forward; the encoder has layers 1 to 1, forward and backward"),
    (["DEV", "--text", "xyz"], "'x', 'y', 'z', not in the model's alphabet"),
    (["DEV", "--text", "abc" * 100], "the text is too long"),
    (["DEV", "--start", "99"], "nothing lies from 99"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_input_is_named(arguments: list[str], message: str, trained: Path, corpus: Path, seqlab: Run) -> None:
    done = seqlab("inspect", trained, *[str(corpus / "dev.jsonl") if a == "DEV" else a for a in arguments])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr

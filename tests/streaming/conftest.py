"""Untrained recognisers of every kind: what is tested is that pieces give what the whole gives."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from seqlab.config import build, compose
from seqlab.model import CTCModel
from seqlab.recognizer import Recognizer

RATE = 8000
AUDIO = [
    "frontend.sample_rate=8000",
    "frontend.num_mels=24",
    "stem.factor=2",
    "normalize=global",
    "encoder.hidden_size=24",
    "encoder.num_layers=2",
]
Make = Callable[..., Recognizer]


def recognizer_of(*overrides: str, gain: float = 2.0, **decoder: Any) -> Recognizer:
    """Build a recogniser whose answers change often; the gain of its encoder's weights says how far it remembers."""
    config = compose("train", ["corpus=manifest", *overrides])
    torch.manual_seed(3)
    tokenizer = build(config["tokenizer"] | {"alphabet": "abc "}, "tokenizer")
    model = CTCModel(config, len(tokenizer.symbols)).eval()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(gain)
    if model.frontend.kind == "audio":
        if model.normalize.kind == "global":
            model.normalize.update(5 * torch.randn(1, 200, model.frontend.num_features) - 8, torch.tensor([200]))
            model.normalize.finish()
        signal = torch.from_numpy(speech(4))
        with torch.no_grad():  # the answers centre on no symbol
            states, _ = model.encoder(*model.frames(signal[None], torch.tensor([len(signal)])))
            logits = model.head(states[0])
            model.head.bias -= logits.mean(0)
            model.head.weight /= logits.std()
            model.head.weight *= 4
            model.head.bias *= 4 / logits.std()
    node = decoder or {"_target_": "seqlab.ctc.greedy.Greedy"}
    return Recognizer(model, tokenizer, build(node, "decoder", tokenizer=tokenizer), config)


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Make noise whose loudness and colour change some ten times a second."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(seconds * 10)):
        time = np.arange(RATE // 10) / RATE
        tone = np.sin(2 * np.pi * rng.uniform(200, 3500) * time)
        parts.append(rng.uniform(0.001, 0.3) * tone + 0.01 * rng.standard_normal(len(time)))
    return np.concatenate(parts).astype(np.float32)


def pieces(signal: np.ndarray, seed: int = 1, most: int = 4000) -> Iterator[np.ndarray]:
    """Cut a signal at random, nothing at times."""
    rng = np.random.default_rng(seed)
    at = 0
    while at < len(signal):
        size = int(rng.choice([0, 1, 7, 80, 333, 1000, most]))
        yield signal[at : at + size]
        at += size


@pytest.fixture(params=["lstm", "look_ahead", "latency_controlled", "recurrent"])
def encoder(request: pytest.FixtureRequest) -> list[str]:
    """Return overrides of an encoder that streams."""
    if request.param == "recurrent":
        # its settings are not those of AUDIO
        return ["encoder=recurrent", "encoder.bidirectional=false", "encoder.residual=true"]
    more = ["encoder.chunk=7", "encoder.right=4"] if request.param == "latency_controlled" else []
    return [f"encoder={request.param}", *more]

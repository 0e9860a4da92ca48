"""Learn to foretell an endless row of strings: nothing is reset between them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from seqlab.cells.cell import State
from seqlab.encoders.recurrent import Recurrent
from seqlab.lab.meter import Meter
from seqlab.lab.network import Network
from seqlab.lab.reber import ContinualReber, Streams
from seqlab.lab.task import Sequences

_PIECE = 1000  # symbols that a test reads at once

States = list[State]  # one for each layer


def check_carries(network: Network) -> None:
    """Refuse an encoder whose state cannot be carried on.

    Raises:
        ValueError: it is no recurrent encoder of one direction.
    """
    encoder = network.encoder
    if not isinstance(encoder, Recurrent) or any(len(layer) > 1 for layer in encoder.layers):  # type: ignore[arg-type]
        raise ValueError(
            "streams without end need encoder=recurrent with bidirectional=false, whose state is carried on"
        )


def learn_streams(
    task: ContinualReber,
    network: Network,
    lines: int,
    step: Callable[[Tensor], None],
    meter: Meter,
    rng: np.random.Generator,
    held_out: np.random.Generator,
) -> str:
    """Train on streams side by side, segment by segment; the state is carried on, the gradient is not.

    A stream ends with a segment that held an error, or when it is long enough. The meter counts segments.

    Args:
        task: the streams.
        network: on a recurrent encoder that reads one way.
        lines: streams side by side, B.
        step: changes the weights by a loss.
        meter: of the cost.
        rng: of the training streams.
        held_out: of the test streams.

    Returns:
        Why training stopped.
    """
    streams = Streams(rng, lines)
    fresh = _initial(network, lines)
    states = fresh
    ages = torch.zeros(lines, dtype=torch.long)  # symbols of each stream
    next_look = task.every
    while True:
        batch = streams.read(task.segment)
        z, states = _read(network, batch, states)
        loss = network.loss(z, batch)
        step(loss)
        with torch.no_grad():
            wrong, mean = task.errors(network.activate(z), batch)
        stop = meter.add(mean.tolist(), int((wrong > 0).sum()), loss)
        ages += task.segment
        ended = (wrong > 0) | (ages >= task.train_length)
        ages[ended] = 0
        streams.restart(ended.numpy())
        states = [_mixed(ended, new, old) for new, old in zip(fresh, states, strict=True)]
        if meter.seen >= next_look:
            next_look += task.every
            if read_streams(task, network, held_out, until_error=True)["wrong"] == 0:
                return "criterion"
        if stop:
            return stop


@torch.no_grad()
def read_streams(
    task: ContinualReber, network: Network, rng: np.random.Generator, until_error: bool
) -> dict[str, float]:
    """Read streams with frozen weights, each up to its first error.

    Args:
        task: how many and how long.
        network: on a recurrent encoder that reads one way.
        rng: of the streams.
        until_error: stop at the first error in any of them.

    Returns:
        Streams, how many had an error (wrong), symbols foretold before it on average (mean_length).
    """
    network.eval()
    count = task.test_streams
    streams, states = Streams(rng, count), _initial(network, count)
    lasting = torch.ones(count, dtype=torch.bool)
    symbols = torch.zeros(count, dtype=torch.long)
    read = 0
    while read < task.test_length and lasting.any():
        batch = streams.read(min(_PIECE, task.test_length - read))
        z, states = _read(network, batch, states)
        assert batch.allowed is not None
        right = batch.allowed.gather(2, z.argmax(2, keepdim=True))[:, :, 0]  # (B, K)
        symbols += right.long().cumprod(1).sum(1) * lasting
        lasting &= right.all(1)
        read += right.shape[1]
        if until_error and not lasting.all():
            break
    network.train()
    return {"sequences": count, "wrong": int((~lasting).sum()), "mean_length": symbols.double().mean().item()}


def _initial(network: Network, lines: int) -> States:
    like = network.head.weight
    return [layer[0].initial(lines, like) for layer in network.encoder.layers]  # type: ignore[union-attr]


def _read(network: Network, batch: Sequences, states: States) -> tuple[Tensor, States]:
    """Read on from some states; returns the outputs' net inputs (B, K, O) and the states after it, without history."""
    x = batch.x.transpose(0, 1)  # (T, B, F)
    after = []
    for layer, state in zip(network.encoder.layers, states, strict=True):  # type: ignore[arg-type]
        x, state = layer[0](x, state)
        after.append(tuple(part.detach() for part in state))
    return network.read(x.transpose(0, 1), batch), after


def _mixed(where: Tensor, new: State, old: State) -> State:
    """Take the new state in some lines, (B,) bool, the old one in the others."""
    pairs = zip(new, old, strict=True)
    return tuple(torch.where(where.reshape(-1, *[1] * (a.dim() - 1)), a, b) for a, b in pairs)

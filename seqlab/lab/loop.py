"""Learn a task from an endless stream of its sequences, until the published criterion is met."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from seqlab.lab.criteria import HeldOut, Streak, Watch
from seqlab.lab.meter import Meter, Result, Row
from seqlab.lab.network import Network, Outputs
from seqlab.lab.reber import ContinualReber
from seqlab.lab.streams import check_carries, learn_streams, read_streams
from seqlab.lab.task import Sequences, Task

_BLOCK = 1 << 22  # input values that are drawn or tested at once


class Loop:
    """How a task is learnt.

    Args:
        task: what is learnt.
        outputs: what the outputs are and which error falls, see Network.
        head_bias: outputs have biases.
        direct: outputs see the inputs, too.
        weight_range: weights of the outputs begin uniform in plus or minus this; None: as torch's linear layers do.
        batch_size: sequences per change of the weights; 1 in 1997.
        clip: largest norm of the gradient; None: any.
        max_sequences: training ends unsolved after so many.
        max_cpu_minutes: or after so much processor time; None: any.
        test_size: fresh sequences of the final test.
        log_every: sequences between two rows of figures.

    Raises:
        ValueError: a value is out of range, or the outputs don't suit the task.
    """

    def __init__(
        self,
        task: Task,
        outputs: Outputs = "squared",
        head_bias: bool = True,
        direct: bool = False,
        weight_range: float | None = None,
        batch_size: int = 1,
        clip: float | None = None,
        max_sequences: int = 100_000,
        max_cpu_minutes: float | None = None,
        test_size: int = 2560,
        log_every: int = 1000,
    ) -> None:
        least = {"batch_size": batch_size, "max_sequences": max_sequences, "test_size": test_size}
        for name, count in (least | {"log_every": log_every}).items():
            if count < 1:
                raise ValueError(f"{name} must be 1 or more, got {count}")
        limits = {"clip": clip, "max_cpu_minutes": max_cpu_minutes, "weight_range": weight_range}
        for name, limit in limits.items():
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be positive or null, got {limit}")
        if outputs == "softmax" and not task.one_of:
            raise ValueError("outputs=softmax needs a task whose targets are one of several; use squared or linear")
        if outputs == "linear" and task.one_of:
            raise ValueError("outputs=linear is for numbers; this task has classes: use squared, logistic or softmax")
        self.task, self.outputs, self.head_bias, self.direct = task, outputs, head_bias, direct
        self.weight_range, self.batch_size, self.clip = weight_range, batch_size, clip
        self.max_sequences, self.max_cpu_minutes = max_sequences, max_cpu_minutes
        self.test_size, self.log_every = test_size, log_every

    def network(self, encoder: nn.Module) -> Network:
        """Put outputs on an encoder; its weights are those of the moment, see torch.manual_seed.

        Raises:
            ValueError: the task asks what comes next, and the encoder reads ahead; or its state cannot be carried on
                in a stream without end.
        """
        task, head = self.task, (self.head_bias, self.direct, self.weight_range)
        network = Network(encoder, task.num_inputs, task.num_outputs, self.outputs, *head)
        if isinstance(task, ContinualReber):
            check_carries(network)
        if task.foretells and reads_ahead(network, task):
            raise ValueError("the encoder sees what it is to foretell; use one that reads one way")
        return network

    def learn(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        seed: int,
        rate: Callable[[float], float] = lambda progress: 1.0,
        log: Callable[[Row], None] = lambda row: None,
    ) -> Result:
        """Train a net until the task's criterion is met or a limit is reached, then test it on fresh sequences.

        Args:
            network: what `network` returned; it is changed.
            optimizer: of its weights.
            seed: of the sequences; training, held-out and test sequences are drawn independently.
            rate: share of the learning rate, given the share of max_sequences that is done.
            log: told figures now and then, see Meter.
        """
        network.train()
        rng, held_out, fresh = (np.random.default_rng([seed, part]) for part in range(3))
        meter = Meter(self.max_sequences, self.max_cpu_minutes, self.log_every, log)
        step = self._stepper(network, optimizer, rate, meter)
        if isinstance(self.task, ContinualReber):
            stopped = learn_streams(self.task, network, self.batch_size, step, meter, rng, held_out)
        else:
            stopped = self._train(network, step, meter, rng, held_out)
        seconds = meter.seconds
        if isinstance(self.task, ContinualReber):
            test = read_streams(self.task, network, fresh, until_error=False)
        else:
            test = self._test(network, fresh)
        weights = sum(p.numel() for p in network.parameters())
        return Result(stopped == "criterion", stopped, meter.seen, round(seconds, 2), weights, test)

    def _stepper(
        self, network: Network, optimizer: torch.optim.Optimizer, rate: Callable[[float], float], meter: Meter
    ) -> Callable[[Tensor], None]:
        """Return what changes the weights by the gradient of a loss."""
        parameters = list(network.parameters())
        tops = [group["lr"] for group in optimizer.param_groups]

        def step(loss: Tensor) -> None:
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group["lr"] = top * rate(min(meter.seen / self.max_sequences, 1.0))
            optimizer.zero_grad()
            loss.backward()
            if self.clip:
                nn.utils.clip_grad_norm_(parameters, self.clip)
            optimizer.step()

        return step

    def _train(
        self,
        network: Network,
        step: Callable[[Tensor], None],
        meter: Meter,
        rng: np.random.Generator,
        held_out: np.random.Generator,
    ) -> str:
        """Train until something stops it; returns what."""
        task, rule = self.task, self.task.criterion
        pool = task.draw(rng, task.pool) if task.pool else None
        watch = Watch(rule) if isinstance(rule, Streak) else None
        sets = [task.draw(held_out, rule.size)] if isinstance(rule, HeldOut) else []
        sets += [pool] if pool else []
        next_look = rule.every if isinstance(rule, HeldOut) else 0
        for batch in self._batches(rng, pool):
            z = network(batch)
            with torch.no_grad():
                worst, mean = (error.tolist() for error in task.errors(network.activate(z), batch))
            if watch and watch.add(worst, mean):
                meter.seen = watch.seen
                return "criterion"
            loss = network.loss(z, batch)
            step(loss)
            stop = meter.add(mean, sum(not error < task.limit for error in worst), loss)
            if isinstance(rule, HeldOut) and meter.seen >= next_look:
                next_look += rule.every
                if all(rule.met(*self._errors(network, one)[:2]) for one in sets):
                    return "criterion"
            if stop:
                return stop
        raise AssertionError("the stream has no end")

    def _batches(self, rng: np.random.Generator, pool: Sequences | None) -> Iterator[Sequences]:
        """Draw batches without end: new sequences, or those of the pool in a new order each time."""
        count = self.batch_size * max(min(self._piece(), 512) // self.batch_size, 1)
        while True:
            if pool:
                block, order = pool, torch.from_numpy(rng.permutation(len(pool)))
            else:
                block, order = self.task.draw(rng, count), torch.arange(count)
            for chosen in order.split(self.batch_size):
                yield block.pick(chosen)

    def _piece(self) -> int:
        """Return how many sequences are held at once."""
        return max(_BLOCK // self.task.draw(np.random.default_rng(0), 1).x.numel(), 1)

    @torch.no_grad()
    def _errors(self, network: Network, sequences: Sequences) -> tuple[list[float], list[float], float]:
        """Return the largest and the mean error of each sequence, and their mean squared error."""
        network.eval()
        y = network.activate(network(sequences))
        network.train()
        worst, mean = self.task.errors(y, sequences)
        target = sequences.target if sequences.truth is None else sequences.truth
        return worst.tolist(), mean.tolist(), float((y - target)[sequences.steps >= 0].square().mean())

    def _test(self, network: Network, rng: np.random.Generator) -> dict[str, float]:
        """Measure fresh sequences: how many, how many wrong, mean absolute and mean squared error."""
        worst: list[float] = []
        mean: list[float] = []
        squares = 0.0
        count, piece = self.test_size, self._piece()
        for start in range(0, count, piece):
            size = min(piece, count - start)
            largest, average, square = self._errors(network, self.task.draw(rng, size))
            worst, mean, squares = worst + largest, mean + average, squares + square * size
        wrong = sum(not error < self.task.limit for error in worst)
        return {"sequences": count, "wrong": wrong, "mean_error": sum(mean) / count, "mse": squares / count}


@torch.no_grad()
def reads_ahead(network: Network, task: Task) -> bool:
    """Say whether the last step of a sequence changes the states that count before it."""
    batch = task.draw(np.random.default_rng(0), 1)
    network.eval()
    before, _ = network.encoder(batch.x, batch.lengths)
    x = batch.x.clone()
    x[:, -1] = 1 - x[:, -1]
    after, _ = network.encoder(x, batch.lengths)
    network.train()
    steps = batch.steps[0, batch.steps[0] < batch.lengths[0] - 1]
    return not torch.allclose(before[0, steps], after[0, steps], atol=1e-6)

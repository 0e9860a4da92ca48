"""Fair ratios on a shared machine: CPU time, all contenders interleaved in shuffled order, medians."""

import contextlib
import importlib.util
import os
import platform
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

# Programs that are started keep their compiled modules, as a user's do; without them each start compiles all of seqlab.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
PACKAGES = (
    "torch",
    "torchaudio",
    "lightning",
    "numpy",
    "scipy",
    "numba",
    "librosa",
    "soxr",
    "soundfile",
    "onnxruntime",
)
PACKAGES += ("rapidfuzz", "jiwer", "fast-ctc-decode", "flashlight-text", "pyctcdecode", "kenlm", "kaldi-native-fbank")


def start(seed: int = 0, packages: tuple[str, ...] = ("torch", "torchaudio", "librosa", "numpy")) -> None:
    """Use one thread and print what is measured on what."""
    torch.set_num_threads(1)
    random.seed(seed)
    torch.manual_seed(seed)
    print(f"Python {platform.python_version()}, {versions(packages)}; 1 thread, CPU time, medians, shuffled order")


def versions(packages: tuple[str, ...] = PACKAGES) -> str:
    """Name the packages that are installed, with their versions."""
    found = []
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def installed(module: str) -> bool:
    """Tell whether a peer can be imported; prints that it is left out if not."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        print(f"{module} is not installed: left out")
    return found


def measure(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Run every contender once to warm up and then `rounds` times; returns CPU seconds, or those of another clock."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(rounds):
        for name in random.sample(list(contenders), len(contenders)):
            begin = clock()
            contenders[name]()
            seconds[name].append(clock() - begin)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, peer: str) -> float:
    """Return how many times as long one takes as its peer, in the median."""
    return statistics.median(seconds[name]) / statistics.median(seconds[peer])


def table(seconds: Mapping[str, list[float]], peer: str, notes: Mapping[str, str] | None = None) -> str:
    """Format medians, their spread, and how many times faster each is than the peer, as a Markdown table."""
    rows = [f"| contender | CPU s | spread | times as fast as {peer} | note |", "|---|---|---|---|---|"]
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = (max(values) - min(values)) / middle
        fast = ratio(seconds, peer, name)
        rows.append(f"| {name} | {middle:.4f} | {spread:.0%} | {fast:.2f} | {(notes or {}).get(name, '')} |")
    return "\n".join(rows)


def growth(seconds: Mapping[str, list[float]], base: str) -> str:
    """Format how the cost grows: medians, and how many times as long as the base, as a Markdown table."""
    rows = ["\n| how the cost grows | CPU s | times as long |", "|---|---|---|"]
    rows += [
        f"| {name} | {statistics.median(v):.4f} | {ratio(seconds, name, base):.2f} |" for name, v in seconds.items()
    ]
    return "\n".join(rows)


def threads(run: Callable[[], object], rounds: int) -> str:
    """Format what a second thread gains: wall seconds beside CPU seconds, interleaved, as a Markdown table."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        return f"\n2 threads: not measured, the machine is busy (load {load:.1f} on {cores} cores)"
    wall: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds + 1):
        for count in (1, 2):
            torch.set_num_threads(count)
            before = time.perf_counter(), time.process_time()
            run()
            if turn:  # the first warms up
                wall[count].append(time.perf_counter() - before[0])
                cpu[count].append(time.process_time() - before[1])
    torch.set_num_threads(1)
    rows = [f"\n| threads | wall s | CPU s | load {load:.1f} on {cores} cores |", "|---|---|---|---|"]
    for count in (1, 2):
        gain = statistics.median(wall[1]) / statistics.median(wall[count])
        middle = f"{statistics.median(wall[count]):.4f} | {statistics.median(cpu[count]):.4f}"
        rows.append(f"| {count} | {middle} | {gain:.2f} times as quick by the wall clock |")
    return "\n".join(rows)


def bar(what: str, value: float, limit: float, least: bool = False) -> bool:
    """Print a figure beside its bar, the least or the most it may be; returns whether it is met."""
    met = value >= limit if least else value <= limit
    print(f"{'ok' if met else 'MISSED'}: {what}: {value:.4g}, bar {'>=' if least else '<='} {limit:g}", flush=True)
    return met


class Shares:
    """Where CPU time goes: each part's own seconds, without those of parts that run inside it."""

    def __init__(self) -> None:
        self.clear()
        self._inner = [0.0]

    def clear(self) -> None:
        """Forget all and begin anew."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._begun = time.process_time()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part."""
        begin = time.process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            taken = time.process_time() - begin
            self.seconds[name] += taken - self._inner.pop()
            self._inner[-1] += taken

    def watch(self, owner: Any, method: str, name: str, after: Callable[[Any], object] | None = None) -> None:
        """Count the time of a method of an object or class, from now on; `after` is shown what it returns."""
        run = getattr(owner, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                answer = run(*arguments, **options)
            if after:
                after(answer)
            return answer

        setattr(owner, method, counted)

    def move(self, taken: float, name: str, other: str) -> None:
        """Count some seconds of a part for another one."""
        self.seconds[name] -= taken
        self.seconds[other] += taken

    def table(self, what: str) -> str:
        """Format the shares of all time since the beginning as a Markdown table."""
        self.whole = whole = time.process_time() - self._begun
        rows = [f"| {what} | CPU s | share |", "|---|---|---|"]
        parts = self.seconds | {"all else": whole - sum(self.seconds.values())}
        rows += [f"| {name} | {taken:.3f} | {taken / whole:.1%} |" for name, taken in parts.items()]
        return "\n".join([*rows, f"| all | {whole:.3f} | |"])

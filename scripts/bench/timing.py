"""Fair ratios on a shared machine: CPU time, all contenders interleaved in shuffled order, medians."""

import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import torch


def start(seed: int = 0) -> None:
    """Use one thread and print what is measured on what."""
    torch.set_num_threads(1)
    random.seed(seed)
    torch.manual_seed(seed)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchaudio", "librosa", "numpy"))
    print(f"Python {platform.python_version()}, {packages}; 1 thread, CPU time, medians, shuffled order")


def measure(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run every contender once to warm up and then `rounds` times; returns CPU seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(rounds):
        for name in random.sample(list(contenders), len(contenders)):
            begin = time.process_time()
            contenders[name]()
            seconds[name].append(time.process_time() - begin)
    return seconds


def table(seconds: Mapping[str, list[float]], peer: str, notes: Mapping[str, str] | None = None) -> str:
    """Format medians, their spread, and how many times faster each is than the peer, as a Markdown table."""
    base = statistics.median(seconds[peer])
    rows = [f"| contender | CPU s | spread | times as fast as {peer} | note |", "|---|---|---|---|---|"]
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = (max(values) - min(values)) / middle
        rows.append(f"| {name} | {middle:.4f} | {spread:.0%} | {base / middle:.2f} | {(notes or {}).get(name, '')} |")
    return "\n".join(rows)

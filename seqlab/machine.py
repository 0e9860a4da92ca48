"""What a machine does best: a short probe, and what follows from it for the settings of training and transcribing."""

import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqlab.data.loader import FEW_LINES, reading_processes
from seqlab.encoders.blstm import BLSTM

QUICKER = 1.3  # how much quicker another setting must be to be taken
MOST_THREADS = 4  # nets of these sizes gain nothing from more
FRAMES, LINES = 40, 16  # of the training step that is measured: about what the stem leaves of a batch
ROUNDS, MOST_S = 3, 0.6  # of each measurement; no further round begins after so many seconds


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found and measured; seconds are the least of some rounds by the wall clock.

    Attributes:
        processor: its name.
        cores: that this process may use.
        memory_gb: of the machine.
        load: processes that wanted to run, mean of the last minute; above the cores, measurements say little.
        gpu: name of the first CUDA device, or None.
        gpu_bf16: whether it computes in bfloat16.
        threads: the threads that were tried beside one; 1 where cores are few or busy.
        gflops: GEMM rates of 1024 x 1024 matrices, by precision and threads.
        step_s: seconds of a training step of a BLSTM, by precision and threads.
        read_s: seconds for one line of speech through a BLSTM, by threads.
        onnxruntime: whether it is installed.
    """

    processor: str
    cores: int
    memory_gb: float
    load: float
    gpu: str | None
    gpu_bf16: bool
    threads: int
    gflops: Mapping[tuple[str, int], float]
    step_s: Mapping[tuple[str, int], float]
    read_s: Mapping[int, float]
    onnxruntime: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting.

    Attributes:
        setting: key of conf/train.yaml, or option of seqlab transcribe.
        default: what is used when nothing is said.
        choice: what suits this machine.
        why: the reason, with what was measured.
    """

    setting: str
    default: Any
    choice: Any
    why: str

    @property
    def agrees(self) -> bool:
        """Whether the default is what suits."""
        return bool(self.default == self.choice)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_to_try() -> int:
    """Return the number of threads that may be worth more than one."""
    return min(usable_cores(), MOST_THREADS)


def quicker(seconds: float, before: float) -> bool:
    """Tell whether a setting is so much quicker than the one before that it is taken."""
    return seconds * QUICKER < before


def probe() -> Probe:
    """Measure this machine, in a few seconds; the number of threads is afterwards what it was."""
    torch.manual_seed(0)
    cores = usable_cores()
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0
    # threads that wait for each other on a busy machine take up to fifty times as long as one
    several = 1 if load >= cores else threads_to_try()
    counts = sorted({1, several})
    lengths = torch.full((LINES,), FRAMES)
    x, line = torch.randn(LINES, FRAMES, 80), torch.randn(1, 300, 80)
    encoder = BLSTM(80, 256, 2)
    gflops, step_s, read_s = {}, {}, {}
    for count in counts:
        with _threads(count):
            for name, kind in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
                a = torch.randn(1024, 1024).to(kind)
                gflops[name, count] = 2 * 1024**3 / 1e9 / _least(partial(torch.mm, a, a))
                step_s[name, count] = _least(partial(_step, encoder, x, lengths, name == "bf16-mixed"))
            with torch.inference_mode():
                read_s[count] = _least(lambda: encoder(line, torch.tensor([300])))
    cuda = torch.cuda.is_available()
    return Probe(
        _processor(),
        cores,
        round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1) if hasattr(os, "sysconf") else 0.0,
        load,
        torch.cuda.get_device_name(0) if cuda else None,
        cuda and torch.cuda.is_bf16_supported(),
        several,
        gflops,
        step_s,
        read_s,
        importlib.util.find_spec("onnxruntime") is not None,
    )


def choose(found: Probe, defaults: Mapping[str, Any]) -> list[Choice]:
    """Choose settings.

    A default stays unless another value is ``QUICKER`` times as quick.

    Args:
        found: what was measured.
        defaults: values that are used when nothing is said, by the names of the settings.

    Returns:
        A choice for each of the defaults, in their order.

    Raises:
        KeyError: a default of which nothing is known here.
    """
    rules: dict[str, Callable[[Probe, Any], tuple[Any, str]]] = {
        "training.accelerator": _accelerator,
        "training.threads": _training_threads,
        "training.precision": _precision,
        "training.find_budget": _find_budget,
        "data.batch_frames": _batch_frames,
        "data.num_workers": _workers,
        "--device": _device,
        "--backend": _backend,
        "--threads": _reading_threads,
        "--processes": _processes,
    }
    return [Choice(name, default, *rules[name](found, default)) for name, default in defaults.items()]


def _accelerator(found: Probe, default: Any) -> tuple[Any, str]:
    return default, f"the GPU, {found.gpu}" if found.gpu else "no CUDA device: the CPU"


def _training_threads(found: Probe, default: Any) -> tuple[Any, str]:
    if found.gpu:
        return default, "the GPU computes"
    if found.threads == 1:
        return 1, _alone(found)
    precision = _precision(found, "32-true")[0]
    one, several = found.step_s[precision, 1], found.step_s[precision, found.threads]
    told = f"a training step is {one / several:.2f} times as quick with {found.threads} threads as with one"
    if quicker(several, one):
        return found.threads, told
    return 1, f"{told}; two trainings side by side do more"


def _precision(found: Probe, default: Any) -> tuple[Any, str]:
    if found.gpu:
        choice = "bf16-mixed" if found.gpu_bf16 else "32-true"
        return choice, f"the GPU {'computes' if found.gpu_bf16 else 'does not compute'} in bfloat16"
    seconds = {name: found.step_s[name, 1] for name in ("32-true", "bf16-mixed")}
    told = f"a training step in bfloat16 is {seconds['32-true'] / seconds['bf16-mixed']:.2f} times as quick"
    other = "bf16-mixed" if default == "32-true" else "32-true"
    return other if quicker(seconds[other], seconds[default]) else default, told


def _find_budget(found: Probe, default: Any) -> tuple[Any, str]:
    if found.gpu:
        return True, "the largest data.batch_frames that fits into the GPU's memory is searched"
    return False, "for GPUs alone"


def _batch_frames(found: Probe, default: Any) -> tuple[Any, str]:
    if found.gpu:
        return default, "is where the search begins"
    return default, "on a CPU larger batches are hardly quicker, and learn in fewer steps"


def _workers(found: Probe, default: Any) -> tuple[Any, str]:
    threads = 1 if found.gpu else _training_threads(found, 1)[0]
    count = reading_processes(FEW_LINES, True, found.cores - threads, found.gpu is not None)
    takes = {0: "no reading process", 1: "a reading process"}.get(count, f"{count} reading processes")
    if count:
        takes += f", none for fewer than {FEW_LINES} lines"
    return default, f"null, with {threads} of {found.cores} cores in training: {takes}"


def _device(found: Probe, default: Any) -> tuple[Any, str]:
    return _accelerator(found, default)


def _backend(found: Probe, default: Any) -> tuple[Any, str]:
    if found.gpu:
        return "torch", "runs on the GPU"
    if found.onnxruntime:
        return default, "reads every run; a folder of seqlab export --onnx --int8 is read faster with --backend int8"
    return default, "reads every run; with onnxruntime, folders of seqlab export --onnx --int8 would be read faster"


def _alone(found: Probe) -> str:
    return "one core" if found.cores == 1 else f"the cores are busy (load {found.load:g}); threads would wait"


def _reading_threads(found: Probe, default: Any) -> tuple[Any, str]:
    if found.threads == 1:
        return 1, _alone(found)
    one, several = found.read_s[1], found.read_s[found.threads]
    told = f"a line is read {one / several:.2f} times as quick with {found.threads} threads as with one"
    return found.threads if quicker(several, one) else 1, told


def _processes(found: Probe, default: Any) -> tuple[Any, str]:
    if found.gpu or found.cores == 1:
        return default, "one device, one process"
    return default, f"for a few files; for many of them up to {found.cores}, each with --threads 1"


def _step(encoder: BLSTM, x: Tensor, lengths: Tensor, bf16: bool) -> None:
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        states = encoder(x, lengths)[0]
    states.float().square().mean().backward()


def _least(run: Callable[[], object]) -> float:
    """Return the least wall seconds of some rounds, after one to warm up."""
    begun, seconds = time.perf_counter(), []
    for turn in range(ROUNDS + 1):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
        if turn and time.perf_counter() - begun > MOST_S:
            break
    return min(seconds[1:])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [row.partition(":")[2].strip() for row in text.splitlines() if row.startswith("model name")]
    return names[0] if names else platform.machine()

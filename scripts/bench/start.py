"""Cold start: CPU seconds of processes from start to end, and of the imports that they cannot do without.

Run: python scripts/bench/start.py FOLDER FILE [--rounds N]     (a folder of seqlab export --onnx, a short recording)

"greedy" takes the best path instead of the decoder that seqlab tune chose for the model, if it did; a beam search needs
numba, which is slow to import. Exit status 1 if a bar is missed, the folder as it stands.
"""

import argparse
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import bar

AS_IT_IS = "as it stands"
BARS = {"torch": 2.5, "onnx": 1.0}  # CPU seconds


def cpu_seconds(command: list[str]) -> float:
    """Run a command to its end; returns its CPU seconds, those of its own children too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        greedy = Path(scratch) / "greedy"
        shutil.copytree(given.folder, greedy, ignore=shutil.ignore_patterns("decoding.yaml"))
        seqlab, python = [sys.executable, "-m", "seqlab"], [sys.executable, "-c"]
        contenders = {
            "import torch": [*python, "import torch"],
            "import onnxruntime": [*python, "import onnxruntime"],
            "import numba": [*python, "import numba"],
            "seqlab --help": [*seqlab, "--help"],
            "seqlab train --help": [*seqlab, "train", "--help"],
        }
        for backend in BARS:
            for name, folder in (("greedy", greedy), (AS_IT_IS, given.folder)):
                command = [*seqlab, "transcribe", str(folder), given.file, "--backend", backend]
                contenders[told(backend, name)] = command
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for command in contenders.values():
            cpu_seconds(command)  # files into the page cache, kernels into numba's
        for _ in range(given.rounds):
            for name in random.sample(list(contenders), len(contenders)):
                seconds[name].append(cpu_seconds(contenders[name]))
    print("| process | CPU s, median | least | most |\n|---|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    print()
    met = [
        bar(f"first transcript by {backend}, CPU s", statistics.median(seconds[told(backend, AS_IT_IS)]), limit)
        for backend, limit in BARS.items()
    ]
    return 0 if all(met) else 1


def told(backend: str, decoder: str) -> str:
    """Name a contender that transcribes."""
    return f"seqlab transcribe, {backend}, {decoder}"


if __name__ == "__main__":
    sys.exit(main())

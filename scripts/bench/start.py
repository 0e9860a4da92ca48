"""Cold start: CPU seconds of processes from start to end, and of the imports that they cannot do without.

Run: python scripts/bench/start.py FOLDER FILE [--rounds N]     (a folder of seqlab export --onnx, a short recording)

"greedy" takes the best path instead of the decoder that seqlab tune chose for the model, if it did; a beam search needs
numba, which is slow to import.
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


def cpu_seconds(command: list[str]) -> float:
    """Run a command to its end; returns its CPU seconds, those of its own children too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
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
        for backend in ("torch", "onnx"):
            for name, folder in (("greedy", greedy), ("as it stands", given.folder)):
                command = [*seqlab, "transcribe", str(folder), given.file, "--backend", backend]
                contenders[f"seqlab transcribe, {backend}, {name}"] = command
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for command in contenders.values():
            cpu_seconds(command)  # files into the page cache, kernels into numba's
        for _ in range(given.rounds):
            for name in random.sample(list(contenders), len(contenders)):
                seconds[name].append(cpu_seconds(contenders[name]))
    print("| process | CPU s, median | least | most |\n|---|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()

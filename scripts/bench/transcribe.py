"""Files to text: seqlab transcribe against a plain torch loop with pyctcdecode; CPU seconds of whole processes.

python scripts/bench/transcribe.py MODEL FILE... [--beam 100] [--rounds N] [--int8]     (files, folders, patterns)

MODEL is a run of a BLSTM, or a folder of `seqlab export --onnx --int8`, which --int8 measures too. Each contender is a
process of its own on one thread, from its start to the text of the last file on the disk, imports included:

- plain: file by file, the same network in eager torch with nn.LSTM, then the best symbol of each frame, or
  pyctcdecode with its usual beam of 100 and no language model; texts only. Left out where pyctcdecode is missing.
- seqlab: `seqlab transcribe -f txt` with the same beam, or greedy, as `seqlab tune` leaves it in decoding.yaml; texts
  only, too.

Exit status 1 if seqlab, with the beam and the quickest backend, is not 4 times as fast as plain torch and pyctcdecode.
"""

import argparse
import importlib.util
import itertools
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import bar, ratio, start, table

from seqlab.decoding import FILE

PEER = "plain torch, pyctcdecode"
LEAST = 4.0


def commands(given: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """Return the contenders; each is given the file for its texts besides."""
    plain = [sys.executable, __file__, given.model, *given.files, "--beam", str(given.beam), "--plain"]
    found = {PEER: [*plain, "beam", "-o"]} if importlib.util.find_spec("pyctcdecode") else {}
    found["plain torch, greedy"] = [*plain, "greedy", "-o"]
    decoders = {"beam": {"_target_": "seqlab.ctc.beam.Beam", "beam": given.beam}, "greedy": None}
    for name, decoder in decoders.items():
        (folder / name).mkdir()
        for path in Path(given.model).resolve().iterdir():
            if path.name != FILE:
                (folder / name / path.name).symlink_to(path)
        if decoder:
            (folder / name / FILE).write_text(json.dumps({"decoder": decoder}))
    for backend, (name, _) in itertools.product(
        ("torch", "onnx", "int8") if given.int8 else ("torch",), decoders.items()
    ):
        words = ["transcribe", str(folder / name), *given.files, "--backend", backend, "-f", "txt", "-o"]
        found[f"seqlab, {backend}, {name}"] = [sys.executable, "-m", "seqlab", *words]
    return found


def cpu_seconds(command: list[str]) -> float:
    """Run a contender on one thread; returns its CPU seconds.

    Raises:
        SystemExit: it failed.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    process = subprocess.Popen(command, env=os.environ | one, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"{' '.join(command[:4])} ...: exit status {process.returncode}")
    return used.ru_utime + used.ru_stime


def plain(given: argparse.Namespace) -> None:
    """Be the plain loop."""
    import torch

    from seqlab.recognizer import Recognizer
    from seqlab.verbs.transcribe_files import find_files

    torch.set_num_threads(1)
    recognizer = Recognizer.load(given.model, "cpu", {"_target_": "seqlab.ctc.greedy.Greedy"})
    model, symbols = recognizer.model, recognizer.tokenizer.symbols
    if given.plain == "beam":
        from pyctcdecode import build_ctcdecoder

        logging.disable(logging.WARNING)
        search = build_ctcdecoder(["", *symbols[1:]])
    with open(given.output, "w", encoding="utf-8") as out, torch.inference_mode():
        for path in find_files(given.files, recognizer.kind):
            signal = torch.from_numpy(recognizer.open(path).samples)[None]
            x, _ = model.frames(signal, torch.tensor([signal.shape[1]]))
            log_probs = model.head(model.encoder.lstm(x)[0]).log_softmax(2)[0]
            if given.plain == "beam":
                text = search.decode(log_probs.numpy(), beam_width=given.beam)
            else:
                best = [label for label, _ in itertools.groupby(log_probs.argmax(1).tolist()) if label]
                text = recognizer.tokenizer.decode(best)
            out.write(f"{path}\t{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--beam", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--int8", action="store_true", help="measure the backends onnx and int8, too")
    parser.add_argument("--plain", choices=["beam", "greedy"], help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args()
    if given.plain:
        plain(given)
        return
    start(packages=("torch", "onnxruntime", "numba", "pyctcdecode"))
    with tempfile.TemporaryDirectory() as scratch:
        contenders = commands(given, Path(scratch))
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        texts: dict[str, list[str]] = {}
        out = Path(scratch) / "texts.txt"
        for turn in range(given.rounds + 1):
            for name in random.sample(list(contenders), len(contenders)):
                out.unlink(missing_ok=True)
                spent = cpu_seconds([*contenders[name], str(out)])
                if turn:  # in the first the kernels are compiled
                    seconds[name].append(spent)
                texts[name] = out.read_text(encoding="utf-8").splitlines()
    first = next(iter(contenders))  # pyctcdecode where it is installed
    greedy = "plain torch, greedy"
    notes = {}
    for name in (name for name in contenders if "seqlab" in name):
        peer = first if "beam" in name else greedy
        equal = sum(a == b for a, b in zip(texts[name], texts[peer], strict=True))
        notes[name] = f"{equal} texts equal to {peer}"
    print(f"{len(texts[first])} files, beam {given.beam}, no language model\n")
    print(table(seconds, first, notes))
    if first == PEER:
        best = min(ratio(seconds, name, first) for name in seconds if "seqlab" in name and "beam" in name)
        print()
        sys.exit(0 if bar("files to text, times as fast as plain torch and pyctcdecode", 1 / best, LEAST, True) else 1)


if __name__ == "__main__":
    main()

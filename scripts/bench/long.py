"""An hour of audio to text with times: CPU time, memory, and whether pieces read what one pass reads.

python scripts/bench/long.py RUN --manifest FILE... --lm WORDS.arpa [--hours 1] [--backend int8] [--rounds 5]

RUN is a run of a BLSTM, trained with normalize=global: with normalize=line each window would be a line of its own. Time
depends on the size of a network and, in the search, on how sure it is, so the run's weights are put into one of 5 x 320
that says the same (--as-it-is leaves it as it is), which is exported to ONNX and int8. Lines of the manifests are
joined to one recording, with pauses of 0.3 to 1.5 s between them. Each contender is a process of its own on one thread;
what is counted is all of its CPU time, loading included, and its peak memory: the median of some rounds, in which ours
and eager take turns.

- ours: ``seqlab transcribe`` with a beam of 64 and the language model, which stand in the model folder's decoding.yaml
  as ``seqlab tune`` leaves them, to json: words, symbols, times, confidences.
- one pass: the same network and beam over the whole recording at once, for which symbols are compared.
- eager: the same weights in a plain nn.LSTM, in torch, then pyctcdecode with the same beam, model and weights, to words
  with times. It is given pieces of some 20 s cut where the pauses are known to be, which spares it seams, and the beam
  texts that grow with the recording. Left out where pyctcdecode or kenlm are missing:

    pip install --target PEERS --no-deps pyctcdecode pygtrie kenlm hypothesis
    PYTHONPATH=PEERS python scripts/bench/long.py ...

Exit status 1 if a bar is missed; those of CPU time and memory are for one hour: 90 s and 1.5 GB; 4 times as fast as
eager; 99.9 % of symbols equal.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder comes last: a file in it has the name of the package onnx

import argparse
import importlib.util
import json
import logging
import os
import statistics
import subprocess
import tempfile
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 20.0  # seconds, at least, of what the peer is given
WEIGHT, BEAM = 0.5, 64
CPU_S, MEMORY_GB, RATIO, AGREE = 90.0, 1.5, 4.0, 0.999


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="RUN")
    parser.add_argument("--manifest", nargs="+", required=True)
    parser.add_argument("--lm", required=True, metavar="WORDS.arpa", help="n-gram model of words")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", choices=["torch", "onnx", "int8"], default="int8")
    parser.add_argument("--hidden-size", type=int, default=320)
    parser.add_argument("--num-layers", type=int, default=5)
    parser.add_argument("--as-it-is", action="store_true", help="measure the run's own network")
    parser.add_argument("--only", nargs="+", choices=["ours", "one pass", "eager"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        {"prepare": prepare, "one pass": one_pass, "eager": eager}[given.child[0]](given, Path(given.child[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(given, Path(folder))


def compare(given: argparse.Namespace, folder: Path) -> None:
    """Run the contenders, one after the other, and hold them against the bars."""
    from rapidfuzz.distance import Levenshtein

    run(command(given, "prepare", folder), folder / "out.json")  # a process that has been large is counted as large
    given.model = str(folder / "model")
    text = (folder / "text.txt").read_text().split()
    seconds = json.loads((folder / "pieces.json").read_text())[-1]
    print(f"{seconds:.0f} s of audio, {len(text)} words; beam {BEAM}, language model of words, weight {WEIGHT}\n")
    print("| contender | CPU s | of real time | peak memory, GB | words | word errors |\n|---|---|---|---|---|---|")
    names = given.only or ["ours", "one pass"]
    if not given.only and all(importlib.util.find_spec(name) for name in ("pyctcdecode", "kenlm")):
        names.append("eager")
    used: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    found: dict[str, dict[str, Any]] = {}
    for number in range(given.rounds):
        for name in names:
            if number and name == "one pass":  # its time is in no bar
                continue
            out = folder / "out.json"
            used[name].append(run(command(given, name, folder), out))
            found[name] = json.loads(out.read_text())
    cpu = {name: statistics.median(seconds for seconds, _ in each) for name, each in used.items()}
    memory = {name: max(size for _, size in each) for name, each in used.items()}
    for name in names:
        words = [word["text"] for word in found[name]["words"]]
        wrong = Levenshtein.distance(words, text) / len(text)
        share = cpu[name] / seconds
        print(
            f"| {name} | {cpu[name]:.1f} | {share:.4f} | {memory[name]:.2f} | {len(words)} | {wrong:.2%} |", flush=True
        )
    bars = []
    if "ours" in cpu:
        bars.append(("CPU seconds of an hour", cpu["ours"] / seconds * 3600, CPU_S, False))
        bars.append(("peak memory, GB", memory["ours"], MEMORY_GB, False))
    if {"ours", "one pass"} <= set(found):
        ours, whole = ([symbol["text"] for symbol in found[n]["characters"]] for n in ("ours", "one pass"))
        edits = Levenshtein.distance(ours, whole)
        print(f"\nours against one pass: {edits} of {len(whole)} symbols differ")
        if not edits:
            pairs = zip(*(found[n]["words"] for n in ("ours", "one pass")), strict=True)
            print(f"words begin {1000 * max(abs(a['start'] - b['start']) for a, b in pairs):.0f} ms apart at most")
        bars.append(("share of symbols equal to those of one pass", 1 - edits / len(whole), AGREE, True))
    if {"ours", "eager"} <= set(cpu):
        bars.append(("times as fast as eager", cpu["eager"] / cpu["ours"], RATIO, True))
    missed = False
    for name, value, bar, least in bars:
        fine = value >= bar if least else value <= bar
        missed |= not fine
        print(f"{'ok' if fine else 'MISSED'}: {name}: {value:.4g}, bar {bar:g}")
    sys.exit(1 if missed else 0)


def prepare(given: argparse.Namespace, folder: Path) -> None:
    """Write the model folder and the recording."""
    export(given, folder)
    words = join(given.manifest, 3600 * given.hours, folder)
    (folder / "text.txt").write_text(" ".join(words))


def export(given: argparse.Namespace, folder: Path) -> None:
    """Write the run's network, enlarged, as a model folder."""
    import torch

    from seqlab.config import save_yaml
    from seqlab.decoding import FILE
    from seqlab.export.compact import quantize
    from seqlab.export.folder import new_folder, write_folder
    from seqlab.export.graph import export_graph
    from seqlab.model import CTCModel
    from seqlab.onnx_model import FILES
    from seqlab.recognizer import Recognizer

    recognizer = Recognizer.load(given.model, "cpu")
    small = recognizer.model
    if not given.as_it_is:
        size = {"hidden_size": given.hidden_size, "num_layers": given.num_layers}
        recognizer.config["encoder"] = recognizer.config["encoder"] | size
        recognizer.model = CTCModel(recognizer.config, small.head.out_features).eval()
        enlarge(small, recognizer.model)
    signal = 0.1 * torch.randn(1, 5 * int(small.sample_rate), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = (model(signal, torch.tensor([signal.shape[1]]))[0].exp() for model in (small, recognizer.model))
    weights = recognizer.model.num_weights
    print(f"{weights:,} weights; largest difference of a probability from RUN's {float((one - other).abs().max()):.1e}")
    with new_folder(folder / "model") as out:
        write_folder(recognizer, given.model, out)
        save_yaml({"decoder": decoder(given)}, out / FILE)
    export_graph(recognizer.model, folder / "model" / FILES["onnx"])
    quantize(folder / "model" / FILES["onnx"], folder / "model" / FILES["int8"])


def enlarge(small: Any, large: Any) -> None:
    """Put a BLSTM into a larger one, whose other cells stay random and are not listened to.

    Layers above those of the small one hand on what they get: their input and output gates are open, their forget gates
    shut, h = tanh(tanh(W x)), with W a small multiple of the identity, where tanh is linear; the output layer makes up
    for it.
    """
    import torch

    gain, theirs, ours = 0.02, small.encoder.lstm, large.encoder.lstm
    low, wide, added = theirs.hidden_size, ours.hidden_size, ours.num_layers - theirs.num_layers
    sides = torch.cat([torch.arange(low), torch.arange(low) + wide])  # where the small states lie in large ones
    for name in ("frontend", "normalize", "stem"):
        getattr(large, name).load_state_dict(getattr(small, name).state_dict())
    with torch.no_grad():
        for name, weight in ours.named_parameters():
            kind, layer, begin = name[:9], int(name.partition("_l")[2][0]), low if name.endswith("reverse") else 0
            gates = weight.view(4, wide, -1)  # input, forget, cell, output
            gates[:, :low] = 0.0
            if layer < theirs.num_layers:
                source = getattr(theirs, name).view(4, low, -1)
                columns = sides if kind == "weight_ih" and layer else torch.arange(source.shape[2])
                gates[:, :low, columns] = source
            elif kind == "weight_ih":
                rows = torch.arange(low)
                gates[2, rows, sides[begin : begin + low]] = gain if layer == theirs.num_layers else 1.0
            elif kind == "bias_ih_l":
                gates[:, :low] = torch.tensor([30.0, -30.0, 0.0, 30.0])[:, None, None]
        large.head.weight.zero_()
        large.head.weight[:, sides] = small.head.weight / (gain if added else 1.0)
        large.head.bias.copy_(small.head.bias)


def join(manifests: list[str], seconds: float, folder: Path) -> list[str]:
    """Write long.wav and pieces.json, where it may be cut, in seconds; returns its words."""
    import soundfile

    from seqlab.manifest import read_manifests
    from seqlab.media import read_line

    lines = read_manifests(manifests)
    rate = int(lines[0].sample_rate or 16000)
    rng = np.random.default_rng(0)
    words: list[str] = []
    cuts, at = [0.0], 0
    with soundfile.SoundFile(folder / "long.wav", "w", rate, 1, "PCM_16") as file:
        for line in cycle(lines):
            signal, _ = read_line(line, rate)
            pause = np.zeros(round(rng.uniform(0.3, 1.5) * rate), np.float32)
            file.write(np.concatenate([signal, pause]))
            at += len(signal) + len(pause)
            words += line.text.split()
            middle = (at - len(pause) / 2) / rate
            if at >= seconds * rate:
                break
            if middle - cuts[-1] >= PIECE:
                cuts.append(middle)
    (folder / "pieces.json").write_text(json.dumps([*cuts, at / rate]))
    return words


def decoder(given: argparse.Namespace) -> dict[str, Any]:
    return {"_target_": "seqlab.ctc.beam.Beam", "beam": BEAM, "lm": os.path.abspath(given.lm), "lm_weight": WEIGHT}


def command(given: argparse.Namespace, name: str, folder: Path) -> list[str]:
    if name == "ours":
        whole = [given.model, str(folder / "long.wav"), "-f", "json", "--backend", given.backend]
        return [sys.executable, "-m", "seqlab", "transcribe", *whole, "-o", str(folder / "out.json")]
    same = [given.model, "--manifest", *given.manifest, "--lm", given.lm, "--backend", given.backend]
    same += [
        "--hours",
        str(given.hours),
        "--hidden-size",
        str(given.hidden_size),
        "--num-layers",
        str(given.num_layers),
    ]
    same += ["--as-it-is"] if given.as_it_is else []
    return [sys.executable, __file__, *same, "--child", name, str(folder)]


def run(words: list[str], out: Path) -> tuple[float, float]:
    """Run a contender on one thread; returns its CPU seconds and its peak memory in GB."""
    out.unlink(missing_ok=True)
    one = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    one.pop("PYTHONDONTWRITEBYTECODE", None)  # as in timing.py, which imports torch
    process = subprocess.Popen(words, env=one)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def one_pass(given: argparse.Namespace, folder: Path) -> None:
    """Read the recording as one line."""
    from seqlab.outputs import json_lines
    from seqlab.recognizer import Recognizer

    recognizer = Recognizer.load(given.model, "cpu", backend=given.backend)
    recognizer.use_threads(1)
    transcript = recognizer.transcribe(folder / "long.wav")
    (folder / "out.json").write_text("\n".join(json_lines.to_lines([transcript])))


def eager(given: argparse.Namespace, folder: Path) -> None:
    """Read pieces with torch's nn.LSTM and pyctcdecode."""
    import soundfile
    import torch
    from pyctcdecode import build_ctcdecoder

    from seqlab.recognizer import Recognizer

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    recognizer = Recognizer.load(given.model, "cpu", {"_target_": "seqlab.ctc.greedy.Greedy"})
    model, symbols = recognizer.model, recognizer.tokenizer.symbols
    unigrams = arpa_words(Path(given.lm))
    search = build_ctcdecoder(["", *symbols[1:]], given.lm, unigrams, alpha=WEIGHT, beta=0.0)
    audio, rate = soundfile.read(folder / "long.wav", dtype="float32")
    cuts = json.loads((folder / "pieces.json").read_text())
    words, characters = [], []
    for start, end in pairwise(cuts):
        signal = torch.from_numpy(audio[round(start * rate) : round(end * rate)])[None]
        with torch.inference_mode():
            x, _ = model.frames(signal, torch.tensor([signal.shape[1]]))
            log_probs = model.head(model.encoder.lstm(x)[0]).log_softmax(2)[0].numpy()
        for word, (first, last) in search.decode_beams(log_probs, beam_width=BEAM)[0][2]:
            step = model.frame_shift
            words.append({"text": word, "start": start + first * step, "end": start + last * step})
            characters += [{"text": character} for character in word]
    (folder / "out.json").write_text(json.dumps({"words": words, "characters": characters}))


def arpa_words(path: Path) -> list[str]:
    """Return the words of an ARPA file."""
    words = []
    with path.open(encoding="utf-8") as file:
        for row in file:
            if row.startswith("\\2-grams:"):
                break
            parts = row.split("\t")
            if len(parts) > 1 and not parts[1].startswith("<"):
                words.append(parts[1].strip())
    return words


if __name__ == "__main__":
    main()

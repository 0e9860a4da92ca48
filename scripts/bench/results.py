"""What scripts/bench/all runs, and the page that it writes: goals first, then each bench with command and output."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bench:
    """A bench of scripts/bench.

    Attributes:
        name: what it is called in the page.
        command: its file and arguments; {fsdd} and such are filled in.
        quick: further arguments of a quick run; None leaves it out there.
        needs: names that must be filled in.
    """

    name: str
    command: str
    quick: str | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Goal:
    """A goal: a figure in a bench's output, and the bar that it is held against."""

    number: str
    words: str
    bench: str
    find: "re.Pattern[str]"
    sign: str
    bar: float

    def figure(self, outputs: Mapping[str, str]) -> float | None:
        """Read the figure; None if it is not there."""
        found = self.find.search(outputs.get(self.bench, ""))
        return float(found[1].replace(",", "")) if found else None

    def met(self, value: float) -> bool:
        """Tell whether a figure meets the bar."""
        return value >= self.bar if self.sign == ">=" else value <= self.bar


@dataclass(frozen=True)
class Done:
    """A bench that has run, or why it has not: then only `told` is given."""

    bench: Bench
    command: str = ""
    output: str = ""
    cpu_s: float = 0.0
    status: int = 0
    told: str = ""


def said(what: str) -> "re.Pattern[str]":
    """Return what finds the figure that timing.bar printed."""
    return re.compile(rf"^(?:ok|MISSED): {re.escape(what)}: (\S+), bar", re.MULTILINE)


BENCHES = (
    Bench("features", "features.py", "--rounds 3 --lines 4"),
    Bench("audio", "audio.py", "--rounds 3 --files 2"),
    Bench("encoder, 3 x 320", "encoder.py", "--rounds 3 --frames 40"),
    Bench("encoder, 4 x 512", "encoder.py --hidden-size 512 --num-layers 4 --frames 50", "--rounds 3 --frames 15"),
    Bench("cells", "cells.py", "--rounds 3 --frames 50 --only"),
    Bench("scan", "scan.py"),
    Bench("ctc", "ctc.py", "--rounds 3 --experiments peraire fsdd"),
    Bench("decode", "decode.py", "--rounds 3 --lines 4"),
    Bench("lm", "lm.py", "--grams 2e5"),
    Bench("data, plan", "data.py plan", ""),
    Bench("data, cache", "data.py cache"),
    Bench("data, shards", "data.py shards"),
    Bench("data, manifest", "data.py manifest --lines 1000000"),
    Bench("scoring", "scoring.py", "--pairs 2000 --lines 20000"),
    Bench("train, lengths like LibriSpeech's", "train.py", "--rounds 1"),
    Bench(
        "train, peraire",
        "train.py --experiment peraire --folder {peraire}",
        "--steps 10 --rounds 1",
        ("peraire",),
    ),
    Bench("train, fsdd", "train.py --experiment fsdd --folder {fsdd}", "--steps 10 --rounds 1", ("fsdd",)),
    Bench("onnx", "onnx.py", "--rounds 3 --seconds 2"),
    Bench("streaming", "streaming.py", "--rounds 3 --frames 40"),
    Bench("roofs", "roof.py", "--rounds 1"),
    Bench("digits to text", "transcribe.py {model} {strings} --int8", "--rounds 1", ("model", "strings")),
    Bench(
        "handwriting to text",
        "transcribe.py {image_model} {images} --int8",
        "--rounds 1",
        ("image_model", "images"),
    ),
    Bench("transcription job, torch", "job.py {model} {strings}", "--rounds 1", ("model", "strings")),
    Bench("transcription job, int8", "job.py {model} {strings} --backend int8", "--rounds 1", ("model", "strings")),
    Bench(
        "transcription job, handwriting, int8",
        "job.py {image_model} {images} --backend int8",
        "--rounds 1",
        ("image_model", "images"),
    ),
    Bench("cold start", "start.py {model} {one}", "--rounds 1", ("model", "one")),
    Bench(
        "an hour of audio",
        "long.py {model} --manifest {fsdd}/strings_test.jsonl --lm {lm}",
        "--hours 0.02 --rounds 1",
        ("model", "fsdd", "lm"),
    ),
    Bench("limits", "limits.py --minutes 10"),
)

SMALL, WIDE, LENGTHS = "encoder, 3 x 320", "encoder, 4 x 512", "train, lengths like LibriSpeech's"
GOALS = (
    Goal(
        "P1",
        "filterbank, times as fast as torchaudio's",
        "features",
        said("fbank, times as fast as torchaudio's"),
        ">=",
        1.6,
    ),
    Goal("P1", "and as kaldi-native-fbank", "features", said("fbank, times as fast as kaldi-native-fbank"), ">=", 6),
    Goal(
        "P1",
        "largest difference to torchaudio's",
        "features",
        said("largest difference to torchaudio's fbank"),
        "<=",
        5e-4,
    ),
    Goal(
        "P2",
        "exact BLSTM, times as fast as packed",
        SMALL,
        said("3 x 320, times as fast as packed nn.LSTM"),
        ">=",
        1.35,
    ),
    Goal("P2", "largest difference to packed", SMALL, said("3 x 320, largest difference to packed"), "<=", 1e-6),
    Goal(
        "P2",
        "per real frame, times as fast as random batches, packed",
        LENGTHS,
        said("loader and encoder per real frame, times as fast"),
        ">=",
        1.5,
    ),
    Goal("P3", "padding of shuffled buckets, %", "data, plan", said("padding of it, %"), "<=", 2),
    Goal(
        "P4",
        "bf16 step at 320 cells, times as fast as nn.LSTM in fp32",
        SMALL,
        said("3 x 320, bf16, times as fast as nn.LSTM in fp32"),
        ">=",
        1.4,
    ),
    Goal("P4", "at 512 cells", WIDE, said("4 x 512, bf16, times as fast as nn.LSTM in fp32"), ">=", 1.4),
    Goal("P5", "peephole cell, times as long as nn.LSTM", "cells", said("peephole, times as long as nn.LSTM"), "<=", 2),
    Goal(
        "P6",
        "CTC loss, 32 symbols, times as fast as torch's",
        "ctc",
        said("32 symbols, times as fast as torch's loss"),
        ">=",
        5,
    ),
    Goal("P6", "the same with 5,000", "ctc", said("5000 symbols, times as fast as torch's loss"), ">=", 1.5),
    Goal(
        "P6",
        "share of a step of peraire that it wins",
        "ctc",
        said("share of a step of peraire that the loss wins"),
        ">=",
        0.02,
    ),
    Goal("P7", "int8, share of the time of nn.LSTM", "onnx", said("int8, share of the time of nn.LSTM"), "<=", 0.25),
    Goal("P7", "int8, share of the file's size", "onnx", said("int8, share of the file's size"), "<=", 0.26),
    *(
        Goal("P8", what, "streaming", said(what), ">=", bar)
        for what, bar in (
            ("frame by frame, nn.LSTM's time by that of int8", 15),
            ("frame by frame, torch's dynamic int8's by it", 1.8),
            ("pieces of 4 frames, torch's dynamic int8's by it", 2),
        )
    ),
    *(
        Goal(
            "P9",
            f"beam {beam}, times as fast as fast-ctc-decode",
            "decode",
            said(f"speed over fast-ctc-decode at beam {beam}"),
            ">=",
            1.5,
        )
        for beam in (16, 64, 100)
    ),
    Goal(
        "P9",
        "CER below fast-ctc-decode's by",
        "decode",
        said("CER below fast-ctc-decode's by, at beam 64"),
        ">=",
        -0.0005,
    ),
    Goal(
        "P10",
        "with a word model, times as fast as pruned flashlight",
        "decode",
        said("speed over pruned flashlight"),
        ">=",
        1,
    ),
    Goal("P10", "WER below unpruned flashlight's by", "decode", said("WER below unpruned flashlight's by"), ">=", 0),
    Goal("P10", "times as fast as pyctcdecode", "decode", said("speed over pyctcdecode"), ">=", 5),
    Goal(
        "P11",
        "a model of characters lowers the CER by",
        "decode",
        said("CER with a model of characters, lower than without one by"),
        ">=",
        0,
    ),
    Goal(
        "P12",
        "WER, CER and alignments, share of jiwer's time",
        "scoring",
        said("WER, CER and alignments, share of jiwer's time"),
        "<=",
        0.35,
    ),
    Goal(
        "P12",
        "with intervals of 1,000 draws",
        "scoring",
        said("score with 1,000 draws, share of jiwer's time"),
        "<=",
        1,
    ),
    Goal(
        "P12",
        "counts that differ from jiwer's",
        "scoring",
        re.compile(r"counts that differ from jiwer .*: (\S+), bar"),
        "<=",
        0,
    ),
    Goal(
        "P13",
        "an hour to text, times as fast as eager and pyctcdecode",
        "an hour of audio",
        said("times as fast as eager"),
        ">=",
        4,
    ),
    *(
        Goal(
            "P13",
            f"{what}, files to text, times as fast as plain torch and pyctcdecode",
            bench,
            said("files to text, times as fast as plain torch and pyctcdecode"),
            ">=",
            4,
        )
        for what, bench in (("1,000 strings", "digits to text"), ("234 lines", "handwriting to text"))
    ),
    Goal("P14", "runs with numpy of major version", "machine", re.compile(r"numpy (\d+)"), ">=", 2),
)


def goal_rows(done: Sequence[Done], machine: str) -> list[str]:
    """Return the table of the goals."""
    outputs = {d.bench.name: d.output for d in done} | {"machine": machine}
    ran = {d.bench.name: d for d in done}
    rows = ["| goal | what | figure | bar | met | command |", "|---|---|---|---|---|---|"]
    for goal in GOALS:
        value, of = goal.figure(outputs), ran.get(goal.bench)
        command = f"`{of.command}`" if of and of.command else ""
        if value is None or math.isnan(value):
            why = of.told if of and of.told else "a peer is missing" if of else "not run"
            why = "the bench failed" if of and of.status > 1 else why
            shown, met = "not measured", why
        else:
            shown, met = f"{value:.4g}", "yes" if goal.met(value) else "**no**"
        rows.append(f"| {goal.number} | {goal.words} | {shown} | {goal.sign} {goal.bar:g} | {met} | {command} |")
    return rows


def page(done: Sequence[Done], command: str, machine: str, notes: str) -> str:
    """Return BENCHMARKS.md.

    Args:
        done: all benches, those left out too.
        command: that ran them.
        machine: date, processor, versions.
        notes: what stands between the goals and the benches.
    """
    cpu = sum(d.cpu_s for d in done)
    parts = [
        "# Benchmarks",
        f"Written by `{command}`; {cpu / 60:.1f} CPU minutes. Do not edit: run it again.",
        machine,
        "Ratios of CPU time from runs in which all contenders take turns, so they hold on a busy machine too; absolute "
        "times do not. How to read a table: medians; spread is (most - least) / median.",
        "## Goals",
        "\n".join(goal_rows(done, machine)),
        "The change of error rates by int8 (P7) is measured on a real model by `seqlab export RUN OUT --int8 --check "
        "DEV.jsonl`.",
        notes.strip(),
        "## Benches",
    ]
    for d in done:
        parts.append(f"### {d.bench.name}")
        if d.told:
            parts.append(f"Left out: {d.told}.")
            continue
        ended = {0: "", 1: "; exit status 1: a bar was missed"}.get(d.status, f"; **failed**, exit status {d.status}")
        parts += [f"`{d.command}` ({d.cpu_s:.0f} CPU s{ended})", _own_blocks(d.output)]
    return "\n\n".join(parts) + "\n"


def _own_blocks(output: str) -> str:
    """Put empty lines around tables, as Markdown wants it, and line breaks where lines are single."""
    rows: list[str] = []
    for row in output.strip().splitlines():
        table = row.startswith("|")
        if rows and rows[-1] and (table != rows[-1].startswith("|") or not table) and row:
            rows.append("")
        rows.append(row)
    return "\n".join(rows)

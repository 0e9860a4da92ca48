"""Leave each speaker of FSDD out of training in turn, and see what helps to read a voice never heard.

    python recipes/fsdd_loso/loso.py FOLDER                                    # the ablation: theo and nicolas, 3 seeds
    python recipes/fsdd_loso/loso.py FOLDER --rows all-priors --speakers george jackson nicolas theo yweweler

FOLDER holds manifests of seqlab prepare corpus=fsdd. A row of the table is a set of parts that are on; each training
has the same CPU minutes. What stands in results.jsonl is not run again; a training that was stopped goes on. The table
(README.md of the results) is written anew after every training. Exit status 1 where the five speakers miss a goal.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqlab.corpora._common import manifest_path
from seqlab.errors import ConfigError, UserError
from seqlab.manifest import Line, read_manifest, write_manifest
from seqlab.studies import append_row, mean_and_interval, read_rows, run

# What is switched off when a part of the experiment is not wanted, in settings of seqlab train.
PARTS: dict[str, tuple[str, ...]] = {
    "consistency": ("loss.consistency=0", "loss.consistency_warmup=0"),
    "masks": ("~augment.features.spec_augment", "~augment.features.warp"),
    "voices": (
        "~augment.signal.speed",
        "~augment.signal.tempo",
        "~augment.signal.pitch",
        "~augment.features.vocal_tract",
    ),
    "noise": (
        "~augment.signal.noise",
        "~augment.signal.reverberation",
        "~augment.signal.codec",
        "~augment.signal.lower_rate",
        "~augment.signal.clip",
    ),
    "priors": (),
    "averaging": ("training.ema=null", "training.average_best=0"),
}
# What is switched on when it is wanted: the experiment does without.
EXTRA = {"priors": "loss.prior_weight=0.3"}
ROWS = ["plain", *(f"+{part}" for part in PARTS), "all"]
MORE = [f"all-{part}" for part in PARTS]  # all but one
FINAL = "all-priors"  # the experiment as it stands
SPEAKERS = ["theo", "nicolas"]  # of the ablation
EVERYBODY = {"george", "jackson", "nicolas", "theo", "yweweler"}
TRACTS = "[0.88,1,1.12]"  # vocal tracts that each recording is read with, then averaged
GREEDY, LEXICON = 8.0, 4.0  # WER in per cent, mean over everybody; goals of the final row, bars that end with status 1


def settings_of(row: str) -> list[str]:
    """Return what seqlab train needs for a row: settings that switch the other parts off, and its own on."""
    base, sign, part = row.partition("+" if row[0] == "+" else "-")
    on = set(PARTS) if base == "all" else set()
    on ^= {part} if sign else set()
    off = [setting for part, settings in PARTS.items() if part not in on for setting in settings]
    return off + [setting for part, setting in EXTRA.items() if part in on]


def leave_out(folder: Path, speaker: str, out: Path) -> int:
    """Write the manifests of a split without a speaker; returns the number of test lines.

    Training and development are those of the other speakers; the test lines are all strings of the one left out.

    Raises:
        ConfigError: there is no such speaker.
    """
    singles = read_manifest(folder / "train.jsonl")
    strings = {part: read_manifest(folder / f"strings_{part}.jsonl") for part in ("train", "dev", "test")}
    known = sorted({str(line.speaker) for line in singles})
    if speaker not in known:
        raise ConfigError(f"{folder} has no speaker {speaker!r}; there are {', '.join(known)}")
    parts = {
        "train": [line for line in singles if line.speaker != speaker],
        "strings_train": [line for line in strings["train"] if line.speaker != speaker],
        "strings_dev": [line for line in strings["dev"] if line.speaker != speaker],
        "strings_test": [line for lines in strings.values() for line in lines if line.speaker == speaker],
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in parts.items():
        write_manifest(out / f"{name}.jsonl", [_moved(line, out) for line in lines])
    return len(parts["strings_test"])


def _moved(line: Line, out: Path) -> Line:
    """Name the files of a line as a manifest in another folder must."""
    audio = manifest_path(line.root / line.audio, out) if line.audio else None
    parts = [manifest_path(line.root / part, out) for part in line.parts] if line.parts else None
    return replace(line, audio=audio, parts=parts)


def train_one(row: str, seed: int, data: Path, extra: Sequence[str], folder: Path) -> dict[str, Any]:
    """Train and score one row on one split; CPU minutes are those of the last session of a resumed training.

    "wer" is that of each recording read once, "wer_tracts" of what is read with several vocal tracts, averaged.
    """
    resumed = ["resume=true"] if (folder / "checkpoints" / "last.ckpt").is_file() else []
    settings = ["experiment=fsdd_loso", f"corpus.folder={data}", "logger=csv", *settings_of(row), *extra]
    minutes = run(["train", *settings, f"seed={seed}", f"run_dir={folder}", *resumed])
    scores = score(folder, "greedy")
    return {
        "wer": scores["wer"]["rate"],
        "wer_tracts": score(folder, "tracts", f"vocal_tracts={TRACTS}")["wer"]["rate"],
        "lines": scores["lines"],
        "cpu_minutes": round(minutes, 2),
        "resumed": bool(resumed),
    }


def score(folder: Path, name: str, *settings: str) -> dict[str, Any]:
    """Evaluate a training by the best path, with a report of that name; returns the scores."""
    run(["evaluate", f"model={folder}", "decoder=greedy", f"out={folder / name}", *settings])
    scores: dict[str, Any] = json.loads((folder / name / "report.json").read_text(encoding="utf-8"))["scores"]
    return scores


def by_seed(rows: Sequence[Mapping[str, Any]], row: str, of: str = "wer") -> dict[int, float]:
    """Return the mean WER over speakers in per cent, by seed; seeds that lack a speaker of the row are left out."""
    own = [r for r in rows if r["row"] == row]
    speakers = {r["speaker"] for r in own}
    rates: dict[int, dict[str, float]] = {}
    for r in own:
        rates.setdefault(r["seed"], {})[r["speaker"]] = 100 * r[of]
    return {seed: sum(each.values()) / len(each) for seed, each in rates.items() if set(each) == speakers}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table in Markdown; intervals are over seeds, differences to plain over seeds that both have."""
    lines = [
        "| row | speakers (WER %) | seeds | WER % (95 %) | less plain (95 %) | three tracts (95 %) | CPU minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    plain = by_seed(rows, "plain")
    heard = {r["speaker"] for r in rows if r["row"] == "plain"}
    for row in [name for name in ROWS + MORE if any(r["row"] == name for r in rows)]:
        own = [r for r in rows if r["row"] == row]
        speakers = sorted({r["speaker"] for r in own})
        of_one = {s: [100 * r["wer"] for r in own if r["speaker"] == s] for s in speakers}
        each = ", ".join(f"{s} {sum(values) / len(values):.1f}" for s, values in of_one.items())
        rates = by_seed(rows, row)
        if not rates:
            continue
        both = [rate - plain[seed] for seed, rate in rates.items() if seed in plain and set(speakers) == heard]
        less = _told(both, "+.2f") if both and row != "plain" else ""
        minutes = sum(r["cpu_minutes"] for r in own) / len(own)
        star = "*" if any(r["resumed"] for r in own) else ""
        mean, tracts = (_told(list(by_seed(rows, row, of).values()), ".2f") for of in ("wer", "wer_tracts"))
        lines.append(f"| {row} | {each} | {len(rates)} | {mean} | {less} | {tracts} | {minutes:.1f}{star} |")
    return "\n".join(lines)


def missed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which goals the final row misses; nothing where it lacks a speaker or had other settings."""
    final = [row for row in rows if row["row"] == FINAL and not row["settings"]]
    rates = by_seed(final, FINAL, "wer_tracts")
    if {row["speaker"] for row in final} != EVERYBODY or not rates:
        return []
    mean = sum(rates.values()) / len(rates)
    goals = {
        "by the best path, averaged over vocal tracts": GREEDY,
        "with the digit lexicon, which is all that the labels can say": LEXICON,
    }
    return [f"mean WER {mean:.2f} % {how}; the goal is {goal:g} %" for how, goal in goals.items() if mean > goal]


def _told(values: Sequence[float], form: str) -> str:
    mean, low, high = mean_and_interval(values)
    return f"{mean:{form}}" + ("" if math.isnan(low) else f" ({low:{form}} to {high:{form}})")


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    add = parser.add_argument
    add("folder", type=Path, help="manifests of seqlab prepare corpus=fsdd")
    add("settings", metavar="KEY=VALUE", nargs="*", help="settings of seqlab train for all trainings")
    add(
        "--rows",
        nargs="+",
        choices=ROWS + MORE,
        default=[*ROWS, FINAL],
        metavar="NAME",
        help=f"of {', '.join(ROWS + MORE)}",
    )
    add("--speakers", nargs="+", default=SPEAKERS, metavar="NAME", help="left out in turn (default theo nicolas)")
    add("--seeds", type=int, default=3, help="seeds 1 to N (default %(default)s)")
    add("-o", "--output", type=Path, default=Path("runs/fsdd_loso"), help="folder of the results")
    given = parser.parse_intermixed_args()
    if given.seeds < 1:
        parser.error("--seeds must be 1 or more")
    try:
        rows = study(given.folder, given.output, given.rows, given.speakers, given.seeds, given.settings)
    except (UserError, OSError) as error:
        sys.stderr.write(f"loso: error: {error}\n")
        sys.exit(2)
    faults = missed(rows)
    for fault in faults:
        sys.stdout.write(f"MISSED {fault}\n")
    sys.exit(1 if faults else 0)


def study(
    folder: Path, out: Path, rows: Sequence[str], speakers: Sequence[str], seeds: int, extra: Sequence[str]
) -> list[dict[str, Any]]:
    """Train what is missing, seed by seed; returns all results; see main."""
    results = out / "results.jsonl"
    done = read_rows(results)
    if any(row["settings"] != list(extra) for row in done):
        raise ConfigError(f"{out} holds results of other settings; take another folder with --output")
    lines = {speaker: leave_out(folder, speaker, out / "data" / speaker) for speaker in speakers}
    for speaker, count in lines.items():
        sys.stdout.write(f"{speaker}: {count} test lines\n")
    for seed in range(1, seeds + 1):
        for row in rows:
            for speaker in speakers:
                if any((r["row"], r["speaker"], r["seed"]) == (row, speaker, seed) for r in done):
                    continue
                name = row.replace("+", "with_").replace("all-", "without_")
                scores = train_one(row, seed, out / "data" / speaker, extra, out / f"{name}-{speaker}-{seed}")
                done.append({"row": row, "speaker": speaker, "seed": seed, "settings": list(extra), **scores})
                append_row(results, done[-1])
                told = f"WER {100 * scores['wer']:.2f} %, {scores['cpu_minutes']} minutes"
                sys.stdout.write(f"{row}, {speaker}, seed {seed}: {told}\n")
                sys.stdout.flush()
                title = "# FSDD, one speaker left out of training"
                (out / "README.md").write_text(f"{title}\n\n{table(done)}\n", encoding="utf-8")
    if done:
        sys.stdout.write(table(done) + "\n")
    return done


if __name__ == "__main__":
    main()

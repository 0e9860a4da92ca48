"""Train variants of the LSTM at equal weights, equal epochs and several seeds on one corpus; table and picture.

The question of Greff et al. 2015 ("LSTM: a search space odyssey"): which part of the cell matters? Each variant takes
one part away from (or exchanges) the peephole LSTM, and gets as many cells as make up for the weights that it lacks.

    python recipes/ablation/ablate.py --experiment pendigits corpus.folder=FOLDER
    python recipes/ablation/ablate.py --experiment fsdd --seeds 5 --variants vanilla gru corpus.folder=FOLDER

A training that stands in results.jsonl is not run again; one that was stopped goes on. The table (README.md of the
results) and the picture are written anew after every training.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from seqlab.config import build, compose
from seqlab.errors import ConfigError, UserError
from seqlab.report.curves import log_ticks, short
from seqlab.report.drawing import Drawing
from seqlab.studies import append_row, mean_and_interval, read_rows, run

# What each variant is, in settings of seqlab train.
PEEPHOLE = "encoder/cell=peephole"
VARIANTS: dict[str, tuple[str, ...]] = {
    "vanilla": (PEEPHOLE,),
    "no_input_gate": (PEEPHOLE, "encoder.cell.input_gate=false"),
    "no_forget_gate": (PEEPHOLE, "encoder.cell.forget_gate=false"),
    "no_output_gate": (PEEPHOLE, "encoder.cell.output_gate=false"),
    "no_input_activation": (PEEPHOLE, "encoder.cell.input_activation=false"),
    "no_output_activation": (PEEPHOLE, "encoder.cell.output_activation=false"),
    "coupled_gates": (PEEPHOLE, "encoder.cell.coupled=true"),
    "no_peepholes": (PEEPHOLE, "encoder.cell.peepholes=false"),
    "gru": ("encoder/cell=gru",),
    "tanh_rnn": ("encoder/cell=rnn",),
    "min_lstm": ("encoder/cell=min_lstm",),
    "slstm": ("encoder/cell=slstm",),
}
# One layer that reads both ways, as in 1997 to 2015, so that the cell has to do the work.
COMMON = ("encoder=recurrent", "~encoder.hidden_size", "encoder.num_layers=1", "logger=csv")
UNITS = 64  # of the vanilla cell, per direction; the others' follow
EPOCHS = {"pendigits": 16, "fsdd": 12}  # of pendigits: about two CPU minutes of the vanilla cell


def settings_of(variant: str, experiment: str, units: int, extra: Sequence[str] = ()) -> list[str]:
    """Return what seqlab train needs to train a variant of a size."""
    return [f"experiment={experiment}", *COMMON, *VARIANTS[variant], f"encoder.cell.hidden_size={units}", *extra]


def count_weights(config: dict[str, Any], units: int) -> int | None:
    """Return the weights of the encoder with so many cells, or None where the cell does not take that size."""
    config["encoder"]["cell"]["hidden_size"] = units
    with torch.device("meta"):
        frontend = build(config["frontend"], "frontend")
        stem = build(config["stem"], "stem", input_size=frontend.num_features)
        try:
            encoder = build(config["encoder"], "encoder", input_size=stem.num_features)
        except UserError:
            return None
    return sum(parameter.numel() for parameter in encoder.parameters())


def units_for(variant: str, experiment: str, weights: int, extra: Sequence[str] = ()) -> tuple[int, int]:
    """Return the number of cells per direction with which a variant comes nearest to a number of weights; and its own.

    Raises:
        ConfigError: a setting is wrong.
    """
    config = compose("train", settings_of(variant, experiment, UNITS, extra))
    best = (0, 0)
    for units in range(1, weights):
        count = count_weights(config, units)
        if count is not None and (not best[0] or abs(count - weights) < abs(best[1] - weights)):
            best = (units, count)
        if count is not None and count > 2 * weights:  # it only grows
            break
    return best


def train_one(variant: str, seed: int, settings: Sequence[str], folder: Path) -> dict[str, Any]:
    """Train and score a variant; returns its row. CPU minutes are those of the last session of a resumed training."""
    resumed = ["resume=true"] if (folder / "checkpoints" / "last.ckpt").is_file() else []
    minutes = run(["train", *settings, f"seed={seed}", f"run_dir={folder}", *resumed])
    run(["evaluate", f"model={folder}", "decoder=greedy", f"out={folder / 'evaluate'}"])
    scores = json.loads((folder / "evaluate" / "report.json").read_text(encoding="utf-8"))["scores"]
    row = {"variant": variant, "seed": seed, "cer": scores["cer"]["rate"], "lines": scores["lines"]}
    return row | {"cpu_minutes": round(minutes, 2), "resumed": bool(resumed)}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table in Markdown; differences are to the first variant's training of the same seed."""
    rates = by_variant(rows)
    first = next(iter(rates))
    lines = [
        f"| variant | cells | weights | CER %, mean (each seed) | 95 % interval | less {first} (95 %) | CPU minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, by_seed in rates.items():
        own = [row for row in rows if row["variant"] == variant]
        mean, low, high = mean_and_interval([100 * rate for rate in by_seed.values()])
        both = [100 * (rate - rates[first][seed]) for seed, rate in by_seed.items() if seed in rates[first]]
        other = "" if variant == first or not both else _signed(*mean_and_interval(both))
        each = ", ".join(f"{100 * rate:.2f}" for _, rate in sorted(by_seed.items()))
        minutes = sum(row["cpu_minutes"] for row in own) / len(own)
        star = "*" if any(row["resumed"] for row in own) else ""
        lines.append(
            f"| {variant} | {own[0]['units']} | {own[0]['weights']:,} | {mean:.2f} ({each}) | {_range(low, high)} | "
            f"{other} | {minutes:.1f}{star} |"
        )
    return "\n".join(lines)


def _range(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{max(low, 0):.2f}-{high:.2f}"


def _signed(mean: float, low: float, high: float) -> str:
    return f"{mean:+.2f}" + ("" if math.isnan(low) else f" ({low:+.2f} to {high:+.2f})")


def by_variant(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Return error rates by variant and seed, in the order of VARIANTS."""
    found: dict[str, dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: list(VARIANTS).index(row["variant"])):
        found.setdefault(row["variant"], {})[row["seed"]] = row["cer"]
    return found


def draw(rows: Sequence[Mapping[str, Any]], title: str) -> Drawing:
    """Draw each training as a mark, and the mean of a variant with its interval as a bar, on a logarithmic scale."""
    rates = by_variant(rows)
    left, wide, step, top = 150.0, 460.0, 24.0, 44.0
    drawing = Drawing(left + wide + 70, top + step * len(rates) + 46, title)
    drawing.text(8, 20, title, style="title")
    values = [max(100 * rate, 0.01) for by_seed in rates.values() for rate in by_seed.values()]
    low, high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.1
    bottom = top + step * len(rates)

    def x_of(percent: float) -> float:
        return left + wide * (min(max(math.log10(max(percent, 1e-9)), low), high) - low) / (high - low)

    for tick in log_ticks(10**low, 10**high):
        drawing.line([(x_of(tick), top - 8), (x_of(tick), bottom)], "grid")
        drawing.text(x_of(tick), bottom + 16, short(tick), "middle")
    drawing.text(
        left + wide / 2, bottom + 36, "character error rate in %, logarithmic; bar: mean and its 95 %", "middle"
    )
    for number, (variant, by_seed) in enumerate(rates.items()):
        y = top + step * number + 8
        drawing.text(left - 10, y + 4, variant.replace("_", " "), "end")
        mean, first, last = mean_and_interval([100 * rate for rate in by_seed.values()])
        if not math.isnan(first):
            drawing.curve([(x_of(first), y), (x_of(last), y)], 0)
        drawing.curve([(x_of(mean), y - 7), (x_of(mean), y + 7)], 0)
        for rate in by_seed.values():
            drawing.box(x_of(100 * rate) - 3, y - 3, 6, 6, "mark")
        drawing.text(left + wide + 8, y + 4, f"{mean:.2f}", style="quiet")
    return drawing


def main() -> None:
    """Run what is missing, and write table and picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    add = parser.add_argument
    add("settings", metavar="KEY=VALUE", nargs="*", help="settings of seqlab train for all, e.g. corpus.folder=FOLDER")
    add("--experiment", choices=sorted(EPOCHS), default="pendigits")
    add("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    add("--seeds", type=int, default=3, help="seeds 1 to N (default %(default)s)")
    add("--units", type=int, default=UNITS, help="of the vanilla cell (default %(default)s)")
    add("--epochs", type=int, help=f"of each training (default: {EPOCHS})")
    add("-o", "--output", default=None, help="folder of the results (default runs/ablation-EXPERIMENT)")
    given = parser.parse_intermixed_args()
    if min(given.seeds, given.units, given.epochs or 1) < 1:
        parser.error("--seeds, --units and --epochs must be 1 or more")
    try:
        study(given)
    except (UserError, OSError) as error:
        sys.stderr.write(f"ablate: error: {error}\n")
        sys.exit(2)


def study(given: argparse.Namespace) -> None:
    """Train what is missing of a study, seed by seed; see main."""
    out = Path(given.output or f"runs/ablation-{given.experiment}")
    extra = [*given.settings, f"training.max_epochs={given.epochs or EPOCHS[given.experiment]}"]
    study = {"experiment": given.experiment, "units": given.units, "settings": extra}
    out.mkdir(parents=True, exist_ok=True)
    done = read_rows(out / "results.jsonl")
    if any(row["study"] != study for row in done):
        raise ConfigError(f"{out} holds results of other settings; take another folder with --output")
    target = count_weights(compose("train", settings_of("vanilla", given.experiment, given.units, extra)), given.units)
    if target is None:
        raise ConfigError(f"no peephole LSTM has {given.units} cells")
    sizes = {variant: units_for(variant, given.experiment, target, extra) for variant in given.variants}
    for seed in range(1, given.seeds + 1):
        for variant, (units, weights) in sizes.items():
            if any((row["variant"], row["seed"]) == (variant, seed) for row in done):
                continue
            settings = settings_of(variant, given.experiment, units, extra)
            row = train_one(variant, seed, settings, out / f"{variant}-{seed}")
            row |= {"units": units, "weights": weights, "study": study}
            append_row(out / "results.jsonl", row)
            done.append(row)
            sys.stdout.write(f"{variant}, seed {seed}: CER {100 * row['cer']:.2f} %, {row['cpu_minutes']} minutes\n")
            sys.stdout.flush()
            write(done, out, given.experiment)
    if done:
        write(done, out, given.experiment)
        sys.stdout.write(table(done) + "\n")


def write(rows: Sequence[Mapping[str, Any]], out: Path, experiment: str) -> None:
    """Write README.md with the table, and ablation.svg."""
    title = f"Variants of the LSTM at equal weights on {experiment}"
    (out / "README.md").write_text(f"# {title}\n\n{table(rows)}\n\n![{title}](ablation.svg)\n", encoding="utf-8")
    (out / "ablation.svg").write_text(draw(rows, title).svg(), encoding="utf-8")


if __name__ == "__main__":
    main()

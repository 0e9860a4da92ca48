"""The model card: README.md of a model folder, filled from the run; what is not known is said not to be known."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import seqlab
from seqlab.config import Config, resolve_target
from seqlab.errors import ConfigError
from seqlab.recognizer import Recognizer

TASKS = {"audio": "automatic-speech-recognition", "image": "image-to-text"}
READS = {
    "audio": "recordings, mono at {rate:g} Hz (other rates and channels are converted)",
    "image": "images of one text line each, dark on light or light on dark",
    "strokes": "pen strokes of one line: x, y, time, end of stroke",
    "features": "arrays (frames, {features})",
}
LIMITS = (
    "It has learnt from the data named above and from nothing else; on other speakers or writers, rooms, pens, papers, "
    "languages and topics expect more errors, and measure them before you rely on it.",
    "It can only answer with the symbols of tokens.txt: other characters come out as something else.",
    "It answers something for noise, music, pictures and empty pages too; confidences help to tell.",
)


def write_card(
    folder: Path, recognizer: Recognizer, run: Path, decoding: Config, notes: Sequence[str], license: str | None = None
) -> None:
    """Write README.md.

    Args:
        folder: the model folder.
        recognizer: the model.
        run: the run folder that it came from; reports of ``seqlab evaluate`` in it that are of this checkpoint count.
        decoding: what decoding.yaml holds.
        notes: of the export, such as parity and the error rate of int8.
        license: of the model, in the owner's words.
    """
    model, config = recognizer.model, recognizer.config
    name = str(config.get("name") or "model")
    head = {
        "library_name": "seqlab",
        "pipeline_tag": TASKS.get(recognizer.kind),
        "license": license and (license if license.replace("-", "").replace(".", "").isalnum() else "other"),
        "tags": ["ctc", "handwriting" if recognizer.kind in ("image", "strokes") else recognizer.kind],
    }
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items() if value), "---"]
    reads = READS[recognizer.kind].format(rate=model.sample_rate, features=model.frontend.num_features)
    symbols = " ".join(s if s != " " else "(space)" for s in recognizer.tokenizer.symbols[1:])
    shift = f"{1000 * model.frame_shift:g} ms" if recognizer.kind == "audio" else f"{model.frame_shift:g} samples"
    lines += [
        f"# {name}",
        "",
        f"Reads {reads}. A network of {model.num_weights:,} weights with CTC: {_parts(config)}; an output frame every "
        f"{shift}. Made with seqlab {seqlab.__version__}.",
        "",
        f"Symbols ({len(recognizer.tokenizer.symbols) - 1}): "
        f"{_code(symbols if len(symbols) < 600 else symbols[:600] + ' ...')}",
        "",
        "## Use",
        "",
        "    seqlab transcribe FOLDER FILE...",
        "",
        "    from seqlab import Recognizer",
        '    print(Recognizer.load("FOLDER").transcribe("FILE").text)',
        "",
        f"Decoding: {_decoder(decoding)}.",
        "",
        "## Data",
        "",
        *_data(run, config),
        "",
        "## Licence",
        "",
        license
        or "Not stated by whoever exported the model. The data's licence, where it is named above, may bind it.",
        "",
        "## Error rates",
        "",
        *_rates(run, recognizer.name, decoding),
        "",
        *(["## Export", "", *(f"- {note}" for note in notes), ""] if notes else []),
        "## Limits",
        "",
        *(f"- {limit}" for limit in LIMITS),
    ]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _parts(config: Config) -> str:
    """Name the network's parts with their sizes."""
    sizes = ("num_mels", "height", "kind", "factor", "hidden_size", "num_layers", "bidirectional")
    told = []
    for key in ("frontend", "normalize", "stem", "encoder"):
        node = config[key]
        found = [f"{size} {node[size]}" for size in sizes if node.get(size) is not None]
        name = str(node["_target_"]).rpartition(".")[2]
        told.append(f"{name} ({', '.join(found)})" if found else name)
    return ", ".join(told)


def _decoder(decoding: Config) -> str:
    if not decoding:
        return "the best path; confidences are not calibrated"
    node = decoding["decoder"]
    shown = {k: v for k, v in node.items() if k not in ("_target_", "priors") and v is not None}
    name = str(node["_target_"]).rpartition(".")[2]
    calibrated = "" if decoding.get("calibration") else "; confidences are not calibrated"
    return " ".join([name.lower(), *(f"{k}={v}" for k, v in shown.items())]) + calibrated


def _data(run: Path, config: Config) -> Iterator[str]:
    """Say what the model was trained on: the corpus's own story, and the manifests by name and hash."""
    corpus = config.get("corpus") or {}
    target = (corpus.get("prepare") or {}).get("_target_")
    if corpus.get("name"):
        yield f"Corpus: {corpus['name']}."
    if target:
        try:
            story = inspect.getdoc(inspect.getmodule(resolve_target(target, "corpus"))) or ""
        except ConfigError:
            story = ""
        told = [part for part in story.split("\n\n") if not part.startswith("    ")][:3]
        for part in told:
            yield from ("", *(f"> {line}" for line in part.splitlines()))
    try:
        manifests = json.loads((run / "environment.json").read_text(encoding="utf-8"))["manifests"]
        rows = [f"| {Path(path).name} | {digest} |" for path, digest in manifests.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        rows = []
    if rows:
        yield from ("", "| manifest of the training | SHA-256 |", "|---|---|", *rows)
    if not rows and not corpus.get("name"):
        yield "Not known: the run folder does not tell."


def _rates(run: Path, checkpoint: str, decoding: Config) -> Iterator[str]:
    rows = [row for path in sorted(run.glob("evaluate/**/report.json")) if (row := _row(path, checkpoint))]
    if rows:
        yield "| data | decoder | lines | CER | WER |"
        yield "|---|---|---|---|---|"
        yield from rows
        yield ""
        yield "In brackets 95 % intervals by line; rates by `seqlab evaluate`, whose reports name the rules of scoring."
    else:
        yield "No test was run on this checkpoint before the export (`seqlab evaluate model=RUN`, then export again)."
    chosen = decoding.get("chosen_on")
    if isinstance(chosen, Mapping) and "cer" in chosen and "wer" in chosen:
        yield ""
        yield (
            f"The decoder was chosen on {chosen.get('lines')} lines of the dev part, where it has a CER of "
            f"{100 * chosen['cer']:.2f} % and a WER of {100 * chosen['wer']:.2f} %; these are not test figures."
        )


def _row(path: Path, checkpoint: str) -> str | None:
    """Return a row of the table from a report.json; None if it is of other weights, or damaged."""
    try:
        report: Any = json.loads(path.read_text(encoding="utf-8"))
        if Path(report["model"]["checkpoint"]).name != Path(checkpoint).name:
            return None
        data = ", ".join(Path(part["path"]).name for part in report["data"])
        scores = report["scores"]
        cells = [data, report["decoder"], f"{scores['lines']:,}", _rate(scores["cer"]), _rate(scores["wer"])]
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _rate(measure: Mapping[str, Any]) -> str:
    interval = measure["interval"]
    told = f" ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})" if interval else ""
    return f"{100 * measure['rate']:.2f} %{told}"

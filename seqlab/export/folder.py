"""The model folder: all that recognition needs of a run, in plain files, to copy and to share.

config.yaml         network, tokenizer, name: what Recognizer.load builds; no path and no address of the trainer's
model.safetensors   weights; no pickle
decoding.yaml       decoder and calibration, as ``seqlab tune`` chose them; absent: the best path
lm.ngram ...        files that the decoder names, a neural language model as a folder neural_lm
tokens.txt          "symbol id" per line, blank 0, the space as "▁": for other programs
bpe.model           sentencepiece model, where labels are pieces; config.yaml carries it too
README.md           the model card
model.onnx ...      graphs, see seqlab.export.graph
"""

import base64
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save

from seqlab.checkpoints import CONFIG, WEIGHTS
from seqlab.config import Config, save_yaml
from seqlab.decoding import FILE, FILES, stored
from seqlab.errors import ConfigError, DataError
from seqlab.files import write_lines
from seqlab.lm.neural import NeuralLM
from seqlab.recognizer import Recognizer
from seqlab.tokenizers.pieces import WORD_START, SentencePieces
from seqlab.tokenizers.symbols import Symbols

NODES = ("frontend", "normalize", "stem", "encoder")
GREEDY: Config = {"_target_": "seqlab.ctc.greedy.Greedy"}
NEURAL = "neural_lm"
TOKENS, PIECES = "tokens.txt", "bpe.model"


@contextmanager
def new_folder(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder beside ``out`` that takes its place when the block ends well; else nothing is left of it.

    Args:
        out: the folder to make.
        overwrite: replace a model folder that stands there.

    Raises:
        ConfigError: something stands there that may not be replaced.
    """
    out = Path(os.path.realpath(out))
    taken = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if taken and not (overwrite and (out / WEIGHTS).is_file() and (out / CONFIG).is_file()):
        cure = "--overwrite replaces model folders alone" if overwrite else "give another folder, or --overwrite"
        raise ConfigError(f"{out} is there already; {cure}")
    if (out / "checkpoints").exists():
        raise ConfigError(f"{out} is a run folder; give another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name[:100]}.{secrets.token_hex(4)}.part")
    old = temporary.with_suffix(".old")
    temporary.mkdir()
    try:
        yield temporary
        if out.exists():
            os.replace(out, old)
        os.replace(temporary, out)
    except BaseException:
        if old.exists() and not out.exists():
            os.replace(old, out)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_folder(recognizer: Recognizer, run: str | Path, folder: Path) -> Config:
    """Write a model's files, apart from its card and its graphs.

    Args:
        recognizer: the model, loaded from ``run``.
        run: run folder or checkpoint.
        folder: an empty folder.

    Returns:
        What ``decoding.yaml`` holds; empty where the best path is taken.

    Raises:
        ConfigError: the decoder's files cannot be told from one another.
        DataError: a file of the decoder is damaged.
        FileNotFoundError: one is missing.
    """
    config, tokenizer = recognizer.config, recognizer.tokenizer
    kept = {key: config[key] for key in NODES}
    name = (config.get("corpus") or {}).get("name")
    kept |= {
        "tokenizer": {**config["tokenizer"], **tokenizer.state()},
        "decoder": GREEDY,
        "name": config.get("name") or "model",
        "seed": config.get("seed"),
    }
    save_yaml(kept | ({"corpus": {"name": name}} if name else {}), folder / CONFIG)
    weights = {key: value.detach().cpu().contiguous() for key, value in recognizer.model.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(weights, {"format": "pt"}))  # save_file would let nobody else read it
    write_lines(folder / TOKENS, (f"{symbol} {i}" for i, symbol in enumerate(tokens(tokenizer))))
    if isinstance(tokenizer, SentencePieces):
        (folder / PIECES).write_bytes(base64.b64decode(str(tokenizer.state()["alphabet"])))
    return _write_decoding(recognizer, run, folder)


def tokens(tokenizer: Any) -> list[str]:
    """Return the symbols as other programs write them: the space is "▁", which they turn back, before words too.

    Raises:
        ConfigError: the tokenizer has both a space and "▁".
    """
    symbols: list[str] = list(tokenizer.symbols)
    if isinstance(tokenizer, Symbols):
        return [symbols[0], *(WORD_START + symbol for symbol in symbols[1:])]
    if tokenizer.space is not None:
        if WORD_START in symbols:
            raise ConfigError(f"the alphabet has both a space and {WORD_START!r}, which {TOKENS} writes alike")
        symbols[tokenizer.space] = WORD_START
    return symbols


def _write_decoding(recognizer: Recognizer, run: str | Path, folder: Path) -> Config:
    """Write the decoder with its files beside it; priors, which are small, are spelled out."""
    kept = stored(run)
    node = dict(kept.get("decoder") or recognizer.config["decoder"])
    if node == GREEDY and not kept:
        return {}
    if node.get("prior_weight", 1) and isinstance(node.get("priors"), str):
        node["priors"] = [round(float(p), 6) for p in recognizer.decoder.priors]
    if node.get(NEURAL):
        model = NeuralLM.load(node[NEURAL])
        (folder / NEURAL).mkdir()
        of = type(model.tokenizer)
        spelled = {"_target_": f"{of.__module__}.{of.__name__}", **model.tokenizer.state()}
        save_yaml({"tokenizer": spelled, "lm": model.node}, folder / NEURAL / CONFIG)
        (folder / NEURAL / WEIGHTS).write_bytes(save(model.state_dict(), {"format": "pt"}))
        node[NEURAL] = NEURAL
    for key in FILES:
        if isinstance(node.get(key), str) and key not in (NEURAL, "priors"):
            source = Path(node[key])
            if not source.is_file():
                raise FileNotFoundError(f"decoder.{key}: {source} not found")
            target = folder / f"{key}{source.suffix}"
            if source.stat().st_size == 0:
                raise DataError(f"decoder.{key}: {source} is empty")
            shutil.copyfile(source, target)
            node[key] = target.name
    node.pop("threads", None)  # whoever decodes says how many
    kept = {**kept, "decoder": node}
    save_yaml(kept, folder / FILE)
    return kept

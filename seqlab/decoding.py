"""How a model decodes: what `seqlab tune` chose for it, kept beside its weights in RUN/decoding.yaml.

    decoder: {_target_: seqlab.ctc.beam.Beam, lm: lm.ngram, lm_weight: 0.6, ...}
    chosen_on: {manifest: dev.jsonl, cer: 0.061, ...}
    calibration: {word: {temperature: 0.9, bias: 1.9}, symbol: ..., line: ...}  # of seqlab.ctc.confidence, optional

Files that the decoder names lie in the run folder and are given relative to it, so that the folder can be moved.
"""

from pathlib import Path

from seqlab.config import Config, load_yaml
from seqlab.errors import DataError

FILE = "decoding.yaml"
FILES = ("lm", "lexicon", "neural_lm")  # arguments of decoders that name files


def run_folder(model: str | Path) -> Path:
    """Return the folder of a run, given it or one of its checkpoints."""
    model = Path(model)
    if model.is_dir():
        return model
    return model.parent.parent if model.parent.name == "checkpoints" else model.parent


def stored(model: str | Path) -> Config:
    """Return what is kept for a model, the decoder's files as whole paths; empty if nothing is.

    Raises:
        DataError: the file is damaged.
    """
    path = run_folder(model) / FILE
    if not path.is_file():
        return {}
    try:
        kept = load_yaml(path)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        raise DataError(f"{path}: {str(error).splitlines()[0]}; delete it, or run seqlab tune again") from None
    decoder = kept.get("decoder")
    if not isinstance(decoder, dict):
        raise DataError(f"{path} names no decoder; delete it, or run seqlab tune again")
    for key in FILES:
        if isinstance(decoder.get(key), str):
            decoder[key] = str(path.parent / decoder[key])
    return kept

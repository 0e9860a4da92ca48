"""Model folders on the Hugging Face hub."""

from pathlib import Path

from seqlab.errors import ConfigError, DataError

PREFIX = "hf://"
# What a model folder may hold. Nothing else is fetched, code least of all.
WANTED = ("config.yaml", "decoding.yaml", "*.safetensors", "*.onnx", "*.ngram", "*.arpa", "*.txt", "*/config.yaml")


def fetched(model: str | Path) -> str | Path:
    """Return a model's path; what ``hf://OWNER/NAME`` or ``hf://OWNER/NAME@REVISION`` names is fetched, and kept.

    Raises:
        ConfigError: huggingface_hub is not installed.
        DataError: there is no such model, or it cannot be reached.
    """
    if not str(model).startswith(PREFIX):
        return model
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ConfigError(f"{model} lies on a hub: pip install 'seqlab[hub]'") from None
    name, _, revision = str(model).removeprefix(PREFIX).partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(WANTED)))
    except Exception as error:  # its own classes, and those of what it stands on
        raise DataError(f"{model} cannot be fetched: {(str(error) or type(error).__name__).splitlines()[0]}") from None

"""Which kind of medium a file is, by the ending of its name."""

from pathlib import Path

from seqlab.media.image import IMAGE_SUFFIXES

SUFFIXES: dict[str, frozenset[str]] = {
    "audio": frozenset((".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif", ".au", ".sph", ".m4a", ".mp4"))
    | {".webm", ".mkv", ".mov"},
    "image": frozenset(IMAGE_SUFFIXES),
    "strokes": frozenset((".inkml", ".unp", ".unipen", ".xml", ".json")),
    "features": frozenset((".npy", ".npz")),
}


def kind_of(path: str | Path) -> str | None:
    """Return what a file is by its name: audio, image, strokes, features, or None."""
    suffix = Path(path).suffix.lower()
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes), None)

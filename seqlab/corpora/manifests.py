"""Corpora that come as manifests already: train.jsonl, dev.jsonl and test.jsonl beside their media files.

Two such corpora of handwriting have a configuration, both French, text lines cut from page images along ALTO polygons,
straightened and turned to 8-bit grey, transcriptions diplomatic in Unicode NFC. Both are CC BY 4.0:

- ``peraire``: A. Chagué and G. Perez (2023), Peraire Ground Truth, https://doi.org/10.5281/zenodo.7185907. Travel
  diaries of one writer of the 20th century, 1,743 lines on 59 pages. Wherever its images are shown, name the owner:
  Bibliothèque Sébert, Espéranto-France, Paris. One writer throughout; test is the corpus's own eight pages.
- ``testaments``: CREMMA-AN-TestamentsDePoilus, https://doi.org/10.5281/zenodo.10177106. Soldiers' wills of 1898 to
  1918, 2,360 lines by 112 writers; no writer is in two parts. Transcription by the project Testaments de Poilus,
  alignment by A. Chagué, A. Mazoué and E. Van Kote, selection by T. Clérice.

**In place.** A folder that holds manifests already needs no preparation: ``data_dir=<its parent>`` and train. Prepare
with root null checks it and leaves it as it is; with a root, manifests that point to the files there are written to
out.
"""

from pathlib import Path

from seqlab.corpora._common import find_root, manifest_path, some, write_manifests
from seqlab.corpora._images import stop
from seqlab.errors import DataError
from seqlab.manifest import Line, read_manifest
from seqlab.media import file_exists, image_size

SPLITS = ("train", "dev", "test")
_LAYOUT = "It holds train.jsonl, dev.jsonl and test.jsonl (see seqlab.manifest) and the files that they name"


def prepare(root: str | None, out: str) -> dict[str, Path]:
    """Check manifests with the files that they name, and write them to out unless they are there already.

    Args:
        root: folder of the manifests; None takes those in out, in place.
        out: folder of the manifests to write.

    Returns:
        Manifests train, dev and test, as far as they are there.

    Raises:
        DataError: no manifest is there, lines are broken, files are missing, or a file stands in two parts.
        FileNotFoundError: root does not exist.
    """
    target = Path(out)
    if root is None and not any((target / f"{split}.jsonl").is_file() for split in SPLITS):
        raise DataError(
            f"{target} holds no manifest; give the folder of the corpus, corpus.prepare.root=... on the command line, "
            f"root in Python. {_LAYOUT}"
        )
    folder = target if root is None else find_root(root, "manifests", _LAYOUT)
    paths = {split: path for split in SPLITS if (path := folder / f"{split}.jsonl").is_file()}
    if not paths:
        raise DataError(f"no train.jsonl, dev.jsonl or test.jsonl in {folder}. {_LAYOUT}")
    manifests = {split: read_manifest(path) for split, path in paths.items()}
    _check_files(manifests)
    if folder.resolve() == target.resolve():
        return paths
    return write_manifests(target, {split: [_moved(x, target) for x in lines] for split, lines in manifests.items()})


def _check_files(manifests: dict[str, list[Line]]) -> None:
    """Refuse files that are missing, and files that stand in two parts."""
    faults = []
    owner: dict[Path, str] = {}
    shared: list[Path] = []
    for split, lines in manifests.items():
        for line in lines:
            for path in line.files:
                if not file_exists(path):
                    faults.append(f"{line.where}: {path} not found")
                elif owner.setdefault(path, split) != split:
                    shared.append(path)
    stop(faults, "manifests", "Copy the files there, or correct the manifest.")
    if shared:
        raise DataError(f"{len(shared)} file(s) stand in two parts, which must not overlap: {some(shared)}")


def _moved(line: Line, out: Path) -> Line:
    """Let the paths of a line, relative to its own manifest, count from out; an image gets its size."""
    for key in ("audio", "image", "features", "strokes"):
        if isinstance(path := getattr(line, key), str):
            setattr(line, key, manifest_path(line.root / path, out))
    if line.parts is not None:
        line.parts = [manifest_path(line.root / part, out) for part in line.parts]
    if line.image is not None and (line.width is None or line.height is None):
        line.width, line.height = image_size(out / line.image)
    return line

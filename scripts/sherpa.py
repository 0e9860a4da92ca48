"""Whether sherpa-onnx reads what seqlab reads: the same lines through both, text against text.

    pip install sherpa-onnx
    python scripts/sherpa.py MODEL MANIFEST --lines 50

MODEL (a run, checkpoint or model folder) is exported with its features outside; a text of sherpa-onnx is right where it
is that of Recognizer. Lines that differ are printed. Exit status 1: one differs.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import sherpa_onnx

from seqlab.export.filterbank import AfterFilters
from seqlab.export.folder import write_folder
from seqlab.export.graph import export_graph, sherpa_faults
from seqlab.manifest import read_manifest
from seqlab.recognizer import Recognizer


def sherpa(recognizer: Recognizer, model: str, folder: Path) -> Any:
    """Export a model and load it in sherpa-onnx."""
    write_folder(recognizer, model, folder)
    export_graph(recognizer.model, folder / "features.onnx", outside=True)
    return sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(
        model=str(folder / "features.onnx"),
        tokens=str(folder / "tokens.txt"),
        sample_rate=int(recognizer.model.sample_rate),
        feature_dim=AfterFilters(recognizer.model.frontend).num_filters,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("manifest", metavar="MANIFEST")
    parser.add_argument("--lines", type=int, default=50, help="the first so many (default %(default)s)")
    given = parser.parse_args()
    recognizer = Recognizer.load(given.model, "cpu")
    recognizer.use_threads(1)
    for fault in sherpa_faults(recognizer.model):
        print(f"its features differ: {fault}")
    lines = read_manifest(given.manifest)[: given.lines]
    same, symbols, furthest = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        theirs = sherpa(recognizer, given.model, Path(folder))
        for line in lines:
            samples = recognizer.source.signal(recognizer.source.read(line))
            ours = recognizer.transcribe(samples)
            stream = theirs.create_stream()
            stream.accept_waveform(int(recognizer.model.sample_rate), samples)
            theirs.decode_stream(stream)
            text = " ".join(stream.result.text.split())
            if text == ours.text:
                same += 1
                symbols += len(text)
                pairs = zip(stream.result.timestamps, ours.characters, strict=True)
                furthest = max([furthest, *(abs(time - symbol.start) for time, symbol in pairs)])
            else:
                print(f"{line.id}: {text!r}, seqlab {ours.text!r}")
    print(f"{same} of {len(lines)} texts are the same, {symbols} symbols, {furthest:.3f} s apart at most")
    return int(same < len(lines))


if __name__ == "__main__":
    sys.exit(main())

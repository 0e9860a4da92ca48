"""A transcription job: where its CPU time goes, from files to JSON with times and confidences.

Run: python scripts/bench/job.py MODEL FILE... [--backend torch|onnx|int8] [--rounds N]     (files, folders, patterns)

What `seqlab transcribe MODEL FILE... -f json -d OUT` does after its imports, with the decoder that belongs to the
model; the first round is not counted. Times of a part do not hold those of the parts inside it.
"""

import argparse
import tempfile

from timing import Shares, start

from seqlab.recognizer import Recognizer
from seqlab.verbs import transcribe_batch
from seqlab.verbs.transcribe_batch import answers
from seqlab.verbs.transcribe_files import find_files, tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--backend", choices=["torch", "onnx", "int8"], default="torch")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    start(packages=("torch", "onnxruntime", "numba", "soundfile"))
    recognizer = Recognizer.load(given.model, "cpu", backend=given.backend)
    recognizer.use_threads(1)
    shares, model = Shares(), recognizer.model
    shares.watch(recognizer, "open", "reading")
    if given.backend == "torch":
        shares.watch(model.frontend, "forward", "features")
        shares.watch(model.stem, "forward", "stem")
        shares.watch(model.encoder, "forward", "encoder")
        shares.watch(model, "log_probs_of", "output layer, padding")
    else:
        shares.watch(model, "log_probs_of", "network, features in it")
    shares.watch(recognizer, "decode", "decoding")
    shares.watch(recognizer, "transcript_of", "times, confidences")
    shares.watch(transcribe_batch, "_write", "writing")
    files = find_files(given.files, recognizer.kind)
    with tempfile.TemporaryDirectory() as folder:
        work = tasks(files, ["json"], folder)
        for turn in range(given.rounds + 1):
            if turn == 1:
                shares.clear()
            wrong = [answer for _, answer in answers(recognizer, work) if answer is not None]
    if wrong:
        raise SystemExit(f"{len(wrong)} file(s) failed: {wrong[0]}")
    decoder = type(recognizer.decoder).__name__.lower()
    print(shares.table(f"{given.rounds} x {len(files)} files, {given.backend}, {decoder}"))


if __name__ == "__main__":
    main()

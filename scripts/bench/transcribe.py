"""Files to text: seqlab transcribe's batches of like length against a plain torch loop, file by file; both greedy.

Run: python scripts/bench/transcribe.py RUN FILE... [--rounds N]     (files, folders, patterns, - for a list)

The plain loop reads a file with soundfile, runs the network on it, takes the best symbol of each frame, folds repeats
and drops blanks; it makes no times and no confidences, which seqlab's transcripts have.
"""

import argparse
from itertools import groupby

import soundfile
import torch
from timing import measure, start, table

from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer
from seqlab.verbs import transcribe_batch
from seqlab.verbs.transcribe_batch import answers
from seqlab.verbs.transcribe_files import find_files, tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    start()
    recognizer = Recognizer.load(arguments.model, "cpu", {"_target_": "seqlab.ctc.greedy.Greedy"})
    work = tasks(find_files(arguments.files), [], None)
    seconds = sum(soundfile.info(task.path).duration for task in work)
    print(f"{len(work)} files, {seconds:.0f} s of audio")
    texts: dict[str, list[str]] = {}

    @torch.inference_mode()
    def plain() -> None:
        found = []
        for task in work:
            audio, _ = soundfile.read(task.path, dtype="float32")
            log_probs, _ = recognizer.model(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
            best = log_probs.reshape(-1, log_probs.shape[-1]).argmax(-1).tolist()
            found.append(recognizer.tokenizer.decode([label for label, _ in groupby(best) if label]))
        texts["plain torch loop"] = found

    def batched(name: str, budget: float) -> None:
        transcribe_batch.BATCH_SECONDS = budget
        found = dict(answers(recognizer, work))
        texts[name] = [t.text if isinstance(t, Transcript) else str(t) for _, t in sorted(found.items())]

    usual = transcribe_batch.BATCH_SECONDS
    budgets = {"seqlab": usual, "seqlab, half the batch": usual / 2, "seqlab, twice the batch": usual * 2}
    contenders = {name: (lambda name=name, budget=budget: batched(name, budget)) for name, budget in budgets.items()}
    measured = measure({"plain torch loop": plain, **contenders}, arguments.rounds)
    reference = texts["plain torch loop"]
    notes = {n: f"{sum(a == b for a, b in zip(t, reference, strict=True))} equal texts" for n, t in texts.items()}
    print(table(measured, "plain torch loop", notes))


if __name__ == "__main__":
    main()

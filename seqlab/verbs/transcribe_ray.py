"""seqlab transcribe on a Ray cluster (pip install 'seqlab[ray]'), whose machines see the same files and model.

The cluster is that of the environment (RAY_ADDRESS); without one, Ray starts on this machine alone.
"""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from seqlab.errors import ConfigError
from seqlab.verbs.transcribe_batch import CHUNK, Answer, Loader, answers
from seqlab.verbs.transcribe_files import Task


class _Actor:
    """A process of the cluster that has the model."""

    def __init__(self, loader: Loader) -> None:
        self.recognizer, self.vad = loader.load(), loader.vad

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Answer tasks: their indices and the answers, pickled."""
        given = [pickle.loads(task) for task in batch["task"]]
        found = dict(answers(self.recognizer, given, self.vad))
        return {"index": batch["index"], "answer": [pickle.dumps(found[i]) for i in range(len(given))]}


def spread(loader: Loader, tasks: Sequence[Task], actors: int) -> Iterator[tuple[int, Answer]]:
    """Yield what ``transcribe_batch.answers`` yields, from actors of Ray Data that each have the model.

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        import ray.data
    except ImportError:
        raise ConfigError("--ray needs Ray Data: pip install 'seqlab[ray]'") from None
    if not tasks:
        return
    rows = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(tasks)]
    size = max(1, min(CHUNK, -(-len(rows) // (4 * actors))))
    done = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size)).map_batches(
        _Actor,
        fn_constructor_args=(loader,),
        batch_size=size,
        concurrency=actors,
        num_cpus=loader.threads,
        num_gpus=int(loader.device == "cuda"),
    )
    for row in done.iter_rows():
        yield int(row["index"]), pickle.loads(row["answer"])

"""The models that are served: what could be loaded, and what could not."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from seqlab.errors import ConfigError, UserError
from seqlab.onnx_model import OnnxModel
from seqlab.recognizer import Backend, Recognizer
from seqlab.serve.limits import Limits
from seqlab.serve.refused import Refused
from seqlab.serve.worker import Worker

_NAME = re.compile(r"[\w.-]{1,64}")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Models:
    """Models by name.

    Attributes:
        workers: of those that serve.
        failed: why the others do not; for the log, as it names paths.
    """

    workers: dict[str, Worker] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        return iter([*self.workers, *self.failed])

    def worker(self, name: str | None) -> Worker:
        """Return a model's worker; without a name the first one's.

        Raises:
            Refused: there is no such model (404), or it could not be loaded (503).
        """
        if name is None:
            return next(iter(self.workers.values()))
        if name in self.workers:
            return self.workers[name]
        if name in self.failed:
            raise Refused(503, "this model could not be loaded; see the server's log", 60)
        raise Refused(404, f"no such model; there are {', '.join(self)}")

    def close(self) -> None:
        """End all threads, when their work is done."""
        for worker in self.workers.values():
            worker.close()


def named(given: Sequence[str]) -> dict[str, str]:
    """Return the paths of models by name: NAME=PATH, or a path whose last part is the name.

    Raises:
        ConfigError: two models have one name, or a name is none.
    """
    paths: dict[str, str] = {}
    for item in given:
        head, equals, tail = item.partition("=")
        if equals and _NAME.fullmatch(head) and not Path(item).exists():
            name, path = head, tail
        else:
            name, path = re.sub(r"[^\w.-]", "_", Path(item).resolve().name)[:64], item
        if not name:
            raise ConfigError(f"{item}: the model has no name; write NAME={item}")
        if name in paths:
            raise ConfigError(f"{item} and {paths[name]} are both called {name}; write NAME=PATH for one of them")
        paths[name] = path
    return paths


def load(
    paths: dict[str, str],
    limits: Limits,
    backend: Backend = "torch",
    batched: Callable[[int], None] | None = None,
    gather: float | None = None,
) -> Models:
    """Load models; one that fails is named in the log, and the others serve.

    Args:
        paths: of run folders, checkpoints or model folders, by name.
        limits: of the queue.
        backend: what runs the networks, see Recognizer.load.
        batched: called with the number of lines of each batch.
        gather: seconds that the first line of a batch waits for others.

    Raises:
        ConfigError: none could be loaded.
    """
    models = Models()
    for name, path in paths.items():
        try:
            recognizer = Recognizer.load(path, "auto", backend=backend)
            if isinstance(recognizer.model, OnnxModel):
                with suppress(ConfigError):  # it need have none
                    _ = recognizer.model.streaming  # a wrong one is told now, not when the first stream begins
        except (UserError, OSError) as error:
            models.failed[name] = str(error)
            _log.error("model failed", extra={"model": name, "reason": str(error)})
            continue
        settings = {} if gather is None else {"gather": gather}
        models.workers[name] = Worker(recognizer, limits.queue, batched=batched, **settings)
        _log.info("model loaded", extra={"model": name, "kind": recognizer.kind})
    if not models.workers:
        raise ConfigError("no model could be loaded: " + "; ".join(models.failed.values()))
    return models

"""The service's tests need the packages of the extra serve, and httpx; without them there are none."""

import logging
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "websockets", "prometheus_client", "httpx")
collect_ignore_glob = [] if all(map(find_spec, _NEEDED)) else ["test_*.py"]

if not collect_ignore_glob:
    from tests.serve.service import application, client, recognizers, running

    __all__ = ["application", "client", "recognizers", "running"]


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Undo what the verb does to the loggers of its process."""
    loggers = [logging.getLogger(name) for name in ("seqlab", "uvicorn")]
    before = [(log.handlers, log.propagate, log.level) for log in loggers]
    yield
    for log, (handlers, propagate, level) in zip(loggers, before, strict=True):
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)

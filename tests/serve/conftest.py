"""The service's tests need the packages of the extra serve, and httpx; without them there are none."""

from importlib.util import find_spec

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "websockets", "prometheus_client", "httpx")
collect_ignore_glob = [] if all(map(find_spec, _NEEDED)) else ["test_*.py"]

if not collect_ignore_glob:
    from tests.serve.service import application, client, recognizers, running

    __all__ = ["application", "client", "recognizers", "running"]

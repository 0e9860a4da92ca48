"""Logs as one JSON object per line. Nothing of what users send stands in them: no text, no file name, no query."""

import json
import logging
import sys
import time
import traceback

_OWN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Write a record and its extra fields; of an exception only type and place, as its message may quote an upload."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        row = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "logger": record.name}
        row["event"] = record.getMessage()
        row |= {key: value for key, value in record.__dict__.items() if key not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            row |= fault(record.exc_info[1])
        return json.dumps(row, ensure_ascii=False, default=str)


def fault(error: BaseException) -> dict[str, str]:
    """Return the type of an exception and the places that it went through."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    places = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames))
    return {"error": type(error).__name__, "at": places}


def to_stderr(level: str = "info") -> None:
    """Send the logs of seqlab and of its server to standard error, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("seqlab", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())

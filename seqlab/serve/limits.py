"""What a request may cost."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from seqlab.errors import ConfigError

SLOWEST = 8 * 1024  # bytes a second that a body must bring, once the idle time is over


def _limit(default: float, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the service; each is above 0 (rate: or 0), and said in its field's metadata.

    Raises:
        ConfigError: a value is out of range.
    """

    upload_mb: float = _limit(32.0, "largest upload, in MB")
    seconds: float = _limit(300.0, "longest recording or stream")
    megapixels: float = _limit(50.0, "largest image")
    points: int = _limit(50_000, "most points of ink, or rows of an array")
    queue: int = _limit(64, "lines that wait for a model (else 503)")
    requests: int = _limit(128, "requests at a time (else 503)")
    streams: int = _limit(32, "WebSockets at a time")
    rate: int = _limit(600, "requests a minute of one address (else 429); 0 does not count")
    timeout: float = _limit(60.0, "seconds from request to answer (else 503)")
    idle: float = _limit(15.0, "seconds after which a silent sender is given up")

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            above = value >= 0 if limit.name == "rate" else value > 0
            if not above or value == math.inf:
                raise ConfigError(f"--{limit.name.replace('_', '-')} must be above 0 and finite, got {value}")

    @property
    def upload_bytes(self) -> int:
        """Most bytes of one request's body."""
        return int(self.upload_mb * 2**20)

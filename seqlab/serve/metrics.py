"""What the service counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one service; labels are routes, never what a client sent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self.requests = Counter("seqlab_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "seqlab_request_seconds", "From request to answer.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.batch = Histogram(
            "seqlab_batch_lines", "Lines recognised together.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )
        self.heard = Counter(
            "seqlab_input", "What was recognised: seconds, pixels, points or frames.", ["unit"], registry=self.registry
        )
        self.busy = Gauge("seqlab_requests_at_work", "Requests at work.", registry=self.registry)
        self.streams = Gauge("seqlab_streams", "WebSockets open.", registry=self.registry)
        self.serving = Gauge("seqlab_model_serving", "1: the model serves.", ["model"], registry=self.registry)
        self._waiting = Gauge("seqlab_waiting_lines", "Lines that wait.", ["model"], registry=self.registry)

    def watch(self, model: str, waiting: Callable[[], float]) -> None:
        """Show how many lines wait for a model."""
        self._waiting.labels(model).set_function(waiting)

    def text(self) -> bytes:
        """Return all values in Prometheus' format."""
        return generate_latest(self.registry)

"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one service; nothing is shared with others in the same process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "paddleseg_requests", "Requests answered.", ("path", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "paddleseg_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ("path",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._batch_size = Histogram(
            "paddleseg_batch_size",
            "Images that the model took at once.",
            registry=self._registry,
            buckets=(1, 2, 4, 8, 16, 32),
        )
        self._model = Histogram(
            "paddleseg_model_seconds",
            "Seconds of one batch in the model, with its transforms.",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._queue = Gauge(
            "paddleseg_queue_length", "Images that wait for the model.", registry=self._registry
        )
        self._in_flight = Gauge(
            "paddleseg_in_flight", "Requests for a prediction under way.", registry=self._registry
        )

    def watch(self, *, queue: Callable[[], float], in_flight: Callable[[], float]) -> None:
        """Says where the two gauges get their values."""
        self._queue.set_function(queue)
        self._in_flight.set_function(in_flight)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Counts an answered request; ``path`` is one of few."""
        self._requests.labels(path, str(status)).inc()
        self._latency.labels(path).observe(seconds)

    def batch(self, size: int) -> None:
        """Counts a batch."""
        self._batch_size.observe(size)

    def model(self, seconds: float) -> None:
        """Counts the model's time for a batch."""
        self._model.observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

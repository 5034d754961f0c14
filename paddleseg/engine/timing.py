"""Where the time of a training step goes."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType

import paddle

__all__ = ["SPANS", "StepTimer"]

SPANS = ("reader", "forward", "loss", "backward", "communication", "optimizer")
_NOTHING = contextlib.nullcontext()


class StepTimer:
    """Times the parts of some iterations; in the others a span costs next to nothing.

    A GPU works behind the program's back, so that an honest time needs the program to wait for it at the ends
    of each span. That slows an iteration down, which is why only those that are asked for are measured::

        timer.begin(measured=iteration % log_iters == 0)
        with timer.span("reader"):
            batch = next(batches)
        with timer.span("forward"):
            logits = model(batch.images)

    Spans of one iteration follow each other; those of one name add up. They do not contain each other: where
    gradients travel during the backward pass (:class:`paddleseg.engine.gradients.GradientSync` with
    ``overlap``, on GPUs), most of the communication is inside "backward", and "communication" is the rest.
    """

    def __init__(self) -> None:
        self._spans = {name: _Span(waits="gpu" in paddle.get_device()) for name in SPANS}
        self._measured = False
        self._iterations = 0

    def begin(self, *, measured: bool) -> None:
        """Starts an iteration, before its batch is read.

        Args:
            measured: Whether its spans are timed.
        """
        self._measured = measured
        self._iterations += measured

    def span(self, name: str) -> contextlib.AbstractContextManager[object]:
        """Returns a context that times what runs in it.

        Args:
            name: One of :data:`SPANS`.
        """
        span = self._spans[name]
        return span if self._measured else _NOTHING

    def means(self) -> dict[str, float]:
        """Returns seconds an iteration, by span, over those measured since the last reset; {} without any."""
        if not self._iterations:
            return {}
        return {name: span.seconds / self._iterations for name, span in self._spans.items()}

    def reset(self) -> None:
        """Forgets what was measured."""
        self._iterations = 0
        for span in self._spans.values():
            span.seconds = 0.0


class _Span:
    """Adds up the time between its ends.

    Args:
        waits: Whether to let the device finish at both ends.
    """

    def __init__(self, *, waits: bool) -> None:
        self.seconds = 0.0
        self._waits = waits
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self._now()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += self._now() - self._started

    def _now(self) -> float:
        if self._waits:
            paddle.device.synchronize()
        return time.perf_counter()

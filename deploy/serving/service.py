"""What happens to a request's image, and what state the service is in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np

from deploy.python.exported_model import ExportedModel, Labels, Prepared
from deploy.serving.answers import Answer, ModelFacts, Output, Picture, answer_of
from deploy.serving.batching import Batcher
from deploy.serving.limits import Limits, RequestError, lack_of_memory
from deploy.serving.metrics import Metrics
from deploy.serving.uploads import decode, pixel_count
from paddleseg.data.transforms import Sample
from paddleseg.errors import DataError
from paddleseg.log import get_logger

__all__ = ["Service", "Ticket"]

_T = TypeVar("_T")
State = Literal["starting", "ready", "stopping"]
# Pictures under way may have this many times the pixels of the largest one together.
_PIXEL_BUDGET = 2
_WARM_UP_SIZE = 256
_logger = get_logger(__name__)


@dataclass(eq=False)
class Ticket:
    """The right to be worked on.

    Attributes:
        pixels: Of the image, once they are known.
        is_coming: True until the image waits for the model.
        holders: The request, and the work on it in threads, which cannot be stopped when the request ends.
    """

    pixels: int = 0
    is_coming: bool = True
    holders: int = 1


class Service:
    """One model behind limits. Everything but the work in its threads runs in one event loop.

    Args:
        load: Loads the model; called in the thread that will run it.
        facts: What answers say about the model.
        limits: What requests may take.
        workers: Threads that decode, transform and encode.
    """

    def __init__(
        self, load: Callable[[], ExportedModel], facts: ModelFacts, *, limits: Limits, workers: int = 2
    ) -> None:
        self.limits, self.facts, self.metrics = limits, facts, Metrics()
        self.state: State = "starting"
        self._load = load
        self._model: ExportedModel | None = None
        self._tickets: set[Ticket] = set()
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="images")
        self._batcher = Batcher(
            self._run_model,
            thread=self._model_thread,
            max_batch=limits.max_batch,
            max_wait=limits.max_wait_ms / 1000,
            others_coming=lambda: sum(ticket.is_coming for ticket in self._tickets),
            observe=self.metrics.batch,
        )
        self.metrics.watch(queue=lambda: len(self._batcher), in_flight=lambda: len(self._tickets))

    @contextlib.asynccontextmanager
    async def running(self, *, on_loaded: Callable[[Exception | None], None]) -> AsyncIterator[None]:
        """Loads the model in the background, and works until the block ends.

        Args:
            on_loaded: Called when the model is loaded, or with the reason why it cannot be.
        """
        tasks = [asyncio.create_task(self._start(on_loaded)), asyncio.create_task(self._batcher.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for pool in (self._model_thread, self._workers):
                pool.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Takes no more requests; those under way go on."""
        self.state = "stopping"

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._tickets)

    @contextlib.contextmanager
    def admit(self) -> Iterator[Ticket]:
        """Takes a request in, until the block and all work that it began have ended.

        Raises:
            RequestError: The model is not ready or the service is stopping (503), or too many are in (429).
        """
        if self.state != "ready":
            why = "the model is being loaded" if self.state == "starting" else "the service is shutting down"
            raise RequestError(503, why, retry_after=5)
        if len(self._tickets) >= self.limits.queue:
            raise RequestError(
                429, f"{len(self._tickets)} requests are under way already; try again", retry_after=1
            )
        ticket = Ticket()
        self._tickets.add(ticket)
        try:
            yield ticket
        finally:
            self._release(ticket)

    async def predict(self, data: bytes, ticket: Ticket, *, output: Output, with_overlay: bool) -> Answer:
        """Answers a request that was admitted.

        Args:
            data: An image file.
            ticket: Of :meth:`admit`.
            output: What is wanted.
            with_overlay: For JSON: whether it holds the overlay too.

        Raises:
            RequestError: The image is not acceptable, or there is no memory for it now.
        """
        model = self._model
        assert model is not None
        ticket.pixels = pixel_count(data, max_pixels=self.limits.max_pixels)
        if sum(one.pixels for one in self._tickets) > _PIXEL_BUDGET * self.limits.max_pixels:
            raise RequestError(429, "large images take all the memory allowed; try again", retry_after=2)
        picture, prepared = await self._in_worker(ticket, lambda: _open(data, ticket.pixels, model))
        start = time.perf_counter()
        ticket.is_coming = False
        ticket.holders += 1
        label = await self._batcher.labels_of(prepared, on_left=lambda: self._release(ticket))
        elapsed_ms = 1000 * (time.perf_counter() - start)

        def answer() -> Answer:
            with lack_of_memory():
                return answer_of(
                    picture, label, output, self.facts, time_ms=elapsed_ms, with_overlay=with_overlay
                )

        return await self._in_worker(ticket, answer)

    async def _in_worker(self, ticket: Ticket, work: Callable[[], _T]) -> _T:
        """Works in a thread. Where the caller is cancelled, the ticket is held until the work has ended."""
        loop = asyncio.get_running_loop()
        future = self._workers.submit(work)
        ticket.holders += 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release, ticket))
        return await asyncio.wrap_future(future)

    def _release(self, ticket: Ticket) -> None:
        ticket.holders -= 1
        if not ticket.holders:
            self._tickets.discard(ticket)
        self._batcher.changed()

    async def _start(self, on_loaded: Callable[[Exception | None], None]) -> None:
        try:
            loop = asyncio.get_running_loop()
            self._model = await loop.run_in_executor(self._model_thread, self._load_and_warm)
        except Exception as error:
            on_loaded(error)
            return
        on_loaded(None)
        if self.state == "starting":
            self.state = "ready"
            _logger.info(f"ready: {self.facts.name} on {self._model.engine.name}")

    def _load_and_warm(self) -> ExportedModel:
        model = self._load()
        height, width = (n if n != -1 else _WARM_UP_SIZE for n in model.description.input_shape[2:])
        image = Sample(np.zeros((height, width, model.img_channels), dtype=np.float32), image_path="warm-up")
        model.labels_of([image] * self.limits.max_batch)
        model.label_of(image)
        return model

    def _run_model(self, images: Sequence[Prepared]) -> list[Labels]:
        """From transformed images to class ids, in one thread: scores exist of no more than one batch."""
        model = self._model
        assert model is not None
        start = time.perf_counter()
        try:
            with lack_of_memory():
                outputs = model.run(images)
                return [model.finish(output, image) for output, image in zip(outputs, images, strict=True)]
        except DataError as error:
            raise RequestError(422, str(error)) from error
        finally:
            self.metrics.model(time.perf_counter() - start)


def _open(data: bytes, pixels: int, model: ExportedModel) -> tuple[Picture, Prepared]:
    image = decode(data, channels=model.img_channels, pixels=pixels)
    try:
        with lack_of_memory():
            return image.astype(np.uint8), model.prepare(Sample(image, image_path="the image"))
    except DataError as error:
        raise RequestError(422, str(error)) from error
    except (cv2.error, ValueError) as error:
        raise RequestError(422, f"the image does not go through the model's transforms: {error}") from error

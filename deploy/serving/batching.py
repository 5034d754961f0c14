"""Images of several requests through the model together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deploy.python.exported_model import Labels, Prepared

__all__ = ["Batcher"]


@dataclass(eq=False)
class _Waiting:
    image: Prepared
    labels: asyncio.Future[Labels]
    arrived: float
    on_left: Callable[[], None]


class Batcher:
    """Runs the model in one thread, over images of one transformed size at a time, the oldest first.

    Args:
        run_model: The class ids of some images of one transformed size; called in the thread.
        thread: With one worker.
        max_batch: Images that ``run_model`` gets at most.
        max_wait: Seconds that an image waits for others while the model is free.
        others_coming: How many requests are about to bring an image; with none, nobody waits.
        observe: Told the size of each batch.
    """

    def __init__(
        self,
        run_model: Callable[[Sequence[Prepared]], Sequence[Labels]],
        *,
        thread: ThreadPoolExecutor,
        max_batch: int,
        max_wait: float,
        others_coming: Callable[[], int],
        observe: Callable[[int], None],
    ) -> None:
        self._run_model, self._thread = run_model, thread
        self._max_batch, self._max_wait = max_batch, max_wait
        self._others_coming, self._observe = others_coming, observe
        self._waiting: list[_Waiting] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Images that wait for the model."""
        return len(self._waiting)

    async def labels_of(self, image: Prepared, *, on_left: Callable[[], None]) -> Labels:
        """Class ids of an image; a caller that is cancelled leaves the queue.

        Args:
            image: Transformed.
            on_left: Called when the image is neither in the queue nor in the model any more, which can be
                later than the end of a caller that is cancelled.
        """
        loop = asyncio.get_running_loop()
        entry = _Waiting(image, loop.create_future(), loop.time(), on_left)
        self._waiting.append(entry)
        self._changed.set()
        try:
            return await entry.labels
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
                entry.on_left()

    def changed(self) -> None:
        """To be called when ``others_coming`` has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Serves until it is cancelled."""
        while True:
            batch = await self._next_batch()
            await self._serve(batch)
            for entry in batch:
                entry.on_left()

    async def _next_batch(self) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            batch = self._of_the_oldest_size()
            left = batch[0].arrived + self._max_wait - loop.time() if batch else None
            if left is not None and (left <= 0 or len(batch) == self._max_batch or not self._others_coming()):
                break
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                continue
        for entry in batch:
            self._waiting.remove(entry)
        return batch

    def _of_the_oldest_size(self) -> list[_Waiting]:
        same = [entry for entry in self._waiting if entry.image.size == self._waiting[0].image.size]
        return same[: self._max_batch]

    async def _serve(self, batch: list[_Waiting]) -> None:
        batch = [entry for entry in batch if not entry.labels.done()]  # the others' callers have gone
        if not batch:
            return
        self._observe(len(batch))
        loop = asyncio.get_running_loop()
        images = [entry.image for entry in batch]
        try:
            labels = await loop.run_in_executor(self._thread, self._run_model, images)
            assert len(labels) == len(batch)
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].labels.done():
                    batch[0].labels.set_exception(error)
                return
            for entry in batch:  # one bad image must not fail the others
                await self._serve([entry])
            return
        for entry, label in zip(batch, labels, strict=True):
            if not entry.labels.done():
                entry.labels.set_result(label)

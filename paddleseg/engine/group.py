"""The processes that train together: waiting for each other and exchanging values.

All communication is Paddle's own: its collectives and its TCP store, which lives in rank 0's process.
Two facts of paddlepaddle 3.3.1 shape this module:

- On CPU (gloo) a collective that waits about 30 seconds for a rank dies, and the limit cannot be changed. So
  whatever may come with uneven work calls :meth:`Group.wait` first, which asks the store and has no limit.
- One question to the store takes 0.2 ms, or 44 ms where Nagle's algorithm cannot be switched off
  (:mod:`paddleseg.engine.rendezvous`), so the store is for what happens a few times a step at most.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle import distributed as framework

from paddleseg import distributed
from paddleseg.engine.heartbeat import Heartbeat, PeerError
from paddleseg.engine.rendezvous import meet
from paddleseg.log import get_logger

__all__ = ["Group"]

Array = npt.NDArray[Any]

_LEAVE_SECONDS = 10.0  # for the others to leave before rank 0 takes the store away
_TELL_SECONDS = 60.0  # of waiting before the log says for what


class Group:
    """The processes of one run. Without a launcher it has one member, and nothing calls the framework.

    As a context manager it tells the others when the block is left by an error, and leaves in good order
    otherwise.

    Attributes:
        rank: This process's place, 0 to size - 1.
        size: The number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._store: Any = None
        self._heart: Heartbeat | None = None
        self._waits = 0

    @classmethod
    def start(cls) -> Group:
        """Joins the processes that the launcher started; call it once, after the device is chosen.

        Returns:
            The group; of size 1 without a launcher.

        Raises:
            PeerError: The processes did not come together.
            UsageError: The launcher's variables hold no valid place.
        """
        group = cls(distributed.rank(), distributed.world_size())
        if group.size > 1:
            group._store, own = meet(group.rank, group.size, *distributed.master())
            group._heart = Heartbeat(group.rank, group.size, own)
        return group

    @property
    def is_main(self) -> bool:
        """True in the one process that logs, saves and reports."""
        return self.rank == 0

    def wait(self, what: str) -> None:
        """Waits until every process has come here, however long that takes.

        Args:
            what: What comes next, for the log.

        Raises:
            PeerError: Another process has failed.
        """
        if self._heart is None:
            return
        self._waits += 1
        started, told = time.monotonic(), False
        arrived = self._ask("arrived", 1)
        while arrived < self._waits * self.size:
            self._heart.check()
            waited = time.monotonic() - started
            if waited > _TELL_SECONDS and not told:
                told = True
                missing = self._waits * self.size - arrived
                get_logger(__name__).info("Waiting for %d of %d processes: %s", missing, self.size, what)
            time.sleep(min(0.05, waited / 10))
            arrived = self._ask("arrived", 0)

    def sum(self, array: Array) -> Array:
        """Adds up over all processes; exact for integers.

        Args:
            array: int64 or float64, of one shape everywhere.

        Returns:
            A new array, the same in every process.

        Raises:
            PeerError: Another process has failed.
        """
        assert array.dtype in (np.int64, np.float64), array.dtype
        if self.size == 1:
            return array.copy()
        self.wait("sum")
        with self.exchange():
            tensor = paddle.to_tensor(array)
            framework.all_reduce(tensor)
            total: Array = tensor.numpy()
        return total

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set anywhere. Cheap, and without :meth:`wait`: for every step."""
        if self.size == 1:
            return flags
        with self.exchange():
            tensor = paddle.to_tensor(flags, dtype="int32")
            framework.all_reduce(tensor, op=framework.ReduceOp.MAX)
            return tuple(bool(flag) for flag in tensor.tolist())

    def gather(self, value: Any) -> list[Any]:
        """Collects a small value of every process, in the order of ranks, in every process."""
        if self.size == 1:
            return [value]
        self.wait("gather")
        values: list[Any] = []
        with self.exchange():
            framework.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any = None) -> Any:
        """Hands rank 0's value to every process.

        Args:
            value: Dicts and lists of numbers, texts and arrays, nested, of any size; ignored above rank 0.

        Returns:
            The value; above rank 0 with new arrays.

        Raises:
            PeerError: Another process has failed.
        """
        if self.size == 1:
            return value
        arrays: list[Array] = []
        plan = [_without_arrays(value, arrays) if self.is_main else None]
        self.wait("broadcast")
        with self.exchange():
            framework.broadcast_object_list(plan, src=0)
            if not self.is_main:
                return _with_arrays(plan[0], _receive)
            for array in arrays:
                _send(array)
            return value

    def tell(self, event: str) -> None:
        """Leaves word for every process; :meth:`heard` there says so some seconds later."""
        if self._heart is not None:
            with self.exchange():
                self._heart.tell(event)

    def heard(self, event: str) -> bool:
        """Whether any process has told this event; costs nothing."""
        return self._heart is not None and event in self._heart.events

    def fail(self, message: str) -> None:
        """Tells the others, once, that this process ends.

        Args:
            message: Why; told in one line, and shortened.
        """
        if self._heart is not None:
            self._heart.fail(message)

    def close(self) -> None:
        """Leaves together with the others; rank 0, which holds the store, goes last.

        Raises:
            PeerError: Another process has failed.
        """
        if self._heart is None:
            return
        self.wait("end")
        self._heart.stop()
        self._heart = None
        with contextlib.suppress(ValueError, RuntimeError):  # all have got here: whoever is gone may be
            left, ends = self._store.add("left", 1), time.monotonic() + _LEAVE_SECONDS
            while self.is_main and left < self.size and time.monotonic() < ends:
                time.sleep(0.05)
                left = self._store.add("left", 0)

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif not isinstance(error, PeerError):
            self.fail(str(error) or type(error).__name__)

    def _ask(self, counter: str, add: int) -> int:
        """Adds to a counter of the store and returns its new value."""
        with self.exchange():
            value: int = self._store.add(counter, add)
        return value

    @contextlib.contextmanager
    def exchange(self) -> Iterator[None]:
        """Surrounds messages of the framework: its errors of a broken connection become a PeerError.

        Lack of memory is a MemoryError, in Paddle too, and stays one.
        """
        try:
            yield
        except (ValueError, RuntimeError, OSError) as error:
            assert self._heart is not None, "messages belong to a group that has started"
            raise self._heart.lost(error) from error


@dataclass(frozen=True)
class _Place:
    """Stands for an array in a value whose arrays travel by themselves."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _without_arrays(value: Any, arrays: list[Array]) -> Any:
    """A copy with places for the arrays, which are appended to ``arrays`` in :func:`_with_arrays`'s order."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return _Place(value.shape, value.dtype)
    return _rebuild(value, lambda part: _without_arrays(part, arrays))


def _with_arrays(plan: Any, receive: Callable[[_Place], Array]) -> Any:
    return (
        receive(plan)
        if isinstance(plan, _Place)
        else _rebuild(plan, lambda part: _with_arrays(part, receive))
    )


def _rebuild(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: change(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(change(part) for part in value)
    return value


def _send(array: Array) -> None:
    """Sends the bytes: Paddle has no type for some of NumPy's."""
    if array.size:
        flat = np.frombuffer(np.ascontiguousarray(array).data, dtype=np.uint8)
        framework.broadcast(paddle.to_tensor(flat), src=0)


def _receive(place: _Place) -> Array:
    array = np.empty(place.shape, place.dtype)
    if array.size:
        tensor = paddle.zeros([array.nbytes], dtype="uint8")
        framework.broadcast(tensor, src=0)
        array = tensor.numpy().view(place.dtype).reshape(place.shape)
    return array

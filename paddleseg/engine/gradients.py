"""One set of gradients for all processes: the mean over their shares of the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate

import paddle
from paddle import distributed as framework
from paddle import nn
from paddle.distributed.parallel import sync_params_buffers

from paddleseg.engine.group import Group
from paddleseg.log import get_logger
from paddleseg.models.layers import batch_norms

__all__ = ["GradientSync", "synchronise_batch_norm"]

# Values that travel in one message, 32 MiB of float32: with less the waiting between messages adds up, and a
# buffer of that size serves them one after the other.
_MESSAGE_VALUES = 2**23


class GradientSync:
    """Gives every process rank 0's parameters at the start and the mean of all gradients in each step.

    With ``overlap``, messages travel during the backward pass, as Paddle's DataParallel does it: for GPUs.
    Without, they travel after it, behind :meth:`Group.wait`: for CPUs, where a message that waits for another
    process for 30 seconds fails. Both give the same gradients. Without it, the running statistics of batch
    norm, of which each process has its own, become their mean as well: evaluation and checkpoints then do not
    depend on which process they come from.

    Args:
        model: Network of this process.
        group: The processes.
        overlap: See above; of no effect in a group of one.

    Attributes:
        model: What to call forward on; its parameters and buffers are those of the given network.
    """

    def __init__(self, model: nn.Layer, group: Group, *, overlap: bool) -> None:
        self.model = model
        self._group = group
        self._parameters = [value for value in model.parameters() if not value.stop_gradient]
        self._norms = batch_norms(model)
        self._overlap = overlap and group.size > 1
        group.wait("model")
        if self._overlap:
            self.model = paddle.DataParallel(model, find_unused_parameters=True)
        elif group.size > 1:
            sync_params_buffers(model)

    def micro_step(self, *, last: bool) -> AbstractContextManager[None]:
        """Surrounds forward and backward of one micro-batch.

        Args:
            last: Whether it is the last one before the update.
        """
        if self._overlap and not last:
            context: AbstractContextManager[None] = self.model.no_sync()
            return context
        return nullcontext()

    def finish(self) -> None:
        """Completes the gradients after the last micro-batch.

        Raises:
            PeerError: Another process has failed.
        """
        if self._group.size == 1 or self._overlap:
            return
        self._group.wait("gradients")
        self._complete()
        gradients = [value.grad for value in self._parameters if value.grad is not None]
        # A frozen layer's statistics are the same everywhere already.
        statistics = [value for one in self._norms if one.training for value in (one._mean, one._variance)]
        with paddle.no_grad():
            _average([*gradients, *statistics], self._group)

    def _complete(self) -> None:
        """Zeros for a gradient that another process has and this one lacks; all must send the same ones.

        Gradients of transposed parameters, which lie crosswise in memory, are put in order.
        """
        found = self._group.any(*[value.grad is not None for value in self._parameters])
        for value, anywhere in zip(self._parameters, found, strict=True):
            if anywhere and value.grad is None:
                value.grad = paddle.zeros_like(value)
            elif anywhere and not value.grad.is_contiguous():
                value.grad = value.grad.contiguous()


def synchronise_batch_norm(model: nn.Layer, group: Group) -> nn.Layer:
    """Makes batch norm take its statistics over all processes, where the framework can: on GPUs.

    Args:
        model: Its layers are replaced, its parameters and the names of its state are not.
        group: The processes.

    Returns:
        The model to use instead.
    """
    if group.size == 1 or not any(isinstance(layer, nn.BatchNorm2D) for layer in model.sublayers()):
        return model
    if paddle.get_device() == "cpu":
        if group.is_main:
            get_logger(__name__).info(
                "Batch norm: each process uses the statistics of its own images "
                "(there is no synchronised batch norm on CPU)"
            )
        return model
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _pieces(tensors: Iterable[paddle.Tensor]) -> Iterator[list[paddle.Tensor]]:
    """One-dimensional views of the tensors, at most a message's values together, all of one type.

    The order is the same in every process.
    """
    by_type: dict[object, list[paddle.Tensor]] = {}
    rooms: dict[object, int] = {}
    for tensor in tensors:
        # Views of what is contiguous; of a tensor without axes, flatten gives a copy.
        flat, kind = tensor.flatten() if tensor.ndim else tensor.unsqueeze(0), tensor.dtype
        start = 0
        while start < flat.size:
            room = rooms.get(kind) or _MESSAGE_VALUES
            piece = flat[start : start + room]
            by_type.setdefault(kind, []).append(piece)
            start, rooms[kind] = start + piece.size, room - piece.size
            if not rooms[kind]:
                yield by_type.pop(kind)
    yield from by_type.values()


def _average(tensors: Iterable[paddle.Tensor], group: Group) -> None:
    """Replaces the values of the tensors by their means over the processes."""
    buffers: dict[object, paddle.Tensor] = {}  # one a type: fresh memory costs more than the copying
    for message in _pieces(tensors):
        kind = message[0].dtype
        if kind not in buffers:
            buffers[kind] = paddle.empty([_MESSAGE_VALUES], dtype=kind)
        _average_message(message, buffers[kind], group)


def _average_message(message: list[paddle.Tensor], buffer: paddle.Tensor, group: Group) -> None:
    ends = list(accumulate(piece.size for piece in message))
    places = [buffer[end - piece.size : end] for end, piece in zip(ends, message, strict=True)]
    for piece, place in zip(message, places, strict=True):
        paddle.assign(piece, place)
    travelling = buffer[: ends[-1]]
    with group.exchange():
        framework.all_reduce(travelling)
    travelling.scale_(1 / group.size)
    for piece, place in zip(message, places, strict=True):
        paddle.assign(place, piece)

"""One set of gradients for all processes: the mean over their shares of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import paddle
from paddle import distributed as framework
from paddle import nn
from paddle.distributed.parallel import sync_params_buffers

from paddleseg.engine.group import Group
from paddleseg.log import get_logger
from paddleseg.models.layers import batch_norms

__all__ = ["GradientSync", "synchronise_batch_norm"]

_BUCKET_VALUES = 2**24  # values that travel in one message: 64 MiB of float32


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
            for bucket in _buckets([*gradients, *statistics]):
                _average(bucket, self._group)

    def _complete(self) -> None:
        """Zeros for a gradient that another process has and this one lacks; all must send the same ones."""
        found = self._group.any(*[value.grad is not None for value in self._parameters])
        for value, anywhere in zip(self._parameters, found, strict=True):
            if anywhere and value.grad is None:
                value.grad = paddle.zeros_like(value)


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


def _buckets(tensors: list[paddle.Tensor]) -> Iterator[list[paddle.Tensor]]:
    """Tensors of one type that travel together, in the same order everywhere."""
    by_type: dict[object, list[paddle.Tensor]] = {}
    sizes: dict[object, int] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor)
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
        if sizes[tensor.dtype] >= _BUCKET_VALUES:
            sizes[tensor.dtype] = 0
            yield by_type.pop(tensor.dtype)
    yield from by_type.values()


def _average(bucket: list[paddle.Tensor], group: Group) -> None:
    flat = paddle.concat([value.flatten() for value in bucket])
    with group.exchange():
        framework.all_reduce(flat)
    flat /= group.size
    for value, mean in zip(bucket, flat.split([value.size for value in bucket]), strict=True):
        paddle.assign(mean.reshape(value.shape), value)

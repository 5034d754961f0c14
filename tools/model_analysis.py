"""What each layer of a model costs: parameters, multiply-adds, time and memory."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle import nn

from paddleseg.models.cost import own_multiply_adds
from paddleseg.models.modes import evaluation_mode

__all__ = ["LayerCost", "analyse"]


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs with all that is in it, in one forward pass of the model in evaluation mode.

    Attributes:
        name: Its path in the model; empty for the model itself.
        type: Name of its class.
        depth: Layers around it.
        calls: How often the pass calls it; 0 for parts that only training uses.
        output_shape: Of the first tensor of the last call.
        parameters: Trainable scalars.
        parameter_bytes: Bytes of these and of what is kept besides, such as batch-norm statistics.
        multiply_adds: Of convolutions, linear layers and attention products.
        milliseconds: Median over the passes.
        output_bytes: Of all tensors that layers return, in all calls. One that is handed on unchanged counts
            once; tensors that a layer makes inside and drops are not seen.
    """

    name: str
    type: str
    depth: int
    calls: int
    output_shape: list[int] | None
    parameters: int
    parameter_bytes: int
    multiply_adds: int
    milliseconds: float
    output_bytes: int

    @property
    def flops(self) -> int:
        """Floating-point operations, two for each multiply-add."""
        return 2 * self.multiply_adds

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**dataclasses.asdict(self), "flops": self.flops}


@dataclass
class _Seen:
    """What the hooks saw of a layer itself."""

    calls: int = 0
    output_shape: list[int] | None = None
    multiply_adds: int = 0
    output_bytes: int = 0
    seconds: list[float] = field(default_factory=list)


def analyse(model: nn.Layer, input_shape: Sequence[int], *, repeats: int = 5) -> list[LayerCost]:
    """Runs a model and measures its layers.

    The first pass counts, and warms up; ``repeats`` more are timed.

    Args:
        model: Any layer called on one tensor. It is left in the modes it was in.
        input_shape: Shape of that tensor, N×C×H×W.
        repeats: Timed passes.

    Returns:
        The model, then its layers in the order of definition.
    """
    layers = dict(model.named_sublayers(include_self=True))
    seen = {id(layer): _Seen() for layer in layers.values()}
    image = paddle.rand(list(input_shape))
    with evaluation_mode(model), paddle.no_grad():
        with _counting(layers, seen):
            model(image)
        with _timing(layers, seen) as next_pass:
            for _ in range(repeats):
                next_pass()
                model(image)
    return [_sum_up(name, layer, seen) for name, layer in layers.items()]


@contextmanager
def _counting(layers: dict[str, nn.Layer], seen: dict[int, _Seen]) -> Iterator[None]:
    last: list[paddle.Tensor] = []  # what the latest layer returned: a layer around it may hand it on

    def count(layer: nn.Layer, _: object, output: object) -> None:
        one, tensors = seen[id(layer)], list(_tensors(output))
        one.calls += 1
        if tensors:
            one.output_shape = list(tensors[0].shape)
        if isinstance(output, paddle.Tensor):
            one.multiply_adds += own_multiply_adds(layer, output)
        new = [tensor for tensor in tensors if not any(tensor is known for known in last)]
        one.output_bytes += sum(_bytes(tensor) for tensor in new)
        last[:] = tensors

    handles = [layer.register_forward_post_hook(count) for layer in layers.values()]
    try:
        yield
    finally:
        last.clear()
        for handle in handles:
            handle.remove()


@contextmanager
def _timing(layers: dict[str, nn.Layer], seen: dict[int, _Seen]) -> Iterator[Callable[[], None]]:
    """Gives what begins another pass. On a GPU each layer waits until its work is done."""
    started: list[float] = []

    def next_pass() -> None:
        for one in seen.values():
            one.seconds.append(0.0)

    def start(layer: nn.Layer, _: object) -> None:
        _wait_for_gpu()
        started.append(time.perf_counter())

    def stop(layer: nn.Layer, _: object, output: object) -> None:
        _wait_for_gpu()
        seen[id(layer)].seconds[-1] += time.perf_counter() - started.pop()

    handles = [layer.register_forward_pre_hook(start) for layer in layers.values()]
    handles += [layer.register_forward_post_hook(stop) for layer in layers.values()]
    try:
        yield next_pass
    finally:
        for handle in handles:
            handle.remove()


def _wait_for_gpu() -> None:
    if not paddle.device.get_device().startswith("cpu"):
        paddle.device.synchronize()


def _tensors(output: object) -> Iterator[paddle.Tensor]:
    if isinstance(output, paddle.Tensor):
        yield output
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))
    elif isinstance(output, list | tuple):
        for one in output:
            yield from _tensors(one)


def _bytes(tensor: paddle.Tensor) -> int:
    return math.prod(tensor.shape) * tensor.element_size()


def _sum_up(name: str, layer: nn.Layer, seen: dict[int, _Seen]) -> LayerCost:
    inside = [seen[id(one)] for one in layer.sublayers(include_self=True)]
    own = seen[id(layer)]
    kept = {id(value): value for value in [*layer.parameters(), *layer.buffers()]}.values()
    trained = [value for value in layer.parameters() if not value.stop_gradient]
    return LayerCost(
        name=name,
        type=type(layer).__name__,
        depth=name.count(".") + 1 if name else 0,
        calls=own.calls,
        output_shape=own.output_shape,
        parameters=sum(math.prod(value.shape) for value in trained),
        parameter_bytes=sum(_bytes(value) for value in kept),
        multiply_adds=sum(one.multiply_adds for one in inside),
        milliseconds=1000 * statistics.median(own.seconds) if own.seconds else 0.0,
        output_bytes=sum(one.output_bytes for one in inside),
    )

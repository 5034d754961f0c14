"""Counts a model's multiply-adds and parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import paddle
from paddle import nn

from paddleseg.models.layers import CrissCrossAttention
from paddleseg.models.modes import evaluation_mode

__all__ = ["Cost", "measure_cost", "own_multiply_adds"]

_COUNTED = (nn.Conv2D, nn.Linear, CrissCrossAttention)


@dataclass(frozen=True)
class Cost:
    """What one forward pass costs.

    Attributes:
        convolution: Multiply-adds of convolutions and linear layers.
        attention: Multiply-adds of attention products (logits and weighted sums).
        trainable: Trainable scalars of the whole model.
        buffers: Scalars that are kept but not trained (batch-norm statistics).
    """

    convolution: int
    attention: int
    trainable: int
    buffers: int

    @property
    def multiply_adds(self) -> int:
        return self.convolution + self.attention

    @property
    def flops(self) -> int:
        """Floating-point operations, two for each multiply-add."""
        return 2 * self.multiply_adds


def own_multiply_adds(layer: nn.Layer, output: paddle.Tensor) -> int:
    """Counts what one call of a layer computes itself, without its sub-layers.

    Args:
        layer: Any layer; 0 of those that are not counted.
        output: What the call returned, N×C×H×W; of a linear layer any shape.

    Returns:
        Multiply-adds.
    """
    if isinstance(layer, nn.Conv2D):  # weight: [out, in / groups, kh, kw]
        return math.prod(output.shape) * math.prod(layer.weight.shape[1:])
    if isinstance(layer, nn.Linear):  # weight: [in, out]
        return math.prod(output.shape) * layer.weight.shape[0]
    if isinstance(layer, CrissCrossAttention):
        batch, channels, height, width = output.shape
        positions = height + width - 1
        query_channels = layer.q_conv.weight.shape[0]
        return batch * height * width * positions * (channels + query_channels)
    return 0


def measure_cost(model: nn.Layer, input_shape: Sequence[int]) -> Cost:
    """Runs the model once in evaluation mode and counts.

    Element-wise layers, pooling and resizing are not counted: papers leave them out.

    Args:
        model: Any layer called on one tensor.
        input_shape: Shape of that tensor, N×C×H×W.

    Returns:
        The cost; the model is left in the modes it was in.
    """
    counted = {"convolution": 0, "attention": 0}

    def count(layer: nn.Layer, _: object, output: paddle.Tensor) -> None:
        kind = "attention" if isinstance(layer, CrissCrossAttention) else "convolution"
        counted[kind] += own_multiply_adds(layer, output)

    handles = [
        layer.register_forward_post_hook(count)
        for layer in model.sublayers(include_self=True)
        if isinstance(layer, _COUNTED)
    ]
    try:
        with evaluation_mode(model), paddle.no_grad():
            model(paddle.zeros(list(input_shape)))
    finally:
        for handle in handles:
            handle.remove()

    trainable = sum(math.prod(p.shape) for p in model.parameters() if not p.stop_gradient)
    total = sum(math.prod(value.shape) for value in model.state_dict().values())
    return Cost(trainable=trainable, buffers=total - trainable, **counted)

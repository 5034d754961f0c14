"""CCNet's mathematics once more, in NumPy and float64: what the networks are compared with.

Networks are functions of a state dict, which names the layers as the published weights do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

State = Mapping[str, np.ndarray]


def randomise(layer: nn.Layer, seed: int) -> dict[str, np.ndarray]:
    """Gives every tensor of a layer a value that leaves its mark; returns them in float64."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, tensor in layer.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("gamma"):
            value = np.array([0.7])
        elif len(shape) == 4:
            value = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("_variance") or "norm.weight" in name:
            value = rng.uniform(0.6, 1.4, shape)
        else:
            value = rng.normal(size=shape) * 0.2
        state[name] = value.astype("float32").astype("float64")  # a number that both can hold
        tensor.set_value(paddle.to_tensor(state[name], dtype=tensor.dtype))
    return state


def convolve(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """Sum over the kernel's taps of the shifted, zero-padded image."""
    side = weight.shape[2]
    height, width = x.shape[2:]
    pad = dilation * (side // 2)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    total: np.ndarray | float = 0.0
    for i in range(side):
        for j in range(side):
            top, left = i * dilation, j * dilation
            tap = padded[:, :, top : top + height : stride, left : left + width : stride]
            total = total + np.einsum("oc,nchw->nohw", weight[:, :, i, j], tap, optimize=True)
    return total if bias is None else total + bias[:, None, None]


def normalise(x: np.ndarray, state: State, name: str) -> np.ndarray:
    """Batch norm with the running statistics."""
    weight, bias, mean, variance = (
        state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "_mean", "_variance")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def unit(
    x: np.ndarray, state: State, name: str, stride: int = 1, dilation: int = 1, slope: float | None = 0.0
) -> np.ndarray:
    """Convolution, batch norm, (leaky) ReLU with that slope or, for None, nothing."""
    bias = state.get(f"{name}._conv.bias")
    y = convolve(x, state[f"{name}._conv.weight"], bias, stride, dilation)
    y = normalise(y, state, f"{name}._batch_norm")
    return y if slope is None else np.where(y > 0, y, slope * y)


def pool_max(x: np.ndarray) -> np.ndarray:
    """3×3 maximum, stride 2, padding 1."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    taps = [padded[:, :, i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
    return np.max(taps, axis=0)


def pool_average(x: np.ndarray) -> np.ndarray:
    """2×2 mean, stride 2; windows over the edge average what they hold."""
    rows = [slice(i, i + 2) for i in range(0, x.shape[2], 2)]
    columns = [slice(j, j + 2) for j in range(0, x.shape[3], 2)]
    means = [[x[:, :, row, column].mean(axis=(2, 3)) for column in columns] for row in rows]
    return np.array(means).transpose(2, 3, 0, 1)


def resnet_vd(
    x: np.ndarray,
    state: State,
    *,
    depths: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[Sequence[int]],
    prefix: str = "",
) -> list[np.ndarray]:
    """The four feature maps. ``dilations`` holds one number per block of every stage."""
    x = unit(x, state, f"{prefix}conv1_1", stride=2)
    x = unit(unit(x, state, f"{prefix}conv1_2"), state, f"{prefix}conv1_3")
    x = pool_max(x)
    features = []
    for stage, depth in enumerate(depths):
        for i in range(depth):
            name = f"{prefix}bb_{stage}_{i}"
            stride = strides[stage] if i == 0 else 1
            x = _residual_block(x, state, name, stride, dilations[stage][i])
        features.append(x)
    return features


def _residual_block(x: np.ndarray, state: State, name: str, stride: int, dilation: int) -> np.ndarray:
    if f"{name}.conv2._conv.weight" in state:
        y = unit(x, state, f"{name}.conv0")
        y = unit(y, state, f"{name}.conv1", stride, dilation)
        y = unit(y, state, f"{name}.conv2", slope=None)
    else:
        y = unit(x, state, f"{name}.conv0", stride, dilation)
        y = unit(y, state, f"{name}.conv1", 1, dilation, slope=None)
    if f"{name}.short._conv.weight" in state:
        x = pool_average(x) if stride == 2 else x
        x = unit(x, state, f"{name}.short", slope=None)
    return np.maximum(x + y, 0.0)


class Attended(NamedTuple):
    """What criss-cross attention computed at one pixel."""

    pixel: tuple[int, int, int]  # image, row, column
    keys: list[tuple[int, int]]  # the H+W−1 positions
    weights: np.ndarray


def criss_cross(
    x: np.ndarray, state: State, prefix: str = ""
) -> tuple[np.ndarray, np.ndarray, list[Attended]]:
    """Criss-cross attention, pixel by pixel.

    Returns:
        The output, the context Σ A·V without gamma, and what every pixel attended to.
    """
    query, key, value = (
        convolve(x, state[f"{prefix}{part}_conv.weight"], state[f"{prefix}{part}_conv.bias"])
        for part in "qkv"
    )
    context, attended = np.zeros_like(x), []
    batch, _, height, width = x.shape
    for n, i, j in np.ndindex(batch, height, width):
        keys = [(row, j) for row in range(height)] + [(i, column) for column in range(width) if column != j]
        logits = np.array([query[n, :, i, j] @ key[n, :, row, column] for row, column in keys])
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        for weight, (row, column) in zip(weights, keys, strict=True):
            context[n, :, i, j] += weight * value[n, :, row, column]
        attended.append(Attended((n, i, j), keys, weights))
    return state[f"{prefix}gamma"][0] * context + x, context, attended


def fcn_head(x: np.ndarray, state: State, name: str) -> np.ndarray:
    x = unit(x, state, f"{name}.conv_bn_relu")
    return convolve(x, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"])


def rcca_head(x: np.ndarray, state: State, name: str, recurrence: int) -> np.ndarray:
    context = unit(x, state, f"{name}.conva", slope=0.01)
    for _ in range(recurrence):
        context, _, _ = criss_cross(context, state, f"{name}.cca.")
    context = unit(context, state, f"{name}.convb", slope=0.01)
    return fcn_head(np.concatenate([x, context], axis=1), state, f"{name}.out")


def enlarge(x: np.ndarray, size: tuple[int, int], *, align_corners: bool) -> np.ndarray:
    """Bilinear, pixel by pixel; half-pixel centres unless the corners are aligned."""
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        if align_corners:
            place = np.arange(new) * ((old - 1) / max(new - 1, 1))
        else:
            place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, None)
        low = np.minimum(np.floor(place).astype(int), old - 1)
        high = np.minimum(low + 1, old - 1)
        share = (place - low).reshape([-1 if k == axis else 1 for k in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x

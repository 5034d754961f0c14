"""The same inputs, and the same way to time them, for every system that a task measures.

NumPy alone at the top: PyTorch's interpreter imports this file, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import Memory, report, time_calls

CLASSES, IGNORE = 19, 255
WINDOW, STRIDE = 512, 384


def align_corners(size: Sequence[int]) -> bool:
    """As the configs: sizes of 8n + 1 keep their corners."""
    return all(side % 8 == 1 for side in size)


def training_batch(parameters: dict[str, Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns normalised noise, N×3×H×W, and labels in blocks, N×H×W, a tenth of them ignored."""
    height, width = parameters["size"]
    generator = np.random.default_rng(0)
    images = generator.standard_normal((parameters["batch"], 3, height, width), dtype=np.float32) * 0.5
    labels = np.stack([_blocks(generator, (height, width)) for _ in range(parameters["batch"])])
    return images, labels.astype(np.int64)


def label_pair(size: Sequence[int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Returns a prediction and a label, H×W: equal but for every seventh row and the ignored pixels."""
    label = _blocks(np.random.default_rng(1), size)
    prediction = np.where(label == IGNORE, 0, label).astype(np.uint8)
    prediction[::7] = (prediction[::7] + 1) % CLASSES
    return prediction, label


def _blocks(generator: np.random.Generator, size: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Class ids in blocks of 16×16 pixels, as streets have regions rather than noise."""
    height, width = size
    coarse = generator.integers(0, CLASSES, (-(-height // 16), -(-width // 16)), dtype=np.uint8)
    coarse[generator.random(coarse.shape) < 0.1] = IGNORE
    return np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])


def attention_arrays(
    channels: int, size: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], dict[str, npt.NDArray[np.float32]]]:
    """Returns the input and the gradient of the output, 1×C×H×W, and the layer's parameters by name."""
    generator = np.random.default_rng(0)
    shape = (1, channels, *size)
    x, gradient = (generator.standard_normal(shape, dtype=np.float32) for _ in range(2))
    weights = {"gamma": np.array([0.5], np.float32)}
    for name, outputs in (("q_conv", channels // 8), ("k_conv", channels // 8), ("v_conv", channels)):
        kernel = generator.standard_normal((outputs, channels, 1, 1), dtype=np.float32)
        weights[f"{name}.weight"] = kernel / np.float32(np.sqrt(channels))
        weights[f"{name}.bias"] = np.zeros(outputs, np.float32)
    return x, gradient, weights


def time_paddle_attention(layer_type: Callable[[int], Any], parameters: dict[str, Any]) -> None:
    """Times forward and backward of a Paddle layer; the result is the input gradient's mean magnitude."""
    import paddle

    x, gradient, weights = attention_arrays(parameters["channels"], parameters["size"])
    layer = layer_type(parameters["channels"])
    layer.set_state_dict({name: paddle.to_tensor(value) for name, value in weights.items()})
    source, upstream = paddle.to_tensor(x, stop_gradient=False), paddle.to_tensor(gradient)
    memory = Memory()

    def call() -> None:
        source.clear_gradient(set_to_zero=False)
        layer.clear_gradients()
        paddle.autograd.backward([layer(source)], [upstream])

    seconds = time_calls(call, times=parameters["times"])
    report(seconds, memory, result=float(source.grad.abs().mean().item()))


def time_paddle_loss(compute: Callable[[list[Any], Any], Any], parameters: dict[str, Any]) -> None:
    """Times a loss of two N×19×H×W logits, forward and backward."""
    import paddle

    height, width = parameters["size"]
    shape = (parameters["batch"], CLASSES, height, width)
    generator = np.random.default_rng(3)
    logits = [
        paddle.to_tensor(generator.standard_normal(shape, dtype=np.float32) * 2, stop_gradient=False)
        for _ in range(2)
    ]
    labels = paddle.to_tensor(training_batch(parameters)[1])
    values: list[Any] = []
    memory = Memory()

    def call() -> None:
        for one in logits:
            one.clear_gradient(set_to_zero=False)
        total = compute(logits, labels)
        total.backward()
        values.append(total.item())

    report(time_calls(call, times=parameters["times"]), memory, result=values[-1])


def report_batches(loader: Iterable[Any], parameters: dict[str, Any]) -> None:
    """Reports seconds a sample, one figure for all batches: prefetched ones come at once, others wait."""
    batches, memory = parameters["batches"], Memory()
    batches_of = iter(loader)
    for _ in range(parameters["warm_up"]):
        next(batches_of)
    began = time.perf_counter()
    for _ in range(batches):
        next(batches_of)
    seconds = (time.perf_counter() - began) / (batches * parameters["batch"])
    memory.add_workers()  # before the loader ends them
    report([seconds], memory)


def large_image(size: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Returns a picture with regions, H×W×3."""
    return np.repeat(_blocks(np.random.default_rng(2), size)[..., None], 3, axis=2)


def normalise(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """H×W×3 bytes → 1×3×H×W in [−1, 1]."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
    planes /= np.float32(127.5)
    planes -= np.float32(1)
    return planes


def small_paddle_network() -> Any:
    """A network that costs next to nothing, so that what remains is the work around it."""
    import paddle
    from paddle import nn

    class Small(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(3, CLASSES, 8, stride=8)

        def forward(self, x: Any) -> list[Any]:
            logits = self.conv(x)
            return [nn.functional.interpolate(logits, x.shape[2:], mode="bilinear")]

    paddle.seed(0)
    network = Small()
    network.eval()
    return network

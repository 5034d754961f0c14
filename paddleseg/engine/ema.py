"""Exponential moving average of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt
import paddle
from paddle import Tensor, nn

__all__ = ["ModelEma"]


class ModelEma:
    """Averages a model's weights and floating buffers (BN statistics) over the steps; no second network.

    ``e ← d·e + (1 − d)·w`` with ``d = min(decay, 1 − 1 / (iteration + 1))``, as in PaddleSeg's
    ``utils/ema.py``: the average begins at the initial weights and forgets them fast. Averages are float32
    also where the weights are float16 or bfloat16, in which a step of 0.001 would be lost.

    Args:
        model: Network in training. It must not be converted to another precision afterwards.
        decay: Largest part of the average that a step keeps, in [0, 1).

    Raises:
        ValueError: ``decay`` is outside its range.
    """

    def __init__(self, model: nn.Layer, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay={decay}: expected at least 0 and less than 1, such as 0.999")
        self._decay = decay
        # Hooks of state_dict, as mixed precision adds them, would give copies instead of the model's tensors.
        self._state: dict[str, Tensor] = model.state_dict(use_hook=False)
        self._tensors = {name: tensor for name, tensor in self._state.items() if tensor.is_floating_point()}
        with paddle.no_grad():
            # Flat: on the CPU Paddle's lerp_ is nine times as fast in one dimension as in four.
            self._averages = {name: _float32_copy(tensor).flatten() for name, tensor in self._tensors.items()}

    @paddle.no_grad()
    def update(self, iteration: int) -> None:
        """Takes in the weights after an optimiser step.

        Args:
            iteration: Steps done, this one included: at least 1.
        """
        decay = min(self._decay, 1 - 1 / (iteration + 1))
        for name, tensor in self._tensors.items():
            average = self._averages[name]
            average.lerp_(_as_type(tensor.detach().flatten(), average.dtype), 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the averages under the model's own names; integer buffers are the model's current ones.

        They share their memory with what :meth:`update` changes: save or copy them before.
        """
        return self._state | self._shaped_averages()

    @paddle.no_grad()
    def load(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores averages.

        Args:
            arrays: What :meth:`state_dict` gave: names, shapes and types fit. Integer buffers are not used.
        """
        for name, average in self._averages.items():
            average.set_value(arrays[name].reshape(-1))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averages; afterwards its own weights, bit by bit, also after errors."""
        with paddle.no_grad():
            own = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}
        try:
            self._fill(self._shaped_averages())
            yield
        finally:
            self._fill(own)

    def _shaped_averages(self) -> dict[str, Tensor]:
        return {name: self._averages[name].reshape(tensor.shape) for name, tensor in self._tensors.items()}

    @paddle.no_grad()
    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self._tensors.items():
            paddle.assign(_as_type(values[name], tensor.dtype), output=tensor)


def _float32_copy(tensor: Tensor) -> Tensor:
    """A copy of its own, in float32 or, where the tensor has it, float64."""
    dtype = tensor.dtype if tensor.dtype == paddle.float64 else paddle.float32
    return _as_type(tensor.detach().clone(), dtype)


def _as_type(tensor: Tensor, dtype: paddle.dtype) -> Tensor:
    """Paddle's cast copies even where there is nothing to change."""
    return tensor if tensor.dtype == dtype else tensor.cast(dtype)

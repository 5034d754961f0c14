"""Mixed precision: what is computed in 16 bits, and the loss scale that float16 needs.

Parameters stay in float32 at both levels. They are the master weights, so gradients, accumulation, averaged
weights and checkpoints are float32 too and resume exactly; nothing is decorated or cast back for saving.
What runs in 16 bits is decided operator by operator, as Paddle 3.3.1 does it (``paddle/amp/amp_lists.py``):
convolutions and matrix products always; at O1 sums, means, powers, exponentials, softmax and interpolation
never; at O2 only interpolation never. Every other operator follows its inputs, a float32 input wins. Batch
normalisation keeps its parameters and statistics in float32. The attention's logits and softmax, and the
logits that the losses get, are float32 at both levels by the models themselves.

Two things are absent because Paddle is: CPU kernels (:func:`check_precision` says so), and Paddle's own
``GradScaler`` on CPU, where it switches itself off. :class:`LossScale` works anywhere, so tests reach it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import paddle

from paddleseg.errors import CheckpointError, DeviceError

__all__ = ["LossScale", "Precision", "check_precision"]

Name = Literal["fp32", "bf16", "fp16"]
Level = Literal["O1", "O2"]

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
_MAX_SCALE = 2.0**24  # float32 losses and gradients stay far from overflow
# Compute capability of the first cards that have the kernels (paddle/amp/auto_cast.py).
_NEEDED_CAPABILITY = {"bf16": (8, 0), "fp16": (7, 0)}


def check_precision(name: Name, device: str) -> None:
    """Refuses a precision that the device cannot compute in; Paddle would go on in float32.

    Args:
        name: Precision of the config.
        device: Paddle's name of the device: ``cpu``, ``gpu:0``.

    Raises:
        DeviceError: The device has no such kernels.
    """
    if name == "fp32":
        return
    if not device.startswith("gpu"):
        raise DeviceError(
            f"precision {name} is not available on {device}: Paddle has no {_DTYPES[name]} kernels for "
            "training there; use --precision fp32, or an NVIDIA GPU with --device gpu"
        )
    capability = tuple(paddle.device.cuda.get_device_capability(device))
    needed = _NEEDED_CAPABILITY[name]
    if capability < needed:
        instead = "fp16" if name == "bf16" and capability >= _NEEDED_CAPABILITY["fp16"] else "fp32"
        raise DeviceError(
            f"precision {name} is not available on {device}: it needs compute capability {_dotted(needed)}, "
            f"this card has {_dotted(capability)}; use --precision {instead}"
        )


class LossScale:
    """Dynamic loss scaling (arXiv 1710.03740, section 3.2).

    The scale is a power of two from 1 to 2²⁴, so scaling and unscaling round nothing. At 1 there is nothing
    left to lower: that steps then go on overflowing is for the guard to see (:mod:`paddleseg.engine.guard`).

    Args:
        initial: Scale at the start, a power of two.
        growth_interval: Steps without overflow after which the scale doubles.

    Attributes:
        value: The scale.
        good_steps: Steps without overflow since it changed.
    """

    def __init__(self, *, initial: float = 2.0**16, growth_interval: int = 2000) -> None:
        assert _is_scale(initial)
        self.value = initial
        self.good_steps = 0
        self._growth_interval = growth_interval

    def grow(self) -> None:
        """Counts a step without overflow; doubles the scale when there were enough in a row."""
        self.good_steps += 1
        if self.good_steps >= self._growth_interval:
            self.value = min(self.value * 2, _MAX_SCALE)
            self.good_steps = 0

    def halve(self) -> None:
        """Halves the scale after an overflow."""
        self.value = max(self.value / 2, 1.0)
        self.good_steps = 0


class Precision:
    """How a run computes: the forward pass's numbers, and the scaling around backward.

    In ``fp32`` every method does nothing; in ``bf16``, which has float32's range, only :meth:`forward` acts.

    Args:
        name: ``fp32``, ``bf16`` or ``fp16``.
        level: ``O1``, or ``O2`` for 16 bits in sums and softmax too.
        loss_scale: Scale of the losses in ``fp16``.
    """

    def __init__(
        self, name: Name = "fp32", level: Level = "O1", *, loss_scale: LossScale | None = None
    ) -> None:
        self.name = name
        self.level = level
        self._scale = (loss_scale or LossScale()) if name == "fp16" else None

    @property
    def loss_scale(self) -> float | None:
        """The loss scale in ``fp16``, else None."""
        return None if self._scale is None else self._scale.value

    def autocast(self) -> AbstractContextManager[None]:
        """The context of the forward pass; neither losses nor backward belong inside."""
        if self.name == "fp32":
            return nullcontext()
        context: AbstractContextManager[None] = paddle.amp.auto_cast(
            level=self.level, dtype=_DTYPES[self.name]
        )
        return context

    def forward(self, model: Callable[[paddle.Tensor], list[Any]], images: paddle.Tensor) -> list[Any]:
        """Runs the model.

        Args:
            model: Network that returns a list of logits; an output may be a mapping of tensors instead, for a
                loss that takes one.
            images: N×C×H×W float32.

        Returns:
            Its outputs in float32, for the losses.
        """
        with self.autocast():
            outputs = model(images)
        return [
            {name: one.astype("float32") for name, one in output.items()}
            if isinstance(output, Mapping)
            else output.astype("float32")
            for output in outputs
        ]

    def scale(self, loss: paddle.Tensor) -> paddle.Tensor:
        """Returns the loss times the loss scale: what to call ``backward`` on."""
        return loss if self._scale is None else loss * self._scale.value

    def unscale_(self, parameters: Iterable[paddle.Tensor]) -> None:
        """Divides the gradients by the loss scale, in place: before clipping and before the finite check.

        Args:
            parameters: Those whose gradients one or several scaled losses have made.
        """
        if self._scale is None:
            return
        with paddle.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.scale_(1 / self._scale.value)

    def update(self, *, finite: bool) -> None:
        """Adjusts the loss scale after a step.

        Args:
            finite: Whether all gradients of all processes were finite. If not, the step must be left out.
        """
        if self._scale is None:
            return
        if finite:
            self._scale.grow()
        else:
            self._scale.halve()

    def state_dict(self) -> dict[str, float | int]:
        """What a checkpoint keeps: the scale and its count in ``fp16``, else nothing. Exact in JSON."""
        if self._scale is None:
            return {}
        return {"loss_scale": self._scale.value, "good_steps": self._scale.good_steps}

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Goes on from a checkpoint.

        Args:
            state: What :meth:`state_dict` gave.

        Raises:
            CheckpointError: It is of a run in another precision, or damaged.
        """
        if set(state) != set(self.state_dict()):
            raise CheckpointError(
                f"state of the loss scale: expected {sorted(self.state_dict()) or 'nothing'} for "
                f"precision {self.name}, got {sorted(state) or 'nothing'}; resume with the precision that "
                "the checkpoint was written in"
            )
        if self._scale is None:
            return
        value, good_steps = float(state["loss_scale"]), int(state["good_steps"])
        if not _is_scale(value) or good_steps < 0:
            raise CheckpointError(
                f"state of the loss scale: expected a power of two up to {_MAX_SCALE:g} and a count, "
                f"got {dict(state)}; resume from an earlier checkpoint"
            )
        self._scale.value, self._scale.good_steps = value, good_steps


def _is_scale(value: float) -> bool:
    return 1 <= value <= _MAX_SCALE and math.frexp(value)[0] == 0.5


def _dotted(capability: Iterable[int]) -> str:
    return ".".join(map(str, capability))

"""Several losses on the same logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paddle
from paddle import Tensor

from paddleseg.registry import LOSSES

__all__ = ["Loss", "MixedLoss", "loss_terms", "term_names"]

Loss = Callable[[Any, Tensor], Tensor]


@LOSSES.register
class MixedLoss:
    """The weighted sum of several losses on one output of the model.

    Args:
        losses: The losses, called with (logits, labels); they may be mixed ones themselves.
        coef: One factor a loss.

    Raises:
        ValueError: There is no loss, or the two lists differ in length.
    """

    def __init__(self, losses: Sequence[Loss], coef: Sequence[float]) -> None:
        if not losses or len(losses) != len(coef):
            raise ValueError(
                f"coef: got {len(coef)} factors for {len(losses)} losses; expected one a loss, at least one"
            )
        self.losses = tuple(losses)
        self.coef = tuple(float(factor) for factor in coef)

    def __call__(self, logits: Any, labels: Tensor) -> Tensor:
        """Computes the sum.

        Args:
            logits: N×C×H×W, any float type; or what else the losses take.
            labels: N×H×W int64.

        Returns:
            A float32 scalar.
        """
        return paddle.add_n(loss_terms(self, logits, labels))


def loss_terms(loss: Loss, logits: Any, labels: Tensor) -> list[Tensor]:
    """The terms whose sum is the loss, each with its factor: one, or those of a :class:`MixedLoss`."""
    if not isinstance(loss, MixedLoss):
        return [loss(logits, labels)]
    return [
        term * factor
        for part, factor in zip(loss.losses, loss.coef, strict=True)
        for term in loss_terms(part, logits, labels)
    ]


def term_names(loss: Loss) -> list[str]:
    """The type of each term, in the order of :func:`loss_terms`."""
    if not isinstance(loss, MixedLoss):
        return [getattr(loss, "__name__", type(loss).__name__)]
    return [name for part in loss.losses for name in term_names(part)]

"""Learning from a teacher: a trained model whose predictions a student learns beside the labels."""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle import nn

from paddleseg.build_teacher import build_teacher
from paddleseg.config.config import Config
from paddleseg.data.loader import TrainBatch
from paddleseg.engine.precision import Precision
from paddleseg.losses.combine import LossValues

__all__ = ["Teacher", "make_teacher"]


class Teacher:
    """Adds to the losses of a step how far the student's main output is from the teacher's.

    The teacher is in evaluation mode, gets no gradient, and is no part of the student's checkpoints.

    Args:
        model: Trained network; what it returns first are its logits.
        loss: Compares (student's logits, teacher's logits, labels).
        coef: The loss's factor.
    """

    def __init__(self, model: nn.Layer, loss: Callable[..., paddle.Tensor], coef: float) -> None:
        model.eval()
        self._model, self._loss, self._coef = model, loss, coef

    def teach(
        self, losses: LossValues, logits: paddle.Tensor, batch: TrainBatch, precision: Precision
    ) -> LossValues:
        """Adds the loss of one batch.

        Args:
            losses: What the student learns from the labels.
            logits: Its main output, N×C×H×W.
            batch: What it has seen; the teacher sees the same.
            precision: What the forward pass computes in.

        Returns:
            The losses with one part more, named by the loss's type.
        """
        with paddle.no_grad():
            target = precision.forward(self._model, batch.images)[0]
        term = self._coef * self._loss(logits, target, batch.labels)
        name = getattr(self._loss, "__name__", type(self._loss).__name__)
        return LossValues(losses.total + term, {**losses.parts, name: term.detach()})


def make_teacher(config: Config) -> Teacher | None:
    """Builds the teacher that a configuration names. This may draw random numbers.

    Args:
        config: Checked configuration, of the student.

    Returns:
        The teacher, or None where there is no ``distill_loss``.

    Raises:
        ConfigError: The loss compares no models, or the teacher's configuration or weights do not fit.
    """
    built = build_teacher(config)
    if built is None or config.settings.distill_loss is None:
        return None
    return Teacher(*built, coef=float(config.settings.distill_loss.coef[0]))

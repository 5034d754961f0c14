"""Kullback-Leibler divergence: a student's predictions learn from a teacher's."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from paddleseg.errors import ConfigError
from paddleseg.losses import functional
from paddleseg.losses.base import check_above, check_ignore_index
from paddleseg.registry import LOSSES

__all__ = ["KLLoss", "kl_divergence"]


def kl_divergence(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """How far the student's class probabilities are from the teacher's, for every pixel.

    Args:
        student: N×C×H×W logits, any float type.
        teacher: Logits of the same shape; they get no gradient.
        temperature: Both logits are divided by it.

    Returns:
        N×H×W float32: Σ q·(log q − log p) over the classes, q the teacher's probabilities.
    """
    p = functional.as_float32(student) / temperature
    q = functional.as_float32(teacher.detach()) / temperature
    # log q − log p = (q − p) − (their normalisers); Paddle's log_softmax stops at −64 on the CPU (3.3.1).
    apart = (F.softmax(q, axis=1) * (q - p)).sum(axis=1)
    return apart - functional.log_sum_exp(q) + functional.log_sum_exp(p)


@LOSSES.register
class KLLoss:
    """Kullback-Leibler divergence of a student from its teacher, averaged over classes and valid pixels.

    It is multiplied by the temperature's square, so that its gradient keeps its size. Source: Hinton et al.
    (arXiv 1503.02531), section 2; PaddleSeg's ``KLLoss``. It compares two models and so stands in
    ``distill_loss``, not in ``loss``.

    Args:
        ignore_index: The label of pixels that do not count.
        temperature: Divides the logits, above 0: a higher one lets unlikely classes count for more.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, ignore_index: int = 255, temperature: float = 1.0) -> None:
        self.ignore_index = check_ignore_index(ignore_index)
        self.temperature = check_above("temperature", temperature, 0)

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
        """Computes the loss.

        Args:
            student: N×C×H×W logits, any float type.
            teacher: Logits of the same shape; they get no gradient.
            labels: N×H×W int64, of which only ``ignore_index`` matters; without them every pixel counts.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.

        Raises:
            ConfigError: The logits differ in shape.
            ValueError: The labels do not fit.
        """
        if list(student.shape) != list(teacher.shape):
            raise ConfigError(
                f"KLLoss: got a teacher's logits of shape {list(teacher.shape)}; expected the student's, "
                f"{list(student.shape)}: give two models with the same classes, and this loss to "
                "distill_loss, not to loss"
            )
        loss = kl_divergence(student, teacher, temperature=self.temperature)
        if labels is None:
            valid = paddle.ones_like(loss, dtype="bool")
        else:
            valid = functional.as_labels(labels, student) != self.ignore_index
        return functional.valid_mean(loss, valid) * (self.temperature**2 / student.shape[1])

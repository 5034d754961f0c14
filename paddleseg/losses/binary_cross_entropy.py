"""Binary cross-entropy: a yes or no for every class, or for the edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import paddle
from paddle import Tensor

from paddleseg.errors import ConfigError
from paddleseg.losses import functional
from paddleseg.losses.base import check_above, check_ignore_index, check_weight, match_weight
from paddleseg.losses.functional_binary import balance, binary_cross_entropy, binary_truth
from paddleseg.losses.functional_boundary import edge_pixels
from paddleseg.registry import LOSSES

__all__ = ["BCELoss"]

EDGE_RADIUS = 2


@LOSSES.register
class BCELoss:
    """Binary cross-entropy of a sigmoid for every class, averaged over classes and valid pixels.

    The logits of one channel are those of class 1. ``"dynamic"`` weighs the pixels of the classes with
    2·noes/all, and with ``weight`` the others with 2·yeses/all, counted over the batch's valid pixels.
    Source: PaddleSeg's ``BCELoss``, whose counts take in ignored pixels. Its ``weight`` may also be
    a tensor with a number for every image, which no configuration can hold.

    Args:
        weight: ``"dynamic"``, or one weight a class; the divisor stays the number of pixels and classes.
        pos_weight: Factor of the pixels that belong to a class, above 0, or ``"dynamic"``.
        ignore_index: The label of pixels that do not count.
        edge_label: Learn the edges instead, from logits of one channel: the pixels with another class within
            2 pixels. The source gets them from the data set and takes ignored pixels and the image's border
            for another class; here they make no edge.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        weight: Literal["dynamic"] | Sequence[float] | None = None,
        pos_weight: Literal["dynamic"] | float | None = None,
        ignore_index: int = 255,
        edge_label: bool = False,
    ) -> None:
        self.balanced = _is_dynamic("weight", weight)
        self.weight = None if isinstance(weight, str) else check_weight(weight)
        self.balanced_pos = _is_dynamic("pos_weight", pos_weight)
        self.pos_weight = 1.0
        if pos_weight is not None and not isinstance(pos_weight, str):
            self.pos_weight = check_above("pos_weight", pos_weight, 0)
        self.ignore_index = check_ignore_index(ignore_index)
        self.edge_label = edge_label

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            logits: N×C×H×W, any float type.
            labels: N×H×W int64, class ids or ``ignore_index``.

        Returns:
            A float32 scalar; 0 when every pixel is ignored.

        Raises:
            ConfigError: ``weight`` or ``edge_label`` does not fit the number of channels.
        """
        labels = functional.as_labels(labels, logits)
        valid = labels != self.ignore_index
        truth = self._truth(labels, logits.shape[1])
        loss = binary_cross_entropy(logits, truth)
        if self.balanced or self.balanced_pos or self.pos_weight != 1.0:
            loss = loss * self._factor(truth, valid)
        if self.weight is not None:
            weight = match_weight(self.weight, logits.shape[1], self)
            loss = loss * paddle.to_tensor(weight, dtype="float32").reshape([1, -1, 1, 1])
        return functional.valid_mean(loss, valid)

    def _truth(self, labels: Tensor, channels: int) -> Tensor:
        if not self.edge_label:
            return binary_truth(labels, channels, ignore_index=self.ignore_index)
        if channels != 1:
            raise ConfigError(
                f"BCELoss.edge_label: got an output of {channels} channels; expected 1: give this loss to "
                "the output for edges, or remove edge_label"
            )
        return edge_pixels(labels, radius=EDGE_RADIUS, ignore_index=self.ignore_index).unsqueeze(1)

    def _factor(self, truth: Tensor, valid: Tensor) -> Tensor:
        """The factor of every logit, N×C×H×W."""
        yes, no = balance(truth, valid)
        of_yes = paddle.full([], self.pos_weight)
        of_yes = of_yes * yes if self.balanced else of_yes
        of_yes = of_yes * yes if self.balanced_pos else of_yes
        return paddle.where(truth, of_yes, no if self.balanced else paddle.ones([]))


def _is_dynamic(name: str, value: object) -> bool:
    if isinstance(value, str) and value != "dynamic":
        raise ValueError(f"{name}: got {value!r}; expected 'dynamic' or numbers")
    return value == "dynamic"

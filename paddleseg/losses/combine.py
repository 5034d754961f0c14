"""The training loss: one loss for each output of the model, weighted, with the terms named for the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor

from paddleseg.errors import ConfigError
from paddleseg.losses.mixed import Loss, loss_terms, term_names

__all__ = ["CombinedLoss", "LossValues"]


@dataclass(frozen=True)
class LossValues:
    """What one call of the training loss returns.

    Attributes:
        total: Scalar, the sum of the parts: call ``backward`` on it.
        parts: Name → scalar, coefficients included, cut off from the gradient.
    """

    total: Tensor
    parts: dict[str, Tensor]


class CombinedLoss:
    """Applies the i-th loss to the model's i-th output.

    The parts are named by the loss's type. Where a name comes up more than once each gets its output's index
    (``CrossEntropyLoss_0``, ``CrossEntropyLoss_1``), and its place within the output as well where a
    :class:`~paddleseg.losses.mixed.MixedLoss` repeats it (``CrossEntropyLoss_0_1``).

    Args:
        losses: One loss an output, main first.
        coefs: One factor an output.
        names: One name an output, in place of the type's; the parts of a mixed loss are then ``name.Type``.

    Raises:
        ValueError: There is no loss, or the lists differ in length.
    """

    def __init__(
        self, losses: Sequence[Loss], coefs: Sequence[float], names: Sequence[str] | None = None
    ) -> None:
        if not losses or len(losses) != len(coefs):
            raise ValueError(
                f"coef: got {len(coefs)} factors for {len(losses)} losses; expected one a loss, at least one"
            )
        if names is not None and len(names) != len(losses):
            raise ValueError(f"names: got {len(names)} for {len(losses)} losses; expected one a loss")
        self.losses = tuple(losses)
        self.coefs = tuple(float(factor) for factor in coefs)
        self.names = _part_names(self.losses, names)

    def __call__(self, logits: Sequence[Any], labels: Tensor) -> LossValues:
        """Computes the loss of all outputs.

        Args:
            logits: One N×C×H×W tensor an output, main first; or what else the output's loss takes.
            labels: N×H×W int64.

        Raises:
            ConfigError: The model has more or fewer outputs than there are losses.
        """
        if len(logits) != len(self.losses):
            raise ConfigError(
                f"loss: {len(self.losses)} losses for {len(logits)} outputs of the model; "
                "give loss.types and loss.coef one entry an output"
            )
        terms = [
            term * factor
            for loss, factor, output in zip(self.losses, self.coefs, logits, strict=True)
            for term in loss_terms(loss, output, labels)
        ]
        parts = {name: term.detach() for name, term in zip(self.names, terms, strict=True)}
        return LossValues(total=paddle.add_n(terms), parts=parts)


def _part_names(losses: Sequence[Loss], names: Sequence[str] | None) -> tuple[str, ...]:
    """A unique name for every term."""
    labels: list[tuple[str, int, int]] = []
    for output, loss in enumerate(losses):
        types = term_names(loss)
        if names is not None:
            types = [names[output]] if len(types) == 1 else [f"{names[output]}.{kind}" for kind in types]
        labels += [(kind, output, place) for place, kind in enumerate(types)]
    anywhere = Counter(kind for kind, _, _ in labels)
    in_output = Counter((kind, output) for kind, output, _ in labels)
    unique = []
    for kind, output, place in labels:
        if anywhere[kind] == 1:
            unique.append(kind)
        elif in_output[kind, output] == 1:
            unique.append(f"{kind}_{output}")
        else:
            unique.append(f"{kind}_{output}_{place}")
    return tuple(unique)

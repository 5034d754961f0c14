"""What inference receives: images, models and the steps to undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "ImageSource", "LabelPredict", "Labels", "Predict", "UndoStep"]

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Predict: TypeAlias = Callable[[Floats], Floats]


class ImageSource(Protocol):
    """An N×C×H×W array, or what makes parts of one when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    def __getitem__(self, part: Any, /) -> Floats:
        """The part that up to four slices name."""


@runtime_checkable
class LabelPredict(Protocol):
    """A model that can spare its callers the logits."""

    def __call__(self, images: Floats, /) -> Floats:
        """N×C×H×W → N×K×H×W logits."""

    def labels(self, images: Floats, /) -> Labels:
        """N×C×H×W → N×H×W class ids, those of the highest logits.

        Raises:
            ValueError: The logits are not N×K×H×W with the N, H and W of the input.
        """


class UndoStep(Protocol):
    """One geometric step of the transforms (``paddleseg.data.transforms.sample.Undo``)."""

    @property
    def kind(self) -> str:
        """``"resize"`` or ``"padding"``."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) before the step."""

    @property
    def offset(self) -> tuple[int, int]:
        """Rows above and columns left of the image that padding added."""

"""What a transform receives and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ByteImage", "ImageArray", "LabelArray", "PixelArray", "Sample", "Transform", "Undo"]

ByteImage: TypeAlias = NDArray[np.uint8]
ImageArray: TypeAlias = NDArray[np.float32]
PixelArray: TypeAlias = ByteImage | ImageArray
LabelArray: TypeAlias = NDArray[np.uint8] | NDArray[np.int32]


@dataclass(frozen=True)
class Undo:
    """One geometric step that a prediction must go back through.

    Attributes:
        kind: ``"resize"`` is undone by resizing to ``size``; ``"padding"`` by keeping ``size`` pixels from
            ``offset`` on.
        size: (height, width) before the step.
        offset: Rows above and columns left of the image that padding added.
    """

    kind: Literal["resize", "padding"]
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)


@dataclass
class Sample:
    """One image on its way through the transforms.

    Arrays may be read-only views of a file; a part that is cut out first is all that is read of them.

    Attributes:
        image: [H, W, C] uint8 or float32; RGB or one channel; 0..255 until ``Normalize``.
        label: [H, W] uint8 or int32 class ids; None in prediction, and where the label must keep its size.
        undo: The steps taken so far, in order of application.
        image_path: Where the image came from, for messages.
        label_path: Where the label came from.
        other: Draws another sample of the training set, at the same point of the transforms, with random
            numbers of its own; None outside training.
    """

    image: PixelArray
    label: LabelArray | None = None
    undo: list[Undo] = field(default_factory=list)
    image_path: str = ""
    label_path: str | None = None
    other: Callable[[np.random.Generator], Sample] | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image now."""
        height, width = self.image.shape[:2]
        return height, width


Transform: TypeAlias = Callable[[Sample, np.random.Generator], Sample]

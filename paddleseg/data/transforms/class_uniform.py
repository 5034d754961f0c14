"""Crops that show rare classes as often as common ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from paddleseg.data.transforms.checks import check_classes, check_probability
from paddleseg.data.transforms.geometric import RandomPaddingCrop, Window
from paddleseg.data.transforms.sample import LabelArray
from paddleseg.registry import TRANSFORMS

__all__ = ["ClassUniformCrop"]


@TRANSFORMS.register
class ClassUniformCrop(RandomPaddingCrop):
    """Cuts out a window that holds a pixel of a class drawn evenly (Zhu et al., CVPR 2019).

    With probability ``prob`` a class is drawn from those that the image has, then one of its pixels, then
    a window of those that hold the pixel, wherever in them; each draw is even. Otherwise the window is that
    of RandomPaddingCrop. As in NVIDIA's code the pixel need not be in the middle, so that no class is found
    there more often than elsewhere. Unlike there the classes are those of one image: which image comes next
    is still a matter of chance. An image smaller than the window is padded at the bottom and the right.

    Args:
        crop_size: [width, height] of the window.
        prob: How often a class decides.
        classes: Class ids that may be drawn; None for all. Where the image has none of them, chance decides.
        im_padding_value: Value of new image pixels, 0..255; one number, or a list of one a channel.
        label_padding_value: Class id of new label pixels.
        ignore_index: Class id that is never drawn.

    Raises:
        ValueError: A parameter has the wrong type or range.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        prob: float = 0.5,
        classes: Sequence[int] | None = None,
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int = 255,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(crop_size, im_padding_value, label_padding_value, ignore_index=ignore_index)
        self.prob = check_probability("prob", prob)
        self.classes = None if classes is None else check_classes("classes", classes)

    def choose(
        self, size: tuple[int, int], rng: np.random.Generator, label_in: Callable[[Window], LabelArray] | None
    ) -> Window:
        """Draws the window; see :meth:`RandomPaddingCrop.choose`."""
        if label_in is None or rng.random() >= self.prob:
            return self._draw(size, rng)
        pixel = self._draw_pixel(label_in((slice(0, size[0]), slice(0, size[1]))), rng)
        if pixel is None:
            return self._draw(size, rng)
        rows, columns = (
            _draw_span(place, length, crop, rng)
            for place, length, crop in zip(pixel, size, self.crop_size, strict=True)
        )
        return rows, columns

    def _draw_pixel(self, label: LabelArray, rng: np.random.Generator) -> tuple[int, int] | None:
        present = np.unique(label)
        wanted = present[present != self.ignore_index]
        if self.classes is not None:
            wanted = np.intersect1d(wanted, self.classes)
        if not len(wanted):
            return None
        places = np.flatnonzero(label == rng.choice(wanted))
        row, column = divmod(int(rng.choice(places)), label.shape[1])
        return row, column


def _draw_span(place: int, length: int, crop: int, rng: np.random.Generator) -> slice:
    """One axis: a window of those that hold the place."""
    first, last = max(place - crop + 1, 0), min(place, length - crop)
    start = int(rng.integers(first, last + 1))
    return slice(start, start + crop)

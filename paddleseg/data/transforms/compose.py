"""Transforms one after another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from paddleseg.data.transforms.class_uniform import ClassUniformCrop
from paddleseg.data.transforms.copy_paste import CopyPaste
from paddleseg.data.transforms.photometric import Normalize
from paddleseg.data.transforms.sample import Sample, Transform
from paddleseg.data.transforms.scaled_crop import fuse

__all__ = [
    "Compose",
    "is_invertible",
    "refuse_other_classes",
    "refuse_other_padding",
    "refuse_training_transforms",
    "resizes",
]


class Compose:
    """Applies transforms in order; an empty list leaves the sample as it is.

    What can be done at once is (see :class:`ScaledCrop`). A transform whose class says ``takes_bytes = True``
    may be given uint8 arrays, any other one has images in float32 and labels in int32. What
    :attr:`Sample.other` draws goes through the same steps as the sample.

    Args:
        transforms: Callables ``(sample, rng) -> sample``.
    """

    takes_bytes = True

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)
        self._steps = fuse(self.transforms)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for step in self._steps:
            sample = _after(step, sample, rng)
        return sample

    def split_normalize(self) -> tuple[Compose, Normalize | None]:
        """The transforms without the Normalize that comes last, and that; None where another one does."""
        if self.transforms and type(last := self.transforms[-1]) is Normalize:
            return Compose(self.transforms[:-1]), last
        return self, None


def is_invertible(transform: Transform) -> bool:
    """False for a transform whose class says that a prediction cannot be brought back through it.

    Crops and random flips say so with ``invertible = False``; they belong to training only.
    """
    if isinstance(transform, Compose):
        return all(is_invertible(part) for part in transform.transforms)
    return getattr(transform, "invertible", True)


def resizes(transform: Transform) -> bool:
    """True for a transform whose class says, with ``resizes = True``, that it can change an image's scale.

    Class ids can only be brought back through it to the nearest pixel; scores can be interpolated.
    """
    if isinstance(transform, Compose):
        return any(resizes(part) for part in transform.transforms)
    return getattr(transform, "resizes", False)


def refuse_training_transforms(transforms: Compose, use: str) -> None:
    """Makes sure that predictions can be brought back through all transforms.

    Args:
        transforms: What the images go through.
        use: What they are meant for: ``"in mode val"``.

    Raises:
        ValueError: They could not; the message names the transform.
    """
    for transform in transforms.transforms:
        if not is_invertible(transform):
            raise ValueError(
                f"transforms: {type(transform).__name__} belongs to training only, {use} the predictions "
                "could not be laid over the images; remove it"
            )


def refuse_other_classes(transforms: Compose, num_classes: int) -> None:
    """Makes sure that the classes which transforms name are those of the data set.

    Raises:
        ValueError: One is not; the message names the transform.
    """
    for transform in _all_parts(transforms):
        if isinstance(transform, CopyPaste | ClassUniformCrop):
            unknown = [one for one in transform.classes or () if one >= num_classes]
            if unknown:
                raise ValueError(
                    f"transforms: {type(transform).__name__}: classes: {', '.join(map(str, unknown))}: the "
                    f"data set has {num_classes} classes, 0..{num_classes - 1}"
                )


def refuse_other_padding(transforms: Compose, num_classes: int, ignore_index: int) -> None:
    """Makes sure that the labels of new pixels are those of the data set.

    Raises:
        ValueError: One is neither a class nor the ignored one; the message names the transform.
    """
    for transform in _all_parts(transforms):
        value = getattr(transform, "label_padding_value", ignore_index)
        if value != ignore_index and not 0 <= value < num_classes:
            raise ValueError(
                f"transforms: {type(transform).__name__}: label_padding_value: got {value}; expected the "
                f"data set's ignore_index, {ignore_index}, or one of its classes, 0..{num_classes - 1}"
            )


def _all_parts(transforms: Compose) -> Iterator[Transform]:
    for transform in transforms.transforms:
        if isinstance(transform, Compose):
            yield from _all_parts(transform)
        else:
            yield transform


def _after(step: Transform, sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample after a step, which those will take that it draws from now on."""
    other = sample.other
    sample = step(sample if getattr(step, "takes_bytes", False) else _widened(sample), rng)
    return sample if other is None else replace(sample, other=functools.partial(_other_after, step, other))


def _other_after(
    step: Transform, other: Callable[[np.random.Generator], Sample], rng: np.random.Generator
) -> Sample:
    return _after(step, other(rng), rng)


def _widened(sample: Sample) -> Sample:
    label = None if sample.label is None else sample.label.astype(np.int32, copy=False)
    if sample.image.dtype != np.uint8 and label is sample.label:
        return sample
    image = sample.image.astype(np.float32) if sample.image.dtype == np.uint8 else sample.image
    return replace(sample, image=image, label=label)

"""Transforms one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paddleseg.data.transforms.sample import Sample, Transform

__all__ = ["Compose", "is_invertible", "refuse_training_transforms", "resizes"]


class Compose:
    """Applies transforms in order; an empty list leaves the sample as it is.

    Args:
        transforms: Callables ``(sample, rng) -> sample``.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


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

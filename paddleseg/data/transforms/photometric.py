"""Transforms of pixel values; the label is never touched.

Names and parameters are PaddleSeg's (paddleseg/transforms/transforms.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from paddleseg.data.transforms import functional
from paddleseg.data.transforms.checks import (
    check_choice,
    check_number,
    check_numbers,
    check_probability,
)
from paddleseg.data.transforms.sample import ByteImage, PixelArray, Sample
from paddleseg.errors import DataError
from paddleseg.registry import TRANSFORMS

__all__ = ["Normalize", "RandomBlur", "RandomDistort", "RandomNoise"]

BLURS = ("gaussian", "median", "blur")


@TRANSFORMS.register
class RandomDistort:
    """Changes brightness, contrast, saturation, sharpness and hue, each with its own probability.

    The steps come in a random order, and each works on whole grey levels (uint8, truncated). A range r
    means a factor drawn from 1 − r … 1 + r; Pillow's ImageEnhance defines what the factor does. One-channel
    images have no hue. The image keeps its dtype.

    Args:
        brightness_range: Range of the brightness factor.
        brightness_prob: Probability of changing it.
        contrast_range: Likewise.
        contrast_prob: Likewise.
        saturation_range: Likewise.
        saturation_prob: Likewise.
        hue_range: The hue turns by −range … range, in 1/256 of the circle (18 is about 25 degrees).
        hue_prob: Probability of turning it.
        sharpness_range: Range of the sharpness factor.
        sharpness_prob: Probability of changing it; off by default.

    Raises:
        ValueError: A probability is not within 0..1, or a range is negative.
    """

    takes_bytes = True

    def __init__(
        self,
        brightness_range: float = 0.5,
        brightness_prob: float = 0.5,
        contrast_range: float = 0.5,
        contrast_prob: float = 0.5,
        saturation_range: float = 0.5,
        saturation_prob: float = 0.5,
        hue_range: float = 18,
        hue_prob: float = 0.5,
        sharpness_range: float = 0.5,
        sharpness_prob: float = 0,
    ) -> None:
        settings = {
            "brightness": (1, brightness_range, brightness_prob),
            "contrast": (1, contrast_range, contrast_prob),
            "saturation": (1, saturation_range, saturation_prob),
            "sharpness": (1, sharpness_range, sharpness_prob),
            "hue": (0, hue_range, hue_prob),
        }
        for name, (_, spread, prob) in settings.items():
            check_number(f"{name}_range", spread, minimum=0)
            check_probability(f"{name}_prob", prob)
        self.settings = settings

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = _to_bytes(sample.image)
        steps = [name for name in self.settings if name != "hue" or image.shape[2] == 3]
        for name in rng.permutation(steps):
            centre, spread, prob = self.settings[name]
            if rng.random() < prob:
                image = _STEPS[name](image, rng.uniform(centre - spread, centre + spread))
        return replace(sample, image=_typed_as(sample.image, image))


_STEPS = {
    "brightness": functional.adjust_brightness,
    "contrast": functional.adjust_contrast,
    "saturation": functional.adjust_saturation,
    "sharpness": functional.adjust_sharpness,
    "hue": functional.shift_hue,
}


@TRANSFORMS.register
class RandomBlur:
    """Smooths the image with probability ``prob``, over 3, 5, 7 or 9 pixels.

    It works on whole grey levels (uint8, truncated); the image keeps its dtype.

    Args:
        prob: Probability. PaddleSeg's is the nearest larger 1/n: 0.6 meant always.
        blur_type: ``gaussian``, ``median``, ``blur`` (the mean), or ``random`` for one of them each time.

    Raises:
        ValueError: ``prob`` is not within 0..1, or the type is unknown.
    """

    takes_bytes = True

    def __init__(self, prob: float = 0.1, blur_type: str = "gaussian") -> None:
        self.prob = check_probability("prob", prob)
        self.blur_type = check_choice("blur_type", blur_type, [*BLURS, "random"])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        # PaddleSeg's distribution: 3..9 evenly, rounded up to odd, 9 at most.
        side = int(rng.integers(3, 10)) // 2 * 2 + 1
        kind = str(rng.choice(BLURS)) if self.blur_type == "random" else self.blur_type
        image = functional.blur(_to_bytes(sample.image), kind, side)
        return replace(sample, image=_typed_as(sample.image, image))


@TRANSFORMS.register
class RandomNoise:
    """Adds normal noise with probability ``prob``, each pixel and channel its own.

    Results are kept within 0..255. Bytes stay bytes, rounded to whole levels.

    Args:
        prob: Probability.
        max_sigma: The standard deviation is drawn from 0..max_sigma, in grey levels, once an image.

    Raises:
        ValueError: ``prob`` is not within 0..1, or ``max_sigma`` is negative.
    """

    takes_bytes = True

    def __init__(self, prob: float = 0.5, max_sigma: float = 10.0) -> None:
        self.prob = check_probability("prob", prob)
        self.max_sigma = check_number("max_sigma", max_sigma, minimum=0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        sigma = np.float32(rng.uniform(0, self.max_sigma))
        image = rng.standard_normal(sample.image.shape, dtype=np.float32)
        image *= sigma
        image += sample.image
        np.clip(image, 0, 255, out=image)
        if sample.image.dtype == np.uint8:
            return replace(sample, image=np.rint(image, out=image).astype(np.uint8))
        return replace(sample, image=image)


@TRANSFORMS.register
class Normalize:
    """(image / 255 − mean) / std, float32.

    Args:
        mean: One value, or three in the order R, G, B, on the scale 0..1.
        std: Likewise; not 0.

    Raises:
        ValueError: A list has the wrong length, or a standard deviation is 0.
    """

    takes_bytes = True

    def __init__(self, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,)) -> None:
        self.mean = check_numbers("mean", mean)
        self.std = check_numbers("std", std)
        if 0 in self.std:
            raise ValueError(f"std: expected numbers other than 0, got {std!r}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        self.check(sample)
        return replace(sample, image=functional.normalize(sample.image, self.mean, self.std))

    def check(self, sample: Sample) -> None:
        """Makes sure that the values fit the image's channels.

        Raises:
            DataError: They do not.
        """
        channels = sample.image.shape[2]
        wanted = max(len(self.mean), len(self.std))
        if wanted not in (1, channels):
            raise DataError(
                f"{sample.image_path}: Normalize: mean and std have {wanted} values and the image {channels} "
                f"channel(s); give 1 or {channels}, or set img_channels: {wanted}"
            )


def _typed_as(before: PixelArray, image: ByteImage) -> PixelArray:
    return image if before.dtype == np.uint8 else image.astype(np.float32)


def _to_bytes(image: PixelArray) -> ByteImage:
    # Cubic resizing can leave 0..255.
    return np.clip(image, 0, 255).astype(np.uint8, copy=False)

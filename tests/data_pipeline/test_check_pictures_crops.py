"""Sizes, brightness and crops: figures against NumPy over all pixels, and against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
from check_cases import scene

from paddleseg.data.check.crops import crop_facts, crop_findings
from paddleseg.data.check.findings import Severity
from paddleseg.data.check.fingerprints import fingerprint_of
from paddleseg.data.check.inspection import ImageFacts, SampleFacts
from paddleseg.data.check.pictures import picture_facts, picture_findings
from paddleseg.data.check.totals import SplitTotals
from paddleseg.data.transforms import (
    Normalize,
    Padding,
    RandomDistort,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    Resize,
    ResizeStepScaling,
)
from paddleseg.data.transforms.compose import Compose


def totals(images: list[np.ndarray]) -> SplitTotals:
    total = SplitTotals(2, 255)
    for index, image in enumerate(images):
        flat = image.reshape(-1, image.shape[2]).astype(np.float64)
        facts = ImageFacts(
            (image.shape[1], image.shape[0]),
            tuple(flat.mean(axis=0)),
            tuple(flat.std(axis=0)),
            fingerprint_of(image),
        )
        total.add(SampleFacts(index, facts))
    return total


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_std_are_those_of_all_pixels(channels: int) -> None:
    images = [scene(0, (20, 30))[..., :channels], scene(1, (50, 40))[..., :channels] // 3]
    pixels = np.concatenate([one.reshape(-1, channels) for one in images]) / 255
    facts = picture_facts(totals(images))
    assert facts is not None
    np.testing.assert_allclose(facts.mean, pixels.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(facts.std, pixels.std(axis=0), atol=1e-4)


def test_sizes() -> None:
    shapes = [(20, 30), (20, 30), (50, 10), (40, 60)]  # height, width
    facts = picture_facts(totals([scene(i, shape) for i, shape in enumerate(shapes)]))
    assert facts is not None
    assert (facts.smallest, facts.median, facts.largest) == ((10, 20), (30, 30), (60, 50))
    assert facts.common_sizes[0] == (30, 20, 2)
    assert (facts.sizes, facts.images) == (3, 4)
    assert picture_facts(SplitTotals(2, 255)) is None


def brightness(images: list[np.ndarray]) -> dict[str, list[int | None]]:
    found = picture_findings("train", totals(images), lambda index: f"{index}.png")
    return {one.code: [example.index for example in one.examples] for one in found}


def test_pictures_without_content_and_outliers() -> None:
    usual = [scene(i) // 4 + 60 for i in range(12)]
    assert brightness(usual) == {}
    flat, dark, bright = np.full((48, 64, 3), 90, np.uint8), scene(1) // 20, 255 - scene(1) // 20
    far = scene(2) // 4 + 170
    assert brightness([*usual, flat, dark, bright, far]) == {
        "flat_image": [12],
        "dark_image": [13],
        "bright_image": [14],
        "brightness_outlier": [15],
    }
    assert brightness([]) == {}


CROP = RandomPaddingCrop([100, 50])
SIZES = np.array([[200, 100], [50, 50]])  # width, height


def test_a_crop_by_hand() -> None:
    scaling = ResizeStepScaling(0.5, 2.0, 0.25)
    facts = crop_facts(Compose([RandomHorizontalFlip(), scaling, RandomDistort(), CROP, Normalize()]), SIZES)
    assert facts is not None
    assert (facts.crop, facts.scale) == ((100, 50), (0.5, 2.0))
    assert facts.reach == 0.5  # the first alone
    assert facts.padding == 0.25  # none, and one half
    assert facts.seen == 0.625  # a quarter of the first, all of the second
    assert facts.any_reaches


@pytest.mark.parametrize("chain", [[], [Normalize()], [Resize([64, 64]), CROP]])
def test_chains_that_are_not_judged(chain: list) -> None:
    assert crop_facts(Compose(chain), SIZES) is None
    assert crop_findings("train", None, Compose(chain), SIZES) == []


@pytest.mark.parametrize(
    ("chain", "codes"),
    [
        ([CROP], []),
        ([RandomPaddingCrop([400, 400])], [("crop_too_large", Severity.ERROR)]),
        ([ResizeStepScaling(1, 2, 0), RandomPaddingCrop([400, 400])], [("crop_padding", Severity.WARNING)]),
        ([RandomPaddingCrop([200, 300])], [("crop_padding", Severity.WARNING)]),
        ([Padding([100, 100])], [("padding_too_small", Severity.ERROR)]),
        ([Resize([64, 64]), Padding([100, 100])], []),
        ([Padding([200, 100])], []),
    ],
)
def test_findings_about_crops(chain: list, codes: list) -> None:
    transforms = Compose(chain)
    found = crop_findings("train", crop_facts(transforms, SIZES), transforms, SIZES)
    assert [(one.code, one.severity) for one in found] == codes


def test_no_pictures() -> None:
    assert crop_facts(Compose([CROP]), np.zeros((0, 2), dtype=np.int64)) is None

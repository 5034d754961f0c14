"""From test_config to inference options."""

from __future__ import annotations

import pytest

from paddleseg.config.schema import TestConfig
from paddleseg.engine.options import inference_options
from paddleseg.inference import InferenceOptions

AUGMENTED = {"scales": [0.75, 1.25], "flip_horizontal": True}


def test_scales_and_flips_need_their_switch() -> None:
    block = TestConfig(aug_eval=True, **AUGMENTED)
    assert inference_options(block, augment_key="aug_pred") == InferenceOptions()
    assert inference_options(block, augment_key="aug_eval") == InferenceOptions(
        scales=(0.75, 1.25), flip_horizontal=True
    )


@pytest.mark.parametrize("key", ["aug_eval", "aug_pred"])
def test_windows_do_not(key: str) -> None:
    block = TestConfig(is_slide=True, crop_size=[32, 16], stride=[16, 8], window_batch=9)
    options = inference_options(block, augment_key=key)
    assert (options.is_slide, options.crop_size, options.stride) == (True, (32, 16), (16, 8))
    assert options.window_batch == 9
    assert not options.is_augmented

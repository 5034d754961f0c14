"""From ``test_config`` and its command-line flags to inference options."""

from __future__ import annotations

from paddleseg.config.schema import TestConfig
from paddleseg.inference import InferenceOptions

__all__ = ["inference_options"]


def inference_options(test_config: TestConfig, *, augment_key: str) -> InferenceOptions:
    """Says how images go through the model.

    As in PaddleSeg, scales count only when augmentation is switched on; flips without it are off too.

    Args:
        test_config: The block of the config.
        augment_key: The switch that counts: ``"aug_eval"`` or ``"aug_pred"``.

    Returns:
        The options.
    """
    augmented = getattr(test_config, augment_key)
    return InferenceOptions(
        scales=test_config.scales if augmented else (1.0,),  # type: ignore[arg-type]
        flip_horizontal=augmented and test_config.flip_horizontal,
        flip_vertical=augmented and test_config.flip_vertical,
        is_slide=test_config.is_slide,
        crop_size=test_config.crop_size,
        stride=test_config.stride,
        window_batch=test_config.window_batch,
    )

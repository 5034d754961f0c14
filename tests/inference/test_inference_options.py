"""Values that are accepted and refused."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.errors import UsageError
from paddleseg.inference import InferenceOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": []}, "scales: expected positive factors"),
        ({"scales": [1.0, -0.5]}, "scales"),
        ({"scales": 0}, "scales"),
        ({"scales": float("inf")}, "scales"),
        ({"scales": ["1.0"]}, "scales"),
        ({"scales": True}, "scales"),
        ({"is_slide": True}, "needs crop_size and stride"),
        ({"is_slide": True, "crop_size": (4, 4)}, "needs crop_size and stride"),
        ({"is_slide": True, "crop_size": (4, 4), "stride": (4, 5)}, r"stride \(4, 5\) is larger .* \(4, 4\)"),
        ({"crop_size": (4,)}, "crop_size: expected two whole numbers above 0, width then height"),
        ({"crop_size": 4}, "crop_size"),
        ({"stride": (0, 3)}, "stride"),
        ({"stride": (1.5, 3)}, "stride"),
        ({"window_batch": 0}, "window_batch"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InferenceOptions(**options)


def test_options_take_what_yaml_gives() -> None:
    options = InferenceOptions(scales=1, is_slide=True, crop_size=[8, 4], stride=[8, 4])  # type: ignore[arg-type]
    assert (options.scales, options.crop_size, options.stride) == ((1.0,), (8, 4), (8, 4))
    assert not options.is_augmented

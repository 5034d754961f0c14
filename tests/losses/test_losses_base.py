from __future__ import annotations

import pytest

from paddleseg.losses.base import check_ignore_index, check_weight


@pytest.mark.parametrize("weight", [[], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [float("inf")]])
def test_bad_weights(weight: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        check_weight(weight)


def test_good_weights() -> None:
    assert check_weight(None) is None
    assert check_weight([1, 0, 2.5]) == (1.0, 0.0, 2.5)


@pytest.mark.parametrize("ignore_index", [True, 255.0, "255", None])
def test_bad_ignore_index(ignore_index: object) -> None:
    with pytest.raises(ValueError, match="ignore_index"):
        check_ignore_index(ignore_index)

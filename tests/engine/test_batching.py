"""The images of an iteration, against products worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.engine.batching import BatchPlan, plan_batch
from paddleseg.errors import ConfigError


def plan(**changes: Any) -> BatchPlan:
    return plan_batch(**{"batch_size": 2, "world_size": 4, "accumulate": 1, "wanted": 8} | changes)


def test_the_global_batch_is_the_product() -> None:
    assert plan(accumulate=3).global_batch == 24


@pytest.mark.parametrize(
    ("batch_size", "world_size", "accumulate"), [(2, 4, 1), (2, 1, 4), (1, 2, 4), (8, 1, 1), (1, 1, 8)]
)
def test_auto_keeps_the_recipes_batch(batch_size: int, world_size: int, accumulate: int) -> None:
    found = plan(batch_size=batch_size, world_size=world_size, accumulate="auto")
    assert found.accumulate == accumulate
    assert found.global_batch == 8


def test_auto_says_when_nothing_fits() -> None:
    with pytest.raises(ConfigError, match=r"global_batch_size 8 out of batch_size 3 × 1 processes"):
        plan(batch_size=3, world_size=1, accumulate="auto")


def test_advice_has_the_linearly_scaled_rate() -> None:
    advice = plan(world_size=1).advice(0.01)
    assert advice is not None
    assert "from 0.01 to 0.0025" in advice  # 2 images instead of 8
    assert "--accumulate auto" in advice


def test_advice_for_a_schedule_of_several_rates_has_their_factor() -> None:
    advice = plan(world_size=1).advice(None)
    assert advice is not None
    assert "would multiply every learning rate of the schedule by 0.25; --accumulate auto" in advice


def test_advice_names_auto_only_where_it_works() -> None:
    advice = plan(batch_size=3, world_size=1).advice(0.01)
    assert advice is not None
    assert "auto" not in advice


@pytest.mark.parametrize("changes", [{}, {"wanted": None, "world_size": 1}])
def test_no_advice_without_need(changes: dict[str, Any]) -> None:
    assert plan(**changes).advice(0.01) is None

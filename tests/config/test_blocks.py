"""Where blocks stand; the legacy learning-rate form."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from paddleseg.config.blocks import check_blocks, iterate_blocks, schedule_block
from paddleseg.config.config import Config
from paddleseg.config.node import from_value, join, plain


def config_of(tree: dict[str, Any]) -> Config:
    return Config(from_value(tree, "f:1"), "f")


def test_every_place_is_visited() -> None:
    block = {"type": "x"}
    tree: dict[str, Any] = dict.fromkeys(("model", "train_dataset", "val_dataset", "test_dataset"), block)
    tree |= {"optimizer": block, "lr_scheduler": block}
    tree |= {"loss": {"types": [block, block]}, "export": {"transforms": [block]}}
    places = [(join(path), slot.registry.kind) for _, path, slot in iterate_blocks(config_of(tree))]
    assert places == [
        ("model", "model"),
        ("train_dataset", "data set"),
        ("val_dataset", "data set"),
        ("test_dataset", "data set"),
        ("optimizer", "optimizer"),
        ("lr_scheduler", "learning-rate schedule"),
        ("loss.types[0]", "loss"),
        ("loss.types[1]", "loss"),
        ("export.transforms[0]", "transform"),
    ]


@pytest.mark.parametrize(
    ("legacy", "expected"),
    [
        (0.5, {"type": "Constant", "learning_rate": 0.5}),
        ({"value": 0.5}, {"type": "PolynomialDecay", "learning_rate": 0.5}),
        (
            {"value": 0.5, "decay": {"type": "poly", "power": 0.8, "end_lr": 0}},
            {"type": "PolynomialDecay", "learning_rate": 0.5, "power": 0.8, "end_lr": 0},
        ),
        (
            {"value": [0.5, 0.1], "decay": {"type": "piecewise", "boundaries": [10]}},
            {"type": "PiecewiseDecay", "values": [0.5, 0.1], "boundaries": [10]},
        ),
        (
            {"value": 0.5, "decay": {"type": "stepdecay", "step_size": 10}},
            {"type": "StepDecay", "learning_rate": 0.5, "step_size": 10},
        ),
    ],
)
def test_legacy_learning_rate(legacy: Any, expected: dict[str, Any]) -> None:
    config = config_of({"learning_rate": legacy})
    found = schedule_block(config)
    assert found is not None
    assert plain(found[0]) == expected
    assert config.tree == {"learning_rate": legacy}, "the tree is left alone"


@pytest.mark.parametrize(
    ("legacy", "message"),
    [
        ({"decay": {"type": "poly"}}, "learning_rate.value: missing"),
        ({"value": 1, "dekay": 1}, "learning_rate.dekay: unknown key"),
        (
            {"value": 1, "decay": {"type": "exp"}},
            "f:1 learning_rate.decay.type: got 'exp'; expected one of poly, piecewise, stepdecay, or in",
        ),
        ({"value": 0.5, "decay": {"type": ["poly"]}}, "learning_rate.decay: expected a block"),
        ({"value": 1, "decay": 3}, "learning_rate.decay: expected a block"),
        ({"value": 1, "decay": {"power": 1}}, "learning_rate.decay: expected a block"),
    ],
)
def test_bad_legacy_learning_rate(legacy: Any, message: str) -> None:
    found = [str(one) for one in check_blocks(config_of({"learning_rate": legacy}))]
    assert any(message in one for one in found)


def test_lr_scheduler_takes_the_place_of_the_legacy_block(caplog: pytest.LogCaptureFixture) -> None:
    tree = {"lr_scheduler": {"type": "fake_schedule", "learning_rate": 1}, "learning_rate": {"decay": {}}}
    with caplog.at_level(logging.WARNING):
        assert check_blocks(config_of(tree)) == []
    assert "f:1 learning_rate: lr_scheduler is there too" in caplog.text
    assert schedule_block(config_of({})) is None

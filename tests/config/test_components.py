"""Blocks against constructor signatures, and construction."""

from __future__ import annotations

from typing import Any

import fake_components
import pytest

from paddleseg.config.components import Slot, check_block, construct
from paddleseg.config.node import from_value
from paddleseg.config.problems import ProblemError
from paddleseg.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, TRANSFORMS, Registry

MODEL_SLOT = Slot(MODELS, filled=("num_classes",), reserved={"pretrained": str | None})


def problems(block: Any, slot: Slot) -> list[str]:
    return [str(one) for one in check_block(from_value(block, "f:1"), ("x",), slot)]


@pytest.mark.parametrize(
    ("block", "slot"),
    [
        ({"type": "FakeModel", "backbone": {"type": "FakeBackbone"}, "pretrained": None}, MODEL_SLOT),
        (
            {"type": "FakeModel", "backbone": {"type": "FakeBackbone", "pretrained": "a"}, "indices": [1, 2]},
            MODEL_SLOT,
        ),
        ({"type": "FakeMixed", "losses": [{"type": "FakeLoss"}], "coef": [1]}, Slot(LOSSES)),
        ({"type": "FakeAnything", "a": 1, "b": {"type": "FakeCrop"}}, Slot(LOSSES)),
        ({"type": "fake_optimizer", "momentum": 1}, Slot(OPTIMIZERS, withheld=("model", "learning_rate"))),
        ({"type": "FakeCrop", "size": [1, 2]}, Slot(TRANSFORMS)),
    ],
)
def test_good_blocks(block: dict[str, Any], slot: Slot) -> None:
    assert problems(block, slot) == []


@pytest.mark.parametrize(
    ("block", "slot", "expected"),
    [
        (3, Slot(LOSSES), ["f:1 x: got 3; expected a block with 'type'"]),
        ({}, Slot(LOSSES), ["f:1 x.type: missing; name a loss"]),
        ({"type": 3}, Slot(LOSSES), ["f:1 x.type: got 3; expected the name of a registered loss"]),
        ({"type": "FakeLos"}, Slot(LOSSES), ["f:1 x.type: no loss 'FakeLos'; did you mean 'FakeLoss'?"]),
        # What is inside a block of no or an odd type is checked all the same: it may be built later.
        (
            {"losses": [3]},
            Slot(LOSSES),
            ["f:1 x.type: missing; name a loss", "f:1 x.losses[0]: got 3; expected a block with 'type'"],
        ),
        (
            {"type": "FakeModel", "backbone": [{"type": "FakeBackbone"}]},
            MODEL_SLOT,
            ["f:1 x.backbone: got [{'type': 'FakeBackbone'}]; expected a block with 'type'"],
        ),
        ({"type": "FakeCrop"}, Slot(LOSSES), ["f:1 x.type: no loss 'FakeCrop'; did you mean 'FakeLoss'?"]),
        (
            {"type": "FakeCrop", "size": [1], "prb": 1},
            Slot(TRANSFORMS),
            [
                "f:1 x.size: got [1]; expected a list of a whole number, a whole number",
                "f:1 x.prb: unknown parameter of FakeCrop; did you mean 'prob'?",
            ],
        ),
        (
            {"type": "FakeModel", "backbone": {"type": "FakeBackbone", "output_stride": 7, "pretrained": 3}},
            MODEL_SLOT,
            [
                "f:1 x.backbone.output_stride: got 7; expected one of 8, 16",
                "f:1 x.backbone.pretrained: got 3; expected text or null",
            ],
        ),
        ({"type": "FakeModel"}, MODEL_SLOT, ["f:1 x.backbone: missing; FakeModel needs it"]),
        (
            {"type": "FakeModel", "backbone": "ResNet"},
            MODEL_SLOT,
            ["f:1 x.backbone: got 'ResNet'; expected a block with 'type'"],
        ),
        (
            {"type": "fake_optimizer", "learning_rate": 1},
            Slot(OPTIMIZERS, withheld=("model", "learning_rate")),
            ["f:1 x.learning_rate: the program itself gives fake_optimizer this; remove it"],
        ),
        (
            {"type": "FakeMixed", "losses": [{"type": "FakeLoss", "weigth": 1}, 5], "coef": 1},
            Slot(LOSSES),
            [
                "f:1 x.losses[0].weigth: unknown parameter of FakeLoss; did you mean 'weight'?",
                "f:1 x.losses[1]: got 5; expected a block with 'type'",
                "f:1 x.coef: got 1; expected a list, each entry a number",
            ],
        ),
        (
            {"type": "FakeAnything", "a": [{"type": "FakeCrop", "siz": 1}], "b": {"type": "FakeCrap"}},
            Slot(LOSSES),
            [
                "f:1 x.a[0].siz: unknown parameter of FakeCrop; did you mean 'size'?",
                "f:1 x.b.type: no model 'FakeCrap'",
            ],
        ),
        (
            {"type": "Zzz", "transforms": [{"type": "FakeCrap"}]},
            Slot(DATASETS),
            [
                "f:1 x.type: no data set 'Zzz'",
                "f:1 x.transforms[0].type: no transform 'FakeCrap'; did you mean 'FakeCrop'?",
            ],
        ),
        (
            {"type": "FakeCity", "transforms": [{"type": "FakeCrop", "prob": "a"}], "dataset_root": "d"},
            Slot(DATASETS, filled=("mode",)),
            ["f:1 x.transforms[0].prob: got 'a'; expected a number"],
        ),
    ],
)
def test_problems(block: Any, slot: Slot, expected: list[str]) -> None:
    assert [text.partition("; there are ")[0] for text in problems(block, slot)] == expected


def test_construct_builds_the_inner_blocks_first() -> None:
    block = {"type": "FakeMixed", "losses": [{"type": "FakeLoss", "ignore_index": 7}], "coef": [1]}
    loss = construct(from_value(block, "f:1"), ("x",), LOSSES)
    assert isinstance(loss, fake_components.FakeMixed)
    assert loss.losses[0].ignore_index == 7


def test_construct_adds_and_replaces_parameters() -> None:
    node = from_value({"type": "fake_optimizer", "momentum": 0.5}, "f:1")
    assert construct(node, (), OPTIMIZERS, {"model": "m", "learning_rate": 2}) == ("m", 2, 0.5)
    assert construct(node, (), OPTIMIZERS, {"model": "m", "learning_rate": 2, "momentum": 0}) == ("m", 2, 0)


def test_a_constructors_complaint_points_at_the_parameter() -> None:
    node = from_value({"type": "FakeCrop", "prob": 3}, "f:1")
    node.value["prob"].source = "f:2"
    with pytest.raises(ProblemError) as caught:
        construct(node, ("a", 0), TRANSFORMS)
    assert str(caught.value) == "f:2 a[0].prob: FakeCrop: prob: expected a number from 0 to 1, got 3"


def test_a_complaint_from_inside_is_not_wrapped_twice() -> None:
    block = {"type": "FakeAnything", "a": [{"type": "FakeCrop", "prob": 3}]}
    with pytest.raises(ProblemError) as caught:
        construct(from_value(block, "f:1"), ("x",), LOSSES)
    assert str(caught.value) == "f:1 x.a[0].prob: FakeCrop: prob: expected a number from 0 to 1, got 3"


def test_hints_that_do_not_resolve_are_passed_over() -> None:
    registry = Registry("thing")

    @registry.register
    class Odd:
        def __init__(self, a: NotImported) -> None:  # type: ignore[name-defined]  # noqa: F821
            self.a = a

    assert problems({"type": "Odd", "a": 3}, Slot(registry)) == []
    assert problems({"type": "Odd"}, Slot(registry)) == ["f:1 x.a: missing; Odd needs it"]

"""What is filled in, and what must agree."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.config.config import Config
from paddleseg.config.consistency import block_facts, class_count, input_channels, reconcile
from paddleseg.config.node import from_value
from paddleseg.registry import TRANSFORMS

CITY = {"type": "FakeCity", "dataset_root": "d", "transforms": []}
LIST = {"type": "FakeList", "num_classes": 4}
BACKBONE = {"type": "FakeBackbone"}
MODEL = {"type": "FakeModel", "backbone": BACKBONE}
FIX = "; make them equal"


def config_of(tree: dict[str, Any]) -> Config:
    return Config(from_value(tree, "f:1"), "f")


def test_class_attributes_are_filled_in() -> None:
    losses = [{"type": "FakeLoss"}, {"type": "FakeMixed", "losses": [{"type": "FakeLoss"}], "coef": [1]}]
    config = config_of(
        {
            "model": MODEL,
            "train_dataset": CITY,
            "val_dataset": CITY,
            "loss": {"types": losses, "coef": [1, 1]},
        }
    )
    assert reconcile(config) == []
    tree = config.tree
    assert tree["model"]["num_classes"] == 19
    assert tree["model"]["backbone"]["in_channels"] == 3
    assert (tree["train_dataset"]["mode"], tree["val_dataset"]["mode"]) == ("train", "val")
    assert tree["loss"]["types"][0]["ignore_index"] == 255
    assert "ignore_index" not in tree["loss"]["types"][1], "the constructor does not take it"
    assert tree["loss"]["types"][1]["losses"][0]["ignore_index"] == 255
    assert config.source("model.num_classes") == "filled in from train_dataset.num_classes"


def test_block_parameters_come_before_defaults() -> None:
    config = config_of(
        {
            "model": MODEL,
            "val_dataset": {**LIST, "ignore_index": 9, "img_channels": 1},
            "loss": {"types": [{"type": "FakeLoss"}], "coef": [1, 1]},
        }
    )
    assert reconcile(config) == []
    assert config.tree["model"]["num_classes"] == 4
    assert config.tree["model"]["backbone"]["in_channels"] == 1
    assert config.tree["loss"]["types"][0]["ignore_index"] == 9


def test_training_transforms_pad_with_the_ignored_label() -> None:
    class Pads:
        def __init__(self, label_padding_value: int = 255, ignore_index: int = 255) -> None: ...

    TRANSFORMS.register(Pads)
    transforms = [{"type": "Pads"}, {"type": "Pads", "label_padding_value": 0}, {"type": "FakeCrop"}]
    for ignored, filled in ((9, {"ignore_index": 9, "label_padding_value": 9}), (255, {})):
        block = {**LIST, "ignore_index": ignored, "transforms": transforms}
        config = config_of({"train_dataset": block, "val_dataset": block})
        assert reconcile(config) == []
        assert config.tree["train_dataset"]["transforms"] == [
            {**filled, **transforms[0]},
            {**filled, **transforms[1]},
            transforms[2],
        ]
        assert config.tree["val_dataset"]["transforms"] == transforms


def test_what_a_block_says_of_its_pixels() -> None:
    config = config_of({"train_dataset": CITY, "val_dataset": {**LIST, "ignore_index": 9}})
    assert block_facts(config, "train_dataset") == {"num_classes": 19, "ignore_index": 255, "img_channels": 3}
    assert block_facts(config, "val_dataset") == {"num_classes": 4, "ignore_index": 9, "img_channels": 3}
    assert block_facts(config, "test_dataset") == {}


def test_shards_by_rank_need_a_pack() -> None:
    block = {**CITY, "pack_shards": "by_rank"}
    (problem,) = reconcile(config_of({"train_dataset": block}))
    assert str(problem).startswith("f:1 train_dataset.pack_shards: needs 'pack', which is not given")
    assert reconcile(config_of({"train_dataset": {**block, "pack": "p"}})) == []


def test_what_is_given_stays() -> None:
    config = config_of({"model": {**MODEL, "num_classes": 19}, "train_dataset": {**CITY, "mode": "val"}})
    assert reconcile(config) == []
    assert config.source("model.num_classes") == "f:1"
    assert config.tree["train_dataset"]["mode"] == "val"


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            {"model": {**MODEL, "num_classes": 4}, "train_dataset": CITY},
            ["f:1 model.num_classes: got 4, but train_dataset.num_classes is 19 (f:1)" + FIX],
        ),
        (
            {"model": MODEL, "train_dataset": CITY, "val_dataset": LIST},
            ["f:1 val_dataset.num_classes: got 4, but train_dataset.num_classes is 19 (f:1)" + FIX],
        ),
        (
            {"model": MODEL},
            ["f:1 model.num_classes: missing, and no data set tells it; give the number of classes"],
        ),
        (
            {"model": MODEL, "train_dataset": {"type": "NoSuchKind"}},
            ["f:1 model.num_classes: missing; no data set tells it before its type is right"],
        ),
        (
            {"model": {**MODEL, "backbone": {**BACKBONE, "in_channels": 4}}, "train_dataset": CITY},
            ["f:1 model.backbone.in_channels: got 4, but train_dataset.img_channels is 3 (f:1)" + FIX],
        ),
        (
            {
                "model": MODEL,
                "train_dataset": CITY,
                "loss": {"types": [{"type": "FakeLoss", "ignore_index": 0}], "coef": [1, 1]},
            },
            ["f:1 loss.types[0].ignore_index: got 0, but train_dataset.ignore_index is 255 (f:1)" + FIX],
        ),
        (
            {"model": MODEL, "train_dataset": CITY, "loss": {"types": [{"type": "FakeLoss"}], "coef": [1]}},
            ["f:1 loss.coef: got 1 coefficients; FakeModel has 2 outputs in training, so expected 2"],
        ),
        (
            {
                "model": {**MODEL, "aux": False},
                "train_dataset": CITY,
                "loss": {"types": [{"type": "FakeLoss"}], "coef": [1, 0.4]},
            },
            ["f:1 loss.coef: got 2 coefficients; FakeModel has 1 output in training, so expected 1"],
        ),
    ],
)
def test_disagreements(tree: dict[str, Any], expected: list[str]) -> None:
    assert [str(one) for one in reconcile(config_of(tree))] == expected


def test_unknown_components_are_passed_over() -> None:
    tree = {"model": {"type": "Nope"}, "train_dataset": {"type": "Nope"}, "loss": {"types": 3, "coef": 3}}
    assert reconcile(config_of(tree)) == []


def test_in_channels_of_a_model_with_an_unknown_backbone_is_its_own_affair() -> None:
    model = {"type": "FakeModel", "num_classes": 19, "in_channels": 720, "backbone": {"type": "Nope"}}
    assert reconcile(config_of({"model": model, "train_dataset": CITY})) == []


@pytest.mark.parametrize(
    ("tree", "channels", "classes"),
    [
        ({"model": {"type": "FakeModel", "in_channels": 5, "num_classes": 7}, "val_dataset": CITY}, 5, 7),
        ({"model": {**MODEL, "backbone": {**BACKBONE, "in_channels": 4}}, "val_dataset": CITY}, 4, 19),
        ({"model": {"type": "FakeModel"}, "val_dataset": {**LIST, "img_channels": 1}}, 1, 4),
        ({"model": {"type": "FakeModel"}, "train_dataset": CITY}, 3, 19),
        ({"model": MODEL}, 3, None),
        ({"model": {"type": "FakeModel"}}, 3, None),
    ],
)
def test_channels_and_classes_of_a_model_that_does_not_say(
    tree: dict[str, Any], channels: int, classes: int | None
) -> None:
    config = config_of(tree)
    assert input_channels(config) == channels
    assert class_count(config) == classes

"""The teacher of a configuration: which weights it gets, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn
from small_task import TinySegmenter, config_tree, write_config

from paddleseg import registry
from paddleseg.build import load_config
from paddleseg.build_teacher import build_teacher
from paddleseg.config.config import Config
from paddleseg.errors import ConfigError

pytestmark = pytest.mark.usefixtures("restored_registries")


class Task:
    """A teacher's file with its weights beside it, and the student's configuration; no data set is there."""

    def __init__(self, folder: Path) -> None:
        registry.MODELS.register(TinySegmenter)
        self._folder, self.weights = folder, folder / "teacher.pdparams"
        paddle.save(TinySegmenter(4).state_dict(), str(self.weights))
        self.write_teacher(model={"type": "TinySegmenter", "pretrained": str(self.weights)})

    def write_teacher(self, **blocks: Any) -> None:
        tree = config_tree(self._folder, {}) | blocks
        (self._folder / "teacher.yml").write_text(yaml.safe_dump(tree), encoding="utf-8")

    def student(self, kind: str = "KLLoss", teacher: str = "teacher.yml") -> Config:
        block = {"types": [{"type": kind}], "coef": [3], "teacher": str(self._folder / teacher)}
        tree = config_tree(self._folder, {"type": "TinySegmenter"}) | {"distill_loss": block}
        return load_config(write_config(self._folder / "student.yml", tree))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(tmp_path)


def assert_has(model: nn.Layer, weights: Path) -> None:
    for name, array in paddle.load(str(weights)).items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), np.asarray(array), err_msg=name)


def test_it_has_its_weights_and_its_loss(task: Task) -> None:
    built = build_teacher(task.student())
    assert built is not None
    model, loss = built
    assert_has(model, task.weights)
    # One pixel: ¼ and ¾ learn from ½ and ½, (½·ln 2 + ½·ln ⅔) / 2 classes.
    student = paddle.to_tensor([0.0, float(np.log(3.0))]).reshape([1, 2, 1, 1])
    found = loss(student, paddle.zeros([1, 2, 1, 1]), paddle.zeros([1, 1, 1], dtype="int64"))
    assert found.item() == pytest.approx(0.25 * np.log(4 / 3), rel=1e-5)


def test_the_file_may_be_in_the_home_folder(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(task.weights.parent))
    config = task.student()
    config.set("distill_loss.teacher", "~/teacher.yml", "test")
    assert build_teacher(config) is not None


def test_without_the_block_there_is_none(task: Task) -> None:
    tree = config_tree(task.weights.parent, {"type": "TinySegmenter"})
    assert build_teacher(load_config(write_config(task.weights.parent / "plain.yml", tree))) is None


class TinyBackbone(nn.Conv2D):
    def __init__(self) -> None:
        super().__init__(3, 2, 1)


class OnBackbone(nn.Layer):
    def __init__(self, num_classes: int, backbone: nn.Layer) -> None:
        super().__init__()
        self.backbone, self.classifier = backbone, nn.Conv2D(2, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.classifier(self.backbone(x))]


def test_what_its_backbone_once_began_with_is_not_read(task: Task) -> None:
    """It may be far away, and a trained model's file holds the backbone's weights, too."""
    registry.MODELS.register(OnBackbone)
    registry.BACKBONES.register(TinyBackbone)
    paddle.save(OnBackbone(4, TinyBackbone()).state_dict(), str(task.weights))
    backbone = {"type": "TinyBackbone", "pretrained": str(task.weights.parent / "absent.pdparams")}
    model = {"type": "OnBackbone", "backbone": backbone, "pretrained": str(task.weights)}
    task.write_teacher(model=model, loss={"types": [{"type": "CrossEntropyLoss"}], "coef": [1]})
    built = build_teacher(task.student())
    assert built is not None
    assert_has(built[0], task.weights)


class OfTwoModels(nn.Layer):
    """As users write losses; the call of a layer takes anything."""

    def forward(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        return (student - teacher).abs().mean()


class OfLabels(nn.Layer):
    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        return logits.mean()


def test_a_layer_may_be_the_loss(task: Task) -> None:
    registry.LOSSES.register(OfTwoModels)
    built = build_teacher(task.student("OfTwoModels"))
    assert built is not None
    assert isinstance(built[1], OfTwoModels)


@pytest.mark.parametrize("kind", ["CrossEntropyLoss", "OfLabels"])
def test_a_loss_of_labels_is_refused(task: Task, kind: str) -> None:
    registry.LOSSES.register(OfLabels)
    with pytest.raises(
        ConfigError, match=rf"student\.yml:\d+ .*types\[0\]\.type: {kind} compares logits with"
    ):
        build_teacher(task.student(kind))


def without_weights(task: Task) -> None:
    task.write_teacher(model={"type": "TinySegmenter"})


def with_other_classes(task: Task) -> None:
    model = {"type": "TinySegmenter", "pretrained": str(task.weights), "num_classes": 3}
    task.write_teacher(model=model, train_dataset=None, val_dataset=None)


def with_a_part_of_the_weights(task: Task) -> None:
    state = TinySegmenter(4).state_dict()
    paddle.save({name: one for name, one in state.items() if "classifier" not in name}, str(task.weights))


def with_a_mistake(task: Task) -> None:
    task.write_teacher(model={"type": "TinySegmenters"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_weights, r"teacher\.yml names no weights; set its model\.pretrained to those"),
        (with_other_classes, r"the model of \S*teacher\.yml has 3 classes, the student 4; make them equal"),
        (with_a_part_of_the_weights, r"teacher\.yml:\d+ model\.pretrained: .*classifier"),
        (with_a_mistake, r"teacher\.yml:\d+ model\.type: no model 'TinySegmenters'; did you mean"),
        (lambda task: task.weights.unlink(), r"teacher\.yml:\d+ model\.pretrained: "),
        (lambda task: (task.weights.parent / "teacher.yml").unlink(), "no configuration file"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    task: Task, change: Callable[[Task], None], message: str
) -> None:
    config = task.student()
    change(task)
    with pytest.raises(ConfigError, match=rf"student\.yml:\d+ distill_loss\.teacher: .*{message}"):
        build_teacher(config)

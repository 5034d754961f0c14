"""What the trial construction of a config's blocks finds, and what it leaves alone."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from build_cases import SMALL, complaints

from paddleseg import build, build_checks, registry
from paddleseg.build import load_config
from paddleseg.errors import ConfigError, WeightsError

pytestmark = pytest.mark.usefixtures("restored_registries")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone.output_stride=7", "ResNet18_vd: output_stride must be 8, 16 or 32, got 7"),
        ("model.recurrence=-1", "CCNet: recurrence must be 0 or more, got -1"),
        ("model.dropout_prob=1.5", "CCNet: dropout_prob must be in"),
        ("export.transforms=[{type: Normalize, mean: [a]}]", "expected a list, each entry a number"),
        ("val_dataset.transforms.0.target_size=[0,0]", "Padding: target_size"),
        ("test_config.stride=3", "got 3; expected a list"),
        ("--iters=3", "unknown key"),
    ],
)
def test_values_are_checked_before_anything_is_built(reference: Path, override: str, message: str) -> None:
    assert message in "\n".join(complaints(reference, [*SMALL, override]))


def test_checking_draws_no_random_numbers(reference: Path) -> None:
    paddle.seed(3)
    expected = paddle.rand([4]).numpy()
    paddle.seed(3)
    load_config(reference)
    np.testing.assert_array_equal(paddle.rand([4]).numpy(), expected)


def test_a_model_that_needs_its_parameters_values_is_checked_too(tmp_path: Path) -> None:
    @registry.MODELS.register
    class ReadsItsWeights(paddle.nn.Layer):
        def __init__(self, num_classes: int, scale: float = 1.0) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, num_classes, 1)
            self.conv.weight.set_value(self.conv.weight * scale)
            if scale < 0:
                raise ValueError(f"scale: got {scale}; expected 0 or more")

    path = tmp_path / "c.yml"
    path.write_text("model:\n  type: ReadsItsWeights\n  num_classes: 2\n  scale: 0.0\n")
    model = build.build_model(load_config(path))
    assert float(model.conv.weight.abs().sum()) == 0.0
    assert complaints(path, ["model.scale=-1.0"]) == [
        "--opts model.scale: ReadsItsWeights: scale: got -1.0; expected 0 or more"
    ]


def test_a_trial_draws_no_random_numbers_from_anywhere(tmp_path: Path) -> None:
    @registry.MODELS.register
    class DrawsNumbers(paddle.nn.Layer):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, num_classes, 1)
            self.conv.weight.set_value(self.conv.weight * random.random() * np.random.rand())

    path = tmp_path / "c.yml"
    path.write_text("model:\n  type: DrawsNumbers\n  num_classes: 2\n")

    def numbers() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), paddle.rand([1]).item()

    random.seed(3), np.random.seed(3), paddle.seed(3)
    expected = numbers()
    random.seed(3), np.random.seed(3), paddle.seed(3)
    load_config(path)
    assert numbers() == expected


def test_a_wrong_value_of_an_own_model_is_final(reference: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    assemble = build_checks.assemble_model
    monkeypatch.setattr(build_checks, "assemble_model", lambda node: tries.append(1) or assemble(node))
    complaints(reference, [*SMALL, "model.recurrence=-1"])
    assert len(tries) == 1


def test_a_users_optimizer_is_not_tried_on_another_model(list_config: Path) -> None:
    @registry.OPTIMIZERS.register
    def only_the_head(model: paddle.nn.Layer, learning_rate: float, momentum: float = 0.9) -> Any:
        return paddle.optimizer.Momentum(learning_rate, momentum, parameters=model.head.parameters())

    config = load_config(list_config, ["optimizer.type=only_the_head"])
    model = paddle.nn.Sequential(("head", paddle.nn.Linear(2, 2)))
    assert isinstance(build.build_optimizer(config, model), paddle.optimizer.Momentum)
    (found,) = complaints(list_config, ["optimizer.type=only_the_head", "optimizer.momentum=fast"])
    assert found.startswith("--opts optimizer.momentum: got 'fast'; expected a number")


def test_a_pretrained_model_is_compared_before_it_is_built(list_config: Path, tmp_path: Path) -> None:
    state = build.build_model(load_config(list_config)).state_dict()
    arrays = {name: value.numpy() for name, value in state.items()}
    classifiers = [name for name, value in arrays.items() if "backbone" not in name and len(value) == 4]
    assert classifiers
    for name in classifiers:
        arrays[name] = np.zeros((19, *arrays[name].shape[1:]), np.float32)
    weights = tmp_path / "city.pdparams"
    paddle.save(arrays, str(weights))
    config = load_config(list_config, [f"model.pretrained={weights}"])
    message = f"--opts model.pretrained: {weights}: these weights are for 19 classes, the model has 4"
    with pytest.raises(ConfigError, match=re.escape(message)):
        build.check_files(config, ["model"])
    build.check_files(config, ["val_dataset_that_is_not_there"])
    build.check_files(config, ["model"], allow_mismatch=True)
    with pytest.raises(WeightsError, match=re.escape(message)):
        build.build_model(config)
    model = build.build_model(config, allow_mismatch=True)
    np.testing.assert_array_equal(
        model.state_dict()["backbone.bb_0_0.conv0._conv.weight"].numpy(),
        arrays["backbone.bb_0_0.conv0._conv.weight"],
    )
    far = load_config(list_config, ["model.pretrained=https://localhost/not/in/the/cache.pdparams"])
    build.check_files(far, ["model"])


def test_an_optimizers_values_are_checked_before_there_is_a_model(list_config: Path) -> None:
    (found,) = complaints(list_config, ["optimizer.momentum=-1.0"])
    assert found.startswith("--opts optimizer.momentum: sgd: ")

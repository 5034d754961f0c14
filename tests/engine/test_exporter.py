"""Exported models against trained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from small_task import TinySegmenter

from paddleseg.config.config import Config
from paddleseg.engine import exporter
from paddleseg.engine.exporter import ExportError, deploy_description, export_model
from paddleseg.errors import ConfigError, OutputError
from paddleseg.models import ccnet
from paddleseg.models.backbones.resnet_vd import ResNet18_vd

SIZES = [(1, 32, 48), (2, 33, 47), (3, 17, 60)]


@pytest.fixture
def tiny() -> TinySegmenter:
    paddle.seed(1)
    return TinySegmenter(3)


def run(folder: Path, image: np.ndarray) -> np.ndarray:
    loaded = paddle.jit.load(str(folder / "model"))
    loaded.eval()
    with paddle.no_grad():
        return np.asarray(loaded(paddle.to_tensor(image)).numpy())


def export(model: Any, folder: Path, op: Any = "none", shape: Sequence[int] | None = None) -> list[Any]:
    return export_model(model, folder, output_op=op, input_shape=shape, description={"transforms": []})


def expected_output(model: Any, image: np.ndarray, op: str) -> np.ndarray:
    model.eval()
    logits = model(paddle.to_tensor(image))[0].numpy().astype(np.float64)
    if op == "argmax":
        return np.asarray(logits.argmax(axis=1))
    if op == "softmax":
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.asarray(logits)


@pytest.mark.parametrize("op", ["argmax", "softmax", "none"])
def test_any_size_and_every_output(tmp_path: Path, tiny: TinySegmenter, op: str) -> None:
    agreements = export(tiny, tmp_path, op)
    assert [agreement.size for agreement in agreements] == [(128, 192), (97, 161)]
    assert all(agreement.equal_labels == 1 for agreement in agreements)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deploy.yaml", "model.json", "model.pdiparams"]
    rng = np.random.default_rng(0)
    for size in SIZES:
        image = rng.standard_normal((size[0], 3, *size[1:]), dtype=np.float32)
        output = run(tmp_path, image)
        assert output.dtype == (np.int32 if op == "argmax" else np.float32)
        np.testing.assert_allclose(output, expected_output(tiny, image, op), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("recurrence", [0, 1, 2])
def test_criss_cross_attention_at_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recurrence: int
) -> None:
    monkeypatch.setattr(ccnet, "_INTER_CHANNELS", 16)
    paddle.seed(recurrence)
    model = ccnet.CCNet(5, ResNet18_vd(output_stride=32), recurrence=recurrence)
    if recurrence:
        model.head.cca.gamma.set_value(paddle.to_tensor([0.7]))
    export(model, tmp_path)
    rng = np.random.default_rng(0)
    for size in SIZES:
        image = rng.standard_normal((size[0], 3, *size[1:]), dtype=np.float32)
        expected = expected_output(model, image, "none")
        np.testing.assert_allclose(run(tmp_path, image), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ([1, 3, 40, 56], (40, 56)),
        ([-1, 3, 40, -1], (40, 161)),
        ([2, 3, -1, 56], (97, 56)),
        ([-1, 3, -1, -1], (97, 161)),
    ],
)
def test_fixed_and_half_fixed_shapes(
    tmp_path: Path, tiny: TinySegmenter, shape: list[int], size: tuple[int, int]
) -> None:
    agreements = export(tiny, tmp_path, "argmax", shape)
    assert agreements[-1].size == size
    deploy = yaml.safe_load((tmp_path / "deploy.yaml").read_text("utf-8"))["Deploy"]
    assert deploy["input_shape"] == shape
    image = np.zeros([abs(n) for n in shape[:2]] + list(size), dtype=np.float32)
    assert run(tmp_path, image).shape == (len(image), *size)


def test_deploy_yaml_says_how_to_use_the_model(
    tmp_path: Path, tiny: TinySegmenter, make_config: Callable[..., Config]
) -> None:
    config = make_config("val_dataset.class_names=[sky, road, car, none]")
    export_model(
        tiny, tmp_path, output_op="softmax", input_shape=None, description=deploy_description(config)
    )
    deploy = yaml.safe_load((tmp_path / "deploy.yaml").read_text("utf-8"))["Deploy"]
    versions = deploy.pop("versions")
    assert versions["paddle"] == paddle.__version__
    assert deploy == {
        "model": "model.json",
        "params": "model.pdiparams",
        "input_shape": [-1, 3, -1, -1],
        "output_op": "softmax",
        "output_dtype": "float32",
        "transforms": [{"type": "Padding", "target_size": [80, 64]}, {"type": "Normalize"}],
        "num_classes": 4,
        "class_names": ["sky", "road", "car", "none"],
    }


def test_export_transforms_come_before_those_of_validation(make_config: Callable[..., Config]) -> None:
    config = make_config(export={"transforms": [{"type": "Resize", "target_size": [8, 8]}]})
    assert deploy_description(config)["transforms"] == [{"type": "Resize", "target_size": [8, 8]}]


@pytest.mark.parametrize("block", ["export", "val_dataset"])
def test_transforms_of_training_are_not_deployed(make_config: Callable[..., Config], block: str) -> None:
    config = make_config(**({"export": {"transforms": [{"type": "Normalize"}]}} if block == "export" else {}))
    config.set(f"{block}.transforms", [{"type": "RandomHorizontalFlip"}], "--test")
    with pytest.raises(ConfigError, match=rf"{block}\.transforms: RandomHorizontalFlip belongs to training"):
        deploy_description(config)


def left_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*"))


@pytest.mark.parametrize("defect", [0.01, float("nan")])
def test_a_model_that_disagrees_is_not_written(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch, defect: float
) -> None:
    real = paddle.jit.load

    def load(path: str) -> Any:
        loaded = real(path)
        bias = next(p for p in loaded.parameters() if p.shape == [8])
        bias.set_value(bias + defect)
        return loaded

    monkeypatch.setattr(paddle.jit, "load", load)
    with pytest.raises(ExportError, match="disagrees with the trained one at 128×192"):
        export(tiny, tmp_path)
    assert left_in(tmp_path) == []


def test_new_weights_never_stand_beside_an_old_description(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny, tmp_path)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target.suffix == ".pdiparams":
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        export(tiny, tmp_path, "argmax")
    assert left_in(tmp_path) == ["model.json", "model.pdiparams"]


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, tiny: TinySegmenter) -> None:
    tiny.conv.bias.set_value(paddle.full([8], float("nan")))
    with pytest.raises(ExportError, match="nan"):
        export(tiny, tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_export_leaves_the_earlier_one(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    export(tiny, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(exporter, "_compare", fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        export(TinySegmenter(3), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

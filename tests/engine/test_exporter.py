"""Exported models against trained ones."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from in_process_conversion import convert_here
from small_task import TinySegmenter

from paddleseg.config.config import Config
from paddleseg.engine import exporter, onnx_export
from paddleseg.engine.export_check import compare, make_probes
from paddleseg.engine.exporter import (
    ExportError,
    deploy_description,
    deployed_pictures,
    export_model,
)
from paddleseg.engine.onnx_export import OnnxModel, write_onnx
from paddleseg.engine.static_export import StaticModel, write_static
from paddleseg.errors import ConfigError, OutputError, UsageError
from paddleseg.models import ccnet
from paddleseg.registry import BACKBONES, MODELS

# On two stages, to save time: all of the backbones are in a test of their own.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "CCNet": [{"recurrence": times, "backbone_indices": (0, 1)} for times in range(4)]
}
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


def export(
    model: Any,
    folder: Path,
    op: Any = "none",
    shape: Sequence[int] | None = None,
    file_format: Any = "paddle",
) -> list[Any]:
    return export_model(
        model,
        folder,
        output_op=op,
        input_shape=shape,
        description={"transforms": []},
        file_format=file_format,
    )


def description_in(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "deploy.yaml").read_text("utf-8"))["Deploy"])


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


def segmenter(name: str, backbone: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """A registered model, as small as its backbone allows, whose attention takes part."""
    monkeypatch.setattr(ccnet, "_INTER_CHANNELS", 16)
    paddle.seed(1)
    stages = max(options.get("backbone_indices", (3,))) + 1
    features = BACKBONES.get(backbone)(output_stride=32, num_stages=stages)
    model = MODELS.get(name)(num_classes=5, backbone=features, **options)
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith(".gamma"):
            # With more, two random stages make a rounding of the input 100 times as large.
            parameter.set_value(paddle.to_tensor([0.1]))
    return model


def assert_agreements(agreements: list[Any], formats: Sequence[str]) -> None:
    expected = [(name, size) for name in formats for size in ((128, 192), (97, 161))]
    assert [(one.format, one.size) for one in agreements] == expected
    assert all(one.equal_labels >= 0.9999 for one in agreements)


def registered(registry: Any) -> list[str]:
    return sorted(name for name in registry if registry.get(name).__module__.startswith("paddleseg."))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name in registered(MODELS) for options in VARIANTS.get(name, [{}])],
)
def test_every_model_in_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    convert_here(monkeypatch)
    model = segmenter(name, "ResNet18_vd", monkeypatch, **options)
    assert_agreements(export(model, tmp_path, "argmax", file_format="all"), ["paddle", "legacy", "onnx"])
    image = np.random.default_rng(0).standard_normal((3, 3, 17, 60), dtype=np.float32)
    np.testing.assert_array_equal(run(tmp_path, image), expected_output(model, image, "argmax"))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", registered(BACKBONES))
def test_every_backbone_in_both_current_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    """What ``--format all`` does, without the old format, whose operators are those of ResNet18 too."""
    convert_here(monkeypatch)
    model = segmenter("CCNet", backbone, monkeypatch, recurrence=1)
    model.eval()
    path, shape = tmp_path / "model", (None, 3, None, None)
    probes = make_probes(model, shape, output_op="none")
    write_static(model, path, shape, output_op="none")
    static = StaticModel(path, output_op="none")
    write_onnx(path, tmp_path / "model.onnx", static.leaky_relu_slopes(), output_op="none")
    onnx_model = OnnxModel(tmp_path / "model.onnx", output_op="none")
    agreements = compare(static, probes, file_format="paddle") + compare(
        onnx_model, probes, file_format="onnx"
    )
    assert_agreements(agreements, ["paddle", "onnx"])


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


def checksums(folder: Path, *names: str) -> dict[str, str]:
    return {name: f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}" for name in names}


def test_deploy_yaml_says_how_to_use_the_model(
    tmp_path: Path, tiny: TinySegmenter, make_config: Callable[..., Config]
) -> None:
    config = make_config("val_dataset.class_names=[sky, road, car, none]")
    export_model(
        tiny, tmp_path, output_op="softmax", input_shape=None, description=deploy_description(config)
    )
    deploy = description_in(tmp_path)
    versions = deploy.pop("versions")
    assert versions["paddle"] == paddle.__version__
    assert deploy.pop("checksums") == checksums(tmp_path, "model.json", "model.pdiparams")
    assert deploy == {
        "model": "model.json",
        "params": "model.pdiparams",
        "input_shape": [-1, 3, -1, -1],
        "output_op": "softmax",
        "output_dtype": "float32",
        "padding": {"side": "bottom_right", "value": 0.0},
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
    def write(model: Any, *args: Any, **options: Any) -> None:
        damaged = TinySegmenter(3)
        damaged.set_state_dict(model.state_dict())
        damaged.conv.bias.set_value(damaged.conv.bias + defect)
        damaged.eval()
        write_static(damaged, *args, **options)

    monkeypatch.setattr(exporter, "write_static", write)
    with pytest.raises(ExportError, match="disagrees with the trained one on a random image of 128×192"):
        export(tiny, tmp_path, "argmax")
    assert left_in(tmp_path) == []


def test_a_lost_slope_is_noticed_and_the_earlier_export_stays(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_here(monkeypatch)
    export(tiny, tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(onnx_export, "_set_slopes", lambda model, slopes: None)
    with pytest.raises(ExportError, match=r"format onnx\) disagrees with the trained one on a random image"):
        export(tiny, tmp_path, "argmax", file_format="all")
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_files_belong_to_the_newest_export(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_here(monkeypatch)
    mine = tmp_path / "notes.txt"
    mine.write_text("not of an export")
    kept = ["deploy.yaml", "notes.txt"]
    everything = ["legacy/model.pdiparams", "legacy/model.pdmodel", "model.json", "model.onnx"]
    everything += ["model.pdiparams"]
    for file_format, files in (
        ("all", everything),
        ("onnx", ["model.onnx"]),
        ("legacy", ["model.pdiparams", "model.pdmodel"]),
        ("paddle", ["model.json", "model.pdiparams"]),
    ):
        export(tiny, tmp_path, "argmax", file_format=file_format)
        assert sorted(contents(tmp_path)) == sorted([*files, *kept])
        deploy = description_in(tmp_path)
        assert deploy["checksums"] == checksums(tmp_path, *files)
        assert sorted(value for value in deploy.values() if value in files) == files
    assert left_in(tmp_path) == ["deploy.yaml", "model.json", "model.pdiparams", "notes.txt"]


@pytest.mark.parametrize(
    "damaged", ["", "Deploy:", "Deploy: {int8: model_int8.onnx, model: ../outside.json, onnx: [3]}", "\x00"]
)
def test_an_earlier_description_of_any_kind(tmp_path: Path, tiny: TinySegmenter, damaged: str) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (tmp_path / "outside.json").write_text("{}")
    for name in ("model_int8.onnx", "model.onnx"):
        (folder / name).write_bytes(b"")
    (folder / "deploy.yaml").write_text(damaged)
    export(tiny, folder)
    assert (tmp_path / "outside.json").exists()
    assert (folder / "model.onnx").exists()
    assert (folder / "model_int8.onnx").exists() == ("int8" not in damaged)


def test_missing_packages_are_named_before_anything_is_done(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for file_format in ("onnx", "all"):
        with pytest.raises(UsageError, match=r"pip install 'paddleseg-ccnet\[deploy\]'"):
            export(tiny, tmp_path / "new", file_format=file_format)
    assert not (tmp_path / "new").exists()


def test_real_pictures_are_compared(
    tmp_path: Path, tiny: TinySegmenter, make_config: Callable[..., Config]
) -> None:
    pictures = deployed_pictures(make_config())
    agreements = export_model(
        tiny, tmp_path, output_op="argmax", input_shape=None, description={}, pictures=pictures
    )
    assert [one.image for one in agreements[2:]] == ["picture 1", "picture 2", "picture 3"]


def test_pictures_that_are_missing_are_named(
    tmp_path: Path, make_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(f"val_dataset.val_path={tmp_path / 'missing.txt'}")
    with caplog.at_level("INFO"):
        assert deployed_pictures(config) == []
    assert "random images alone" in caplog.text
    assert "missing.txt" in caplog.text


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
    with pytest.raises(ExportError, match="weights are damaged"):
        export(tiny, tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_export_leaves_the_earlier_one(
    tmp_path: Path, tiny: TinySegmenter, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    export(tiny, tmp_path)
    before = contents(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(exporter, "compare", fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        export(TinySegmenter(3), tmp_path)
    assert contents(tmp_path) == before

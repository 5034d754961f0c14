"""The runner over an exported model, against the model itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image
from small_task import TinySegmenter

from paddleseg.data.transforms import Compose, Normalize, Padding, Resize, Sample
from paddleseg.engine.evaluator import as_predict
from paddleseg.engine.exporter import export_model
from paddleseg.engine.predictor import predict_label
from paddleseg.errors import ConfigError, DataError
from paddleseg.inference import InferenceOptions

STEPS: dict[str, Any] = {"Padding": Padding, "Resize": Resize, "Normalize": Normalize}


@pytest.fixture(scope="module")
def infer() -> ModuleType:
    """deploy/python/infer.py, which is no package."""
    path = Path(__file__).resolve().parents[2] / "deploy" / "python" / "infer.py"
    spec = importlib.util.spec_from_file_location("infer_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model() -> TinySegmenter:
    """Conv, BN, LeakyReLU and bilinear interpolation: what Paddle Inference's oneDNN passes fail on."""
    paddle.seed(2)
    model = TinySegmenter(3)
    model.eval()
    return model


def export(
    model: TinySegmenter, folder: Path, blocks: list[dict[str, Any]], op: Any, shape: Any = None
) -> Path:
    description = {"transforms": blocks, "num_classes": 3, "palette": [[255, 0, 0], [0, 9, 0], [0, 0, 7]]}
    export_model(model, folder, output_op=op, input_shape=shape, description=description)
    return folder / "deploy.yaml"


def write_images(folder: Path) -> Path:
    folder.mkdir()
    for name, size in (("a.png", (40, 56)), ("b.png", (33, 47))):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def trained_label(model: TinySegmenter, path: Path, blocks: list[dict[str, Any]]) -> np.ndarray:
    steps = [STEPS[b["type"]](**{k: v for k, v in b.items() if k != "type"}) for b in blocks]
    pixels = np.asarray(Image.open(path), dtype=np.float32)
    return predict_label(
        Sample(pixels), predict=as_predict(model), transforms=Compose(steps), options=InferenceOptions()
    )


@pytest.mark.parametrize(
    ("blocks", "op", "shape"),
    [
        ([{"type": "Normalize"}], "argmax", None),
        ([{"type": "Normalize"}], "softmax", None),
        ([{"type": "Padding", "target_size": [64, 48]}, {"type": "Normalize"}], "argmax", [1, 3, 48, 64]),
        ([{"type": "Resize", "target_size": [40, 32]}, {"type": "Normalize"}], "none", [1, 3, 32, 40]),
    ],
)
def test_its_labels_are_those_of_the_trained_model(
    infer: ModuleType, model: TinySegmenter, tmp_path: Path, blocks: Any, op: str, shape: Any
) -> None:
    config = export(model, tmp_path / "model", blocks, op, shape)
    images = write_images(tmp_path / "images")
    out = tmp_path / "out"
    status = infer.main(
        ["--config", str(config), "--image_path", str(images), "--save_dir", str(out), "--device", "cpu"]
    )
    assert status == 0
    for path in images.iterdir():
        label = np.asarray(Image.open(out / "label" / path.name))
        assert np.mean(label == trained_label(model, path, blocks)) >= 0.9999
        assert len(np.unique(label)) > 1, "a comparison worth making"
        painted = Image.open(out / "pseudo_color_prediction" / path.name).convert("RGB")
        np.testing.assert_array_equal(
            np.asarray(painted), np.array([[255, 0, 0], [0, 9, 0], [0, 0, 7]])[label]
        )


def test_labels_of_a_resizing_argmax_model_keep_their_size(
    infer: ModuleType, model: TinySegmenter, tmp_path: Path
) -> None:
    blocks = [{"type": "Resize", "target_size": [40, 32]}, {"type": "Normalize"}]
    config = export(model, tmp_path, blocks, "argmax")
    exported = infer.ExportedModel(str(config), device="cpu", threads=1)
    label = exported.label_of(Sample(np.zeros((21, 35, 3), dtype=np.float32)))
    assert label.shape == (21, 35)
    assert label.dtype == np.uint8


def test_an_image_of_another_size_than_the_exported_one_is_skipped(
    infer: ModuleType, model: TinySegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = export(model, tmp_path / "model", [{"type": "Normalize"}], "argmax", [1, 3, 40, 56])
    images = write_images(tmp_path / "images")
    (images / "c.png").write_bytes(b"broken")
    out = tmp_path / "out"
    status = infer.main(["--config", str(config), "--image_path", str(images), "--save_dir", str(out)])
    assert status == 1
    assert [p.name for p in (out / "label").iterdir()] == ["a.png"]
    shown = capsys.readouterr().out
    assert "b.png: the transforms make it [1, 3, 33, 47]" in shown
    assert "c.png" in shown
    exported = infer.ExportedModel(str(config), device="cpu", threads=1)
    with pytest.raises(DataError, match="--input_shape 1 3 40 56"):
        exported.label_of(Sample(np.zeros((8, 8, 3), dtype=np.float32)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no: yaml: here", "not a deploy.yaml"),
        ("Deploy: {model: model.json}", "lacks input_shape, params, transforms"),
        ("[1]", "not a deploy.yaml"),
        (
            "Deploy: {model: m, params: p, transforms: [], input_shape: [-1, 3, -1, -1]}",
            "Deploy.model: no file",
        ),
    ],
)
def test_a_bad_description_is_reported(
    infer: ModuleType, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deploy.yaml"
    path.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    status = infer.main(["--config", str(path), "--image_path", str(tmp_path), "--save_dir", str(out)])
    assert status == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "Normalise"}, "did you mean 'Normalize'"),
        ({"type": "Resize", "size": 3}, "Deploy.transforms"),
        ({"target_size": [3, 3]}, "Deploy.transforms"),
    ],
)
def test_a_bad_transform_is_reported(
    infer: ModuleType,
    model: TinySegmenter,
    tmp_path: Path,
    block: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = export(model, tmp_path, [block], "argmax")
    assert infer.main(["--config", str(path), "--image_path", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_model_is_reported(infer: ModuleType, model: TinySegmenter, tmp_path: Path) -> None:
    path = export(model, tmp_path, [], "argmax")
    deploy = yaml.safe_load(path.read_text("utf-8"))
    (tmp_path / deploy["Deploy"]["model"]).write_text("{}")
    with pytest.raises(ConfigError, match="cannot load the model"):
        infer.ExportedModel(str(path), device="cpu", threads=1)

"""Comparisons of exported files with the trained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg.build import build_transforms
from paddleseg.build_packs import build_for_packing
from paddleseg.config.config import Config
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.data.transforms import Compose
from paddleseg.engine.export_check import ExportError, Outcome, Probe, compare, first_pictures, make_probes
from paddleseg.errors import ConfigError, DataError

ANY = (None, 3, None, None)


class Doubled(nn.Layer):
    """Logits that are known by hand: twice the channels."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [x * 2]


def picture(height: int, width: int) -> np.ndarray:
    return np.arange(3 * height * width, dtype=np.float32).reshape(3, height, width)


def test_random_images_of_several_sizes_and_pictures() -> None:
    probes = make_probes(Doubled(), ANY, output_op="none", pictures=[picture(20, 30)])
    assert [(probe.name, probe.image.shape) for probe in probes] == [
        ("random image", (2, 3, 128, 192)),
        ("random image", (2, 3, 97, 161)),
        ("picture 1", (1, 3, 20, 30)),
    ]
    for probe in probes:
        np.testing.assert_array_equal(probe.scores, probe.image * 2)
    np.testing.assert_array_equal(probes[2].image[0], picture(20, 30))


def test_softmax_gives_probabilities() -> None:
    probe = make_probes(Doubled(), ANY, output_op="softmax")[0]
    powers = np.exp(2 * probe.image.astype(np.float64))
    np.testing.assert_allclose(probe.scores, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_fixed_sizes_cut_or_fill_a_picture() -> None:
    shape = (2, 3, 10, 40)
    probes = make_probes(Doubled(), shape, output_op="none", pictures=[picture(20, 30)])
    assert [probe.image.shape for probe in probes] == [shape, shape]
    expected = np.zeros((3, 10, 40), dtype=np.float32)
    expected[:, :, :30] = picture(20, 30)[:, 5:15]
    for image in probes[1].image:
        np.testing.assert_array_equal(image, expected)


def test_of_a_large_picture_the_middle_counts() -> None:
    probe = make_probes(Doubled(), ANY, output_op="none", pictures=[picture(600, 4)])[-1]
    np.testing.assert_array_equal(probe.image[0], picture(600, 4)[:, 44:556])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_without_numbers_is_refused(value: float) -> None:
    class Broken(nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [x + value]

    with pytest.raises(ExportError, match=r"not numbers .*export an earlier checkpoint"):
        make_probes(Broken(), ANY, output_op="none")


@pytest.fixture
def probe() -> Probe:
    """Class 1 wins everywhere in 100×200 pixels, 3 to 1."""
    scores = np.ones((1, 2, 100, 200), dtype=np.float32)
    scores[:, 1] = 3
    return Probe("random image", np.zeros((1, 3, 100, 200), dtype=np.float32), scores)


def of(probe: Probe, *, wrong: int = 0, shift: float = 0.0) -> Callable[[Any], Outcome]:
    """Files that give ``wrong`` pixels another class, and move one logit."""
    labels, scores = probe.scores.argmax(axis=1), probe.scores.copy()
    labels.reshape(-1)[:wrong] = 0
    scores[0, 0, 0, 0] += shift
    return lambda image: Outcome(scores, labels)


def test_agreement_is_reported(probe: Probe) -> None:
    (agreement,) = compare(of(probe, wrong=2, shift=2.5e-4), [probe], file_format="onnx")
    assert (agreement.format, agreement.image, agreement.size) == ("onnx", "random image", (100, 200))
    assert agreement.difference == pytest.approx(2.5e-4, rel=1e-3)
    assert agreement.largest == 3
    assert agreement.equal_labels == 1 - 2 / 20000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wrong": 3}, r"equal labels 99\.9850% \(expected at least 99\.99%\)"),
        ({"shift": 1.8e-3}, r"largest difference 0\.0018 \(expected at most 0\.0015\)"),  # 5e-4 of 3
        ({"shift": float("nan")}, "largest difference nan"),
    ],
)
def test_disagreement_is_an_error(probe: Probe, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=rf"format onnx.*random image of 100×200: .*{message}"):
        compare(of(probe, **options), [probe], file_format="onnx")


def test_one_pixel_of_a_small_image_may_be_a_tie() -> None:
    scores = np.zeros((1, 2, 2, 2), dtype=np.float32)
    probe = Probe("picture 1", np.zeros((1, 3, 2, 2), dtype=np.float32), scores)
    labels = np.zeros((1, 2, 2), dtype=np.int32)
    labels[0, 0, 0] = 1
    (agreement,) = compare(lambda image: Outcome(scores, labels), [probe], file_format="paddle")
    assert agreement.equal_labels == 0.75
    labels[0, 1, 1] = 1
    with pytest.raises(ExportError, match="equal labels 50"):
        compare(lambda image: Outcome(scores, labels), [probe], file_format="paddle")


def test_another_size_is_an_error(probe: Probe) -> None:
    short = Outcome(probe.scores[:, :, :99], probe.scores.argmax(axis=1))
    with pytest.raises(ExportError, match=r"\(1, 2, 99, 200\)"):
        compare(lambda image: short, [probe], file_format="paddle")


def test_pictures_come_through_the_deployed_transforms(make_config: Callable[..., Config]) -> None:
    config = make_config(export={"transforms": [{"type": "Resize", "target_size": [32, 16]}]})
    assert [one.shape for one in first_pictures(config, Compose(build_transforms(config, "export")))] == [
        (3, 16, 32)
    ] * 3
    # Padding to 80×64, then Normalize.
    padded = first_pictures(config, Compose(build_transforms(config, "val_dataset")))
    assert [one.shape for one in padded] == [(3, 64, 80)] * 3
    assert np.abs(padded[0]).max() <= 1


def test_pictures_that_are_not_there(make_config: Callable[..., Config], tmp_path: Path) -> None:
    config = make_config()
    config.set("val_dataset", None, "--test")
    with pytest.raises(ConfigError, match="no val_dataset"):
        first_pictures(config, Compose(build_transforms(config, "val_dataset")))
    config = make_config(f"val_dataset.val_path={tmp_path / 'missing.txt'}")
    with pytest.raises(DataError, match=r"missing\.txt"):
        first_pictures(config, Compose(build_transforms(config, "val_dataset")))


def test_pictures_come_from_the_pack(make_config: Callable[..., Config], tmp_path: Path) -> None:
    config = make_config()
    build_pack(build_for_packing(config, "val"), tmp_path / "p", PackOptions())
    transforms = Compose(build_transforms(config, "val_dataset"))
    expected = first_pictures(config, transforms)
    changes = {"pack": tmp_path / "p", "dataset_root": tmp_path / "gone"}
    config = make_config(*(f"val_dataset.{key}={value}" for key, value in changes.items()))
    found = first_pictures(config, transforms)
    assert len(found) == 3
    np.testing.assert_array_equal(found, expected)

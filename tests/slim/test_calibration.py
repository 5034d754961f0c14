"""What the calibration sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_onnx import write_export

from deploy.python.description import read_description
from paddleseg.engine.predictor import ImageFile, find_images
from slim.quant.calibration import CalibrationPictures, spread

RED = np.array([1.0, -1.0, 0.2], dtype=np.float32)  # (255, 0, 153) / 127.5 − 1


def red_pictures(folder: Path, count: int, size: tuple[int, int]) -> list[ImageFile]:
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((*size, 3), (153, 0, 255), dtype=np.uint8))
    return find_images(str(folder))


def batches(tmp_path: Path, shape: tuple[Any, ...], *, size: tuple[int, int] = (4, 6)) -> list[Any]:
    description = read_description(write_export(tmp_path / "export", shape=shape))
    reader = CalibrationPictures(description, red_pictures(tmp_path / "p", 2, size), input_name="x")
    assert len(reader) == 2
    return list(reader)


def test_pictures_come_normalised_one_by_one(tmp_path: Path) -> None:
    found = batches(tmp_path, ("n", 3, "h", "w"))
    assert len(found) == 2
    for batch in found:
        assert list(batch) == ["x"]
        np.testing.assert_allclose(
            batch["x"], np.broadcast_to(RED.reshape(1, 3, 1, 1), (1, 3, 4, 6)), atol=1e-6
        )


def test_a_fixed_size_is_filled_as_in_prediction(tmp_path: Path) -> None:
    found = batches(tmp_path, (2, 3, 8, 8))
    assert len(found) == 2
    expected = np.zeros((2, 3, 8, 8), dtype=np.float32)
    expected[0, :, :4, :6] = RED.reshape(3, 1, 1)
    np.testing.assert_allclose(found[0]["x"], expected, atol=1e-6)


def test_a_picture_larger_than_the_model_comes_in_windows(tmp_path: Path) -> None:
    # 8 wide windows every 6 pixels over 14 columns: 2 a picture.
    found = batches(tmp_path, (1, 3, 4, 8), size=(4, 14))
    assert [batch["x"].shape for batch in found] == [(1, 3, 4, 8)] * 4


def test_a_part_of_the_pictures(tmp_path: Path) -> None:
    description = read_description(write_export(tmp_path / "export"))
    reader = CalibrationPictures(description, red_pictures(tmp_path / "p", 3, (4, 6)), input_name="x")
    reader.set_range(1, 3)
    assert len(list(reader)) == 2
    assert reader.get_next() is None


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(10, 4, [0, 3, 6, 9]), (3, 64, [0, 1, 2]), (5, 1, [0]), (9, 3, [0, 4, 8])],
)
def test_pictures_are_picked_at_equal_distances(total: int, count: int, expected: list[int]) -> None:
    images = [ImageFile(Path(f"{i}.png"), str(i)) for i in range(total)]
    used, others = spread(images, count)
    assert [int(one.name) for one in used] == expected
    assert [int(one.name) for one in others] == [i for i in range(total) if i not in expected]

"""The pictures of a prediction: those written by rows against those written at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg.engine.pictures import PredictionFolders, pictures_of, write_pictures
from paddleseg.errors import OutputError
from paddleseg.visualise import color_map

PALETTE = color_map(256)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", [(1, 1), (64, 5), (65, 30), (200, 41)])
def test_pictures_of_a_large_image_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], channels: int
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, channels)).astype(np.uint8)
    label = rng.integers(0, 19, size).astype(np.uint8)
    monkeypatch.setattr("paddleseg.engine.pictures.LARGE", 0)
    folders = PredictionFolders(tmp_path)
    write_pictures(pixels, label, PALETTE, folders, name="a/b")
    for folder, data in pictures_of(pixels, label, PALETTE, folders).items():
        (tmp_path / "expected.png").write_bytes(data)
        with Image.open(folder / "a/b.png") as written, Image.open(tmp_path / "expected.png") as expected:
            assert written.mode == expected.mode
            written.load()  # checks the sums of the file's parts
            np.testing.assert_array_equal(np.asarray(written), np.asarray(expected))


@pytest.mark.parametrize("limit", [0, 10_000])
@pytest.mark.parametrize("error", [OutputError, MemoryError, KeyboardInterrupt])
def test_a_failure_leaves_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, error: type[BaseException]
) -> None:
    pixels, label = np.zeros((9, 14, 3), np.uint8), np.zeros((9, 14), np.uint8)
    monkeypatch.setattr("paddleseg.engine.pictures.LARGE", limit)
    folders = PredictionFolders(tmp_path)
    if error is OutputError:
        folders.added.mkdir()
        (folders.added / "a.png").mkdir()
    else:

        def fail(*arguments: object) -> None:
            raise error

        monkeypatch.setattr("paddleseg.engine.pictures.overlay", fail)
    with pytest.raises(error):
        write_pictures(pixels, label, PALETTE, folders, name="a")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

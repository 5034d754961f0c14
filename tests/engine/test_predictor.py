"""Predicting at the original size: reading ahead, failures of single images, large images."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image
from small_task import TinySegmenter

from paddleseg.data.transforms import (
    Compose,
    Normalize,
    Padding,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    Resize,
    ResizeByShort,
    Sample,
)
from paddleseg.engine.model_function import as_predict
from paddleseg.engine.predictor import (
    ImageFile,
    PredictionFolders,
    find_images,
    predict_images,
    predict_label,
    preprocess,
)
from paddleseg.errors import ConfigError, DataError, OutputError, WeightsError
from paddleseg.inference import InferenceOptions, infer_logits, undo_transforms
from paddleseg.visualise import color_map

PALETTE = color_map(256)


def write_pictures(root: Path) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(root / "colour.png")
    Image.fromarray(pixels[..., 0]).save(root / "grey.png")
    (root / "broken.png").write_bytes((root / "colour.png").read_bytes()[:60])
    (root / "text.jpg").write_text("no picture")
    return pixels


def classes_by_red(image: Sample) -> np.ndarray:
    assert image.image.shape[2] == 3
    return (image.image[..., 0] // 64).astype(np.uint8)


def test_three_pictures_an_image_and_broken_ones_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = write_pictures(tmp_path)
    folders = PredictionFolders(tmp_path / "out")
    images = find_images(str(tmp_path))
    failed = predict_images(classes_by_red, images, folders, img_channels=3, palette=PALETTE, progress=False)
    assert [image.path.name for image in failed] == ["broken.png", "text.jpg"]
    assert all(name in caplog.text for name in ("broken.png", "text.jpg"))
    for folder in ("label", "pseudo_color_prediction", "added_prediction"):
        assert sorted(p.name for p in (tmp_path / "out" / folder).iterdir()) == ["colour.png", "grey.png"]

    expected = pixels[..., 0] // 64
    label = Image.open(folders.label / "colour.png")
    assert label.mode == "L"
    np.testing.assert_array_equal(np.asarray(label), expected)
    painted = np.asarray(Image.open(folders.pseudo_color / "colour.png").convert("RGB"))
    np.testing.assert_array_equal(painted, PALETTE[expected])
    added = np.asarray(Image.open(folders.added / "colour.png")).astype(float)
    np.testing.assert_allclose(added, 0.6 * pixels + 0.4 * PALETTE[expected], atol=0.51)


def test_an_image_that_the_transforms_refuse_is_skipped_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pictures(tmp_path)
    transforms = Compose([Padding([10, 10]), Normalize()])
    failed = predict_images(
        lambda image: predict_label(
            image, predict=lambda x: x, transforms=transforms, options=InferenceOptions()
        ),
        [ImageFile(tmp_path / "colour.png", "colour")],
        PredictionFolders(tmp_path / "out"),
        img_channels=3,
        palette=PALETTE,
        progress=False,
    )
    assert len(failed) == 1
    assert "colour.png: Padding: the image has 14×9 pixels" in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"), [(MemoryError(), "out of memory"), (cv2.error("!_src.empty()"), "!_src.empty()")]
)
def test_an_image_that_is_too_much_is_named_and_the_rest_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    write_pictures(tmp_path)

    def label_of(image: Sample) -> np.ndarray:
        if "colour" in image.image_path:
            raise error
        return classes_by_red(image)

    images = [ImageFile(tmp_path / f"{name}.png", name) for name in ("colour", "grey")]
    folders = PredictionFolders(tmp_path / "out")
    failed = predict_images(label_of, images, folders, img_channels=3, palette=PALETTE, progress=False)
    assert failed == images[:1]
    assert f"colour.png: {reason}" in caplog.text
    assert [p.name for p in folders.added.iterdir()] == ["grey.png"]


def test_no_picture_is_written_where_one_cannot_be_drawn(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    images = [ImageFile(tmp_path / "colour.png", "colour")]
    folders = PredictionFolders(tmp_path / "out")

    def of_another_size(image: Sample) -> np.ndarray:
        return np.zeros((3, 3), dtype=np.uint8)

    assert predict_images(of_another_size, images, folders, img_channels=3, palette=PALETTE, progress=False)
    assert not (tmp_path / "out").exists()


def test_transforms_of_training_are_refused(tmp_path: Path) -> None:
    for transform in (RandomHorizontalFlip(), Compose([RandomPaddingCrop([8, 8])])):
        with pytest.raises(ConfigError, match=r"belongs to training only, in prediction"):
            preprocess(Sample(np.zeros((9, 9, 3), np.float32)), Compose([Normalize(), transform]))


def test_grey_models_get_one_channel(tmp_path: Path) -> None:
    write_pictures(tmp_path)

    def label_of(image: Sample) -> np.ndarray:
        assert image.image.shape == (9, 14, 1)
        return np.zeros((9, 14), dtype=np.uint8)

    images = [ImageFile(tmp_path / "grey.png", "grey")]
    folders = PredictionFolders(tmp_path / "out")
    assert not predict_images(label_of, images, folders, img_channels=1, palette=PALETTE, progress=False)
    assert cv2.imread(str(folders.added / "grey.png")).shape == (9, 14, 3)


def test_results_that_cannot_be_written_end_the_program(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "label").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        predict_images(
            classes_by_red,
            [ImageFile(tmp_path / "colour.png", "colour")],
            PredictionFolders(tmp_path / "out"),
            img_channels=3,
            palette=PALETTE,
            progress=False,
        )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["label"]


@pytest.mark.parametrize(
    "steps", [[], [Padding([70, 60])], [Resize([40, 32])], [ResizeByShort(32), Padding([70, 60])]]
)
@pytest.mark.parametrize("options", [InferenceOptions(), InferenceOptions(scales=[0.75, 1.25])])
def test_labels_have_the_size_of_the_image(steps: list[object], options: InferenceOptions) -> None:
    paddle.seed(0)
    model = TinySegmenter(3)
    model.eval()
    image = Sample(np.random.default_rng(0).uniform(0, 255, (41, 53, 3)).astype(np.float32))
    label = predict_label(
        image, predict=as_predict(model), transforms=Compose([*steps, Normalize()]), options=options
    )
    assert label.shape == (41, 53)
    assert label.dtype == np.uint8


def test_padding_changes_nothing_far_from_the_edge() -> None:
    paddle.seed(0)
    model = TinySegmenter(3)
    model.eval()
    pixels = np.random.default_rng(0).uniform(0, 255, (40, 52, 3)).astype(np.float32)
    plain, padded = (
        predict_label(
            Sample(pixels),
            predict=as_predict(model),
            transforms=Compose([*steps, Normalize()]),
            options=InferenceOptions(),
        )
        for steps in ([], [Padding([72, 60])])
    )
    np.testing.assert_array_equal(plain[:-4, :-4], padded[:-4, :-4])


def predict(images: list[ImageFile], root: Path, **options: Any) -> list[ImageFile]:
    options = {"img_channels": 3, "palette": PALETTE, "progress": False} | options
    return predict_images(options.pop("label_of", classes_by_red), images, PredictionFolders(root), **options)


def write_many(root: Path, count: int) -> list[ImageFile]:
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (9, 14, 3)).astype(np.uint8)).save(root / f"{index:02d}.png")
    return find_images(str(root))


def test_every_image_gets_its_own_label_in_order(tmp_path: Path) -> None:
    images = write_many(tmp_path, 20)
    (tmp_path / "07.png").write_text("no picture")
    order: list[str] = []

    def label_of(image: Sample) -> np.ndarray:
        order.append(Path(image.image_path).stem)
        if order[-1] == "11":
            raise DataError("11: out of luck")
        return classes_by_red(image)

    failed = predict(images, tmp_path / "out", label_of=label_of)
    assert [image.name for image in failed] == ["07", "11"]
    assert order == [f"{index:02d}" for index in range(20) if index != 7]
    for image in set(images) - set(failed):
        label = cv2.imread(str(tmp_path / f"out/label/{image.name}.png"), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(label, np.asarray(Image.open(image.path))[..., 0] // 64)


def test_the_next_image_is_read_while_the_model_has_this_one(tmp_path: Path) -> None:
    images, second_is_read = write_many(tmp_path, 2), threading.Event()

    def prepare(image: Sample) -> Sample:
        if image.image_path.endswith("01.png"):
            second_is_read.set()
        return image

    def label_of(image: Sample) -> np.ndarray:
        assert second_is_read.wait(30)
        return classes_by_red(image)

    assert not predict(images, tmp_path / "out", label_of=label_of, prepare=prepare)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WeightsError("not numbers")])
def test_what_ends_the_program_leaves_no_thread_and_no_half_image(
    tmp_path: Path, error: BaseException
) -> None:
    images, threads = write_many(tmp_path, 9), threading.active_count()
    count = itertools.count()

    def label_of(image: Sample) -> np.ndarray:
        if next(count) == 4:
            raise error
        return classes_by_red(image)

    with pytest.raises(type(error)):
        predict(images, tmp_path / "out", label_of=label_of)
    assert threading.active_count() == threads
    written = [{path.name for path in folder.iterdir()} for folder in (tmp_path / "out").iterdir()]
    assert all(names == written[0] for names in written)
    assert written[0] == {f"{index:02d}.png" for index in range(4)}


def test_a_bug_in_a_transform_is_not_taken_for_a_bad_image(tmp_path: Path) -> None:
    def prepare(image: Sample) -> Sample:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        predict(write_many(tmp_path, 3), tmp_path / "out", prepare=prepare)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_a_large_image_goes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    images = write_many(tmp_path, 3)
    pixels = cv2.resize(cv2.imread(str(images[1].path)), (28, 18))
    images[1].path.unlink()
    cv2.imwrite(str(tmp_path / f"01{suffix}"), pixels)
    images = find_images(str(tmp_path))
    monkeypatch.setattr("paddleseg.engine.image_files.LARGE", 14 * 9)
    events: list[tuple[str, str]] = []

    def prepare(image: Sample) -> Sample:
        events.append(("read", Path(image.image_path).stem))
        return image

    def label_of(image: Sample) -> np.ndarray:
        events.append(("label", Path(image.image_path).stem))
        if events[-1][1] == "01":
            written = tmp_path / "out/added_prediction/00.png"
            assert written.exists(), "all before it is done"
        return classes_by_red(image)

    assert not predict(images, tmp_path / "out", label_of=label_of, prepare=prepare)
    assert events.index(("label", "00")) < events.index(("read", "01")), "it is not read ahead"
    assert sorted(path.name for path in (tmp_path / "out/label").iterdir()) == ["00.png", "01.png", "02.png"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("steps", [[], [Padding([70, 60])], [Resize([40, 32])]])
def test_windows_are_normalised_one_by_one_to_the_same_numbers(steps: list[Any], dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (41, 53, 3)).astype(dtype)
    transforms = Compose([*steps, Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])])
    whole, undo = preprocess(Sample(pixels), transforms)
    parts, undo_of_parts = preprocess(Sample(pixels), transforms, in_parts=True)
    assert parts.shape == whole.shape
    assert undo_of_parts == undo
    assert isinstance(whole, np.ndarray)
    np.testing.assert_array_equal(parts[:], whole)
    part = slice(None), slice(None), slice(5, 17), slice(8, 30)
    np.testing.assert_array_equal(parts[part], whole[part])
    expected = Compose(steps)(Sample(pixels.astype(np.float32)), np.random.default_rng(0)).image / 255
    expected = (expected - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]
    np.testing.assert_allclose(whole[0].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-5)


def test_windows_give_the_labels_of_an_image_in_float32() -> None:
    paddle.seed(0)
    model = TinySegmenter(3)
    model.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (41, 53, 3)).astype(np.uint8)
    options = InferenceOptions(is_slide=True, crop_size=(24, 20), stride=(17, 13))
    transforms = Compose([Padding([70, 60]), Normalize()])
    batch, undo = preprocess(Sample(pixels.astype(np.float32)), transforms)
    expected = undo_transforms(infer_logits(as_predict(model), batch[:], options), undo)
    label = predict_label(Sample(pixels), predict=as_predict(model), transforms=transforms, options=options)
    np.testing.assert_array_equal(label, expected[0].argmax(axis=0))


# In a process of its own, because the system tells a process its highest memory alone.
BIG = """
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import paddle
from small_task import TinySegmenter

from paddleseg.data.transforms import Compose, Normalize
from paddleseg.engine.model_function import as_predict
from paddleseg.engine.predictor import (
    ImageFile, PredictionFolders, label_of_prepared, predict_images, prepare_image
)
from paddleseg.inference import InferenceOptions, infer_logits, undo_transforms
from paddleseg.visualise import color_map

def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

folder = Path(sys.argv[1])
model = TinySegmenter(19)
model.eval()
options = InferenceOptions(is_slide=True, crop_size=(256, 256), stride=(192, 256))
def predict(name):
    failed = predict_images(
        partial(label_of_prepared, predict=as_predict(model), options=options),
        [ImageFile(folder / f"{name}.png", name)], PredictionFolders(folder / "out"), img_channels=3,
        palette=color_map(256), progress=False,
        prepare=partial(prepare_image, transforms=Compose([Normalize()]), options=options),
    )
    assert not failed
predict("small")
before = peak()
predict("large")
print("PEAKS", before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_large_image_takes_some_bytes_a_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name, tiles in (("small", 8), ("large", 64)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.tile(tile, (tiles, tiles, 1)))
    done = subprocess.run(
        [sys.executable, "-c", BIG, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.rpartition("PEAKS ")[2].split())
    # An image of 16384×16384 has 16 times the pixels; the scores of 19 classes alone would be 19 GiB.
    assert before + 16 * (after - before) < 3 * 2**30
    pixels, label = (
        cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)[::97]
        for name in ("large.png", "out/label/large.png")
    )
    added = cv2.imread(str(tmp_path / "out/added_prediction/large.png"))[::97]
    np.testing.assert_allclose(added, 0.6 * pixels + 0.4 * PALETTE[label][..., ::-1], atol=0.51)

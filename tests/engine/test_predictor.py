"""Finding images, naming results, predicting at the original size."""

from __future__ import annotations

from pathlib import Path

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
from paddleseg.engine.evaluator import as_predict
from paddleseg.engine.predictor import (
    ImageFile,
    PredictionFolders,
    find_images,
    predict_images,
    predict_label,
    preprocess,
)
from paddleseg.errors import ConfigError, OutputError, UsageError
from paddleseg.inference import InferenceOptions
from paddleseg.visualise import color_map

PALETTE = color_map(256)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names_of(images: list[ImageFile], root: Path) -> dict[str, str]:
    return {str(image.path.relative_to(root)): image.name for image in images}


def test_a_folder_is_searched_with_its_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "in/a.png", "in/deep/c.webp", "notes.txt", "in/a.json")
    assert names_of(find_images(str(tmp_path)), tmp_path) == {
        "a.png": "a",
        "b.JPG": "b",
        "in/a.png": "in/a",
        "in/deep/c.webp": "in/deep/c",
    }


def test_one_image_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "scan.xyz", "odd[1].png")
    assert names_of(find_images(str(tmp_path / "scan.xyz")), tmp_path) == {"scan.xyz": "scan"}
    assert names_of(find_images(str(tmp_path / "odd[1].png")), tmp_path) == {"odd[1].png": "odd[1]"}


@pytest.mark.parametrize("pattern", ["*/*.png", "**/*.png"])
def test_a_glob_keeps_the_folders_after_its_fixed_part(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "x/1.png", "y/1.png", "x/2.jpg")
    assert names_of(find_images(str(tmp_path / pattern)), tmp_path) == {"x/1.png": "x/1", "y/1.png": "y/1"}


def test_names_that_differ_in_the_suffix_keep_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.png", "a_jpg.bmp", "b.c.png")
    assert names_of(find_images(str(tmp_path)), tmp_path) == {
        "a.jpg": "a_jpg",
        "a.png": "a_png",
        "a_jpg.bmp": "a_jpg_2",
        "b.c.png": "b.c",
    }


def test_a_list_names_images_and_perhaps_labels(tmp_path: Path) -> None:
    touch(tmp_path, "my photo.png", "x/1.png", "2.png")
    text = "\ufeffx/1.png labels/1.png\n\n2.png\nmy photo.png\n2.png other.png\ngone.png\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    assert names_of(find_images(str(tmp_path / "list.txt")), tmp_path) == {
        "x/1.png": "x/1",
        "2.png": "2",
        "my photo.png": "my photo",
        "gone.png": "gone",
    }
    (tmp_path / "list.csv").write_text("2.png , y.png\n", encoding="utf-8")
    assert names_of(find_images(str(tmp_path / "list.csv"), separator=","), tmp_path) == {"2.png": "2"}


def test_results_of_a_list_stay_in_save_dir_under_names_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.png", "two/a.png", "lists/a_2.png")
    lines = ["../one/a.png", str(tmp_path / "two/a.png"), "a_2.png"]
    (tmp_path / "lists" / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    names = [image.name for image in find_images(str(tmp_path / "lists" / "list.txt"))]
    assert len(set(names)) == 3
    assert not any("/" in name for name in names)


@pytest.mark.parametrize("what", ["missing.png", "empty", "*.gif", "empty.txt", "binary.txt"])
def test_nothing_found_is_an_error(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="--image_path"):
        find_images(str(tmp_path / what))


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

"""Finding images and naming their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddleseg.engine.image_files import ImageFile, find_images
from paddleseg.errors import UsageError


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

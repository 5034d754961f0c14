"""tools/labelme2seg.py: shapes as labelme draws them, images with their labels, bad annotations refused."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import labelme2seg as tool
from labelme_shapes import draw_shapes, read_shapes
from tool_cases import contents, refusal, succeed, write_picture, write_text

from paddleseg.data.images import read_pixels


def shape(label: str, kind: str | None, *points: tuple[float, float], **more: Any) -> dict[str, Any]:
    listed = [list(point) for point in points]
    return {"label": label, "shape_type": kind, "points": listed, "group_id": None, "flags": {}, **more}


CAT = shape("cat", "rectangle", (1, 1), (2, 2))
DOG = shape("dog", "rectangle", (2, 2), (3, 3))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def annotate(path: Path, *shapes: dict[str, Any], size: tuple[int, int] = (6, 5), **more: Any) -> Path:
    """Writes a photograph of width × height and labelme's file beside it."""
    width, height = size
    write_picture(path, np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3))
    tree = {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": path.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
        **more,
    }
    return write_text(path.with_suffix(".json"), json.dumps(tree))


def drawn(size: tuple[int, int], *shapes: dict[str, Any]) -> str:
    """A picture as text, a row a line; classes a, b, … are 1, 2, …; points are not drawn."""
    ids = {"a": 1, "b": 2, "__ignore__": 255}
    label = draw_shapes(size, read_shapes({"shapes": list(shapes)}, "x"), ids)
    return "\n".join("".join({0: ".", 255: "#"}.get(int(v), str(v)) for v in row) for row in label)


def ids_of(path: Path) -> list[list[int]]:
    with Image.open(path) as picture:
        assert picture.mode == "P"
        return np.asarray(picture).tolist()


def test_rectangles_hold_both_corners_and_later_shapes_cover_earlier() -> None:
    first, second = shape("a", "rectangle", (3, 2), (1, 1)), shape("b", "rectangle", (2, 2), (4, 3))
    assert drawn((5, 4), first, second) == ".....\n.111.\n.1222\n..222"
    assert drawn((5, 4), second, first) == ".....\n.111.\n.1112\n..222"


def test_polygons_of_labelme_3_have_no_type() -> None:
    triangle = [(0, 0), (3, 0), (0, 3)]
    for kind in ("polygon", None):
        assert drawn((5, 4), shape("a", kind, *triangle)) == "1111.\n111..\n11...\n1...."
    untyped = {"label": "a", "points": [list(point) for point in triangle]}
    assert drawn((5, 4), untyped) == "1111.\n111..\n11...\n1...."


def test_an_oriented_rectangle_is_its_four_corners() -> None:
    assert drawn((5, 5), shape("a", "oriented_rectangle", (2, 0), (4, 2), (2, 4), (0, 2))) == (
        "..1..\n.111.\n11111\n.111.\n..1.."
    )


def test_a_circle_is_its_centre_and_a_point_on_it() -> None:
    # The rows that labelme 5's shape_to_mask gives.
    assert drawn((9, 9), shape("a", "circle", (4, 4), (4, 1))).split("\n") == [
        ".........",
        "...111...",
        "..11111..",
        ".1111111.",
        ".1111111.",
        ".1111111.",
        "..11111..",
        "...111...",
        ".........",
    ]


def test_points_and_lines_have_labelme_s_widths() -> None:
    rows = drawn((21, 21), shape("a", "point", (10, 10))).split("\n")
    assert rows[10] == "....." + "1" * 11 + "....."  # radius 5
    rows = drawn((21, 21), shape("a", "line", (0, 10), (20, 10))).split("\n")
    assert sum(row == "1" * 21 for row in rows) == 10
    assert sum(row == "." * 21 for row in rows) == 11
    corner = drawn((40, 40), shape("a", "linestrip", (0, 20), (20, 20), (20, 39))).split("\n")
    assert corner[16][24] == "."  # the notch of a bent line …
    assert corner[17][22] == "1"  # … is rounded


def test_masks_of_labelme_s_assistant() -> None:
    pixels = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)
    encoded = base64.b64encode(png(pixels)).decode()
    assert drawn((5, 4), shape("a", "mask", (1, 1), (3, 2), mask=encoded)) == ".....\n.1.1.\n..1..\n....."
    # Whole-numbered corners cut it, fractional ones do not; what lies outside the picture is lost.
    assert drawn((5, 4), shape("a", "mask", (1, 1), (2, 2), mask=encoded)) == ".....\n.1...\n..1..\n....."
    assert drawn((5, 4), shape("a", "mask", (0.7, 1.2), (1.9, 1.9), mask=encoded)) == (
        ".....\n.1.1.\n..1..\n....."
    )
    assert drawn((2, 2), shape("a", "mask", (-1, -1), (1, 0), mask=encoded)) == "1.\n.."


def test_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "photos", tmp_path / "mine"
    annotate(source / "b.png", DOG, CAT, shape("__ignore__", "rectangle", (5, 0), (5, 4)))
    annotate(source / "a.png", CAT)
    write_picture(source / "spare.jpg", np.zeros((4, 4, 3), np.uint8))
    succeed(tool.main, source, output)
    # a.json comes before b.json, so cat is 1.
    assert (output / "class_names.txt").read_text() == "_background_\ncat\ndog\n"
    assert sorted(contents(output)) == [
        "annotations/a.png",
        "annotations/b.png",
        "class_names.txt",
        "images/a.png",
        "images/b.png",
    ]
    assert (output / "images/b.png").read_bytes() == (source / "b.png").read_bytes()
    assert ids_of(output / "annotations/b.png") == [
        [0, 0, 0, 0, 0, 255],
        [0, 1, 1, 0, 0, 255],
        [0, 1, 1, 2, 0, 255],
        [0, 0, 2, 2, 0, 255],
        [0, 0, 0, 0, 0, 255],
    ]
    with Image.open(output / "annotations/b.png") as picture:
        assert picture.convert("RGB").getpixel((1, 1)) == (0, 128, 0)
    out = capsys.readouterr().out
    assert f"{output}: wrote 2 pairs; 3 classes: _background_, cat, dog\n" in out
    assert "left out, as they have no .json file: 1 picture(s)" in out


def test_again_and_with_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "photos", tmp_path / "mine"
    annotate(source / "b.png", CAT)
    succeed(tool.main, source, output)
    before = contents(output)
    succeed(tool.main, source, output)
    assert "wrote 0 pairs (1 were there already)" in capsys.readouterr().out
    # A class that comes first changes all numbers: not in silence, and not where the order is given.
    annotate(source / "a.png", DOG)
    message = refusal(tool.main, capsys, source, output)
    assert "class_names.txt: numbers the classes otherwise: _background_, cat; keep this order" in message
    assert contents(output) == before
    assert {name: (output / name).read_bytes() for name in before} == before
    names = write_text(tmp_path / "names.txt", "__ignore__\n_background_\ncat\ndog\n")  # as labelme has it
    succeed(tool.main, source, output, "--classes", names, "--overwrite")
    assert (output / "class_names.txt").read_text() == "_background_\ncat\ndog\n"
    assert ids_of(output / "annotations/a.png")[3][3] == 2
    names.write_text("cat\ndgo\n")
    assert "label 'dog' is not in --classes; did you mean 'dgo'?" in refusal(
        tool.main, capsys, source, output, "--classes", names
    )


def test_classes_that_come_last_change_no_number(tmp_path: Path) -> None:
    source, output = tmp_path / "photos", tmp_path / "mine"
    annotate(source / "b.png", CAT)
    succeed(tool.main, source, output)
    annotate(source / "c.png", DOG)
    succeed(tool.main, source, output)
    assert (output / "class_names.txt").read_text() == "_background_\ncat\ndog\n"
    assert ids_of(output / "annotations/b.png")[1][1] == 1
    assert ids_of(output / "annotations/c.png")[3][3] == 2


def test_pairs_take_the_name_of_the_json_file(tmp_path: Path) -> None:
    """PaddleSeg names the image after imagePath and the label after the .json: they would not pair."""
    image = write_picture(tmp_path / "raw/IMG_1.png", np.zeros((5, 6, 3), np.uint8))
    annotate(tmp_path / "in/x/one.png", CAT, imagePath="..\\..\\raw\\IMG_1.png")
    (tmp_path / "in/x/one.png").unlink()
    succeed(tool.main, tmp_path / "in", tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == [
        "annotations/x/one.png",
        "class_names.txt",
        "images/x/one.png",
    ]
    assert (tmp_path / "out/images/x/one.png").read_bytes() == image.read_bytes()


def test_embedded_images(tmp_path: Path) -> None:
    data = png(np.full((5, 6, 3), 9, np.uint8))
    more = {"imageData": base64.b64encode(data).decode(), "imagePath": "gone.tif"}
    annotate(tmp_path / "in/a.png", CAT, **more)
    (tmp_path / "in/a.png").unlink()
    succeed(tool.main, tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out/images/a.png").read_bytes() == data


def test_a_photograph_that_exif_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """6 × 5 pixels are stored; labelme and training show them upright, 5 × 6."""
    lying = Image.fromarray(np.zeros((5, 6, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    annotate(tmp_path / "in/a.jpg", shape("cat", "rectangle", (4, 5), (4, 5)), size=(5, 6))
    lying.save(tmp_path / "in/a.jpg", exif=exif)
    succeed(tool.main, tmp_path / "in", tmp_path / "out")
    label = ids_of(tmp_path / "out/annotations/a.png")
    assert [[y, x] for y in range(6) for x in range(5) if label[y][x]] == [[5, 4]]
    assert read_pixels(str(tmp_path / "out/images/a.jpg")).shape[:2] == (6, 5)
    annotate(tmp_path / "in/a.jpg", CAT, size=(6, 5))
    lying.save(tmp_path / "in/a.jpg", exif=exif)
    message = refusal(tool.main, capsys, tmp_path / "in", tmp_path / "other")
    assert "drawn on an image of 6 × 5 pixels" in message
    assert "EXIF data turns it" in message


def test_an_image_of_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(tmp_path / "in/a.png", CAT, imageHeight=50)
    message = refusal(tool.main, capsys, tmp_path / "in", tmp_path / "out")
    assert "a.json: drawn on an image of 6 × 50 pixels" in message
    assert "has 6 × 5: was it replaced or resized?" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "a.json: is not valid JSON"),
        ("[" * 100_000, "a.json: is not valid JSON"),
        ("[]", "expected a JSON object"),
        ('{"names": []}', "holds no 'shapes', so it is no labelme annotation"),
        ('{"shapes": 1}', "shapes is '1'"),
        ('{"shapes": [1]}', "shapes[0]: expected an entry 'label'"),
        (json.dumps({"shapes": [shape(" ", "point", (1, 1))]}), "shapes[0] (' '): the label is empty"),
        (json.dumps({"shapes": [shape("a", "polygon", (1, 1), (2, 2))]}), "2 point(s), expected at least 3"),
        (
            json.dumps({"shapes": [CAT, shape("a", "circle", (1, 1))]}),
            "shapes[1] ('a'): a circle of 1 point(s)",
        ),
        (json.dumps({"shapes": [shape("a", "star", (1, 1))]}), "unknown shape_type 'star'"),
        ('{"shapes": [{"label": "a", "shape_type": ["x"], "points": []}]}', "unknown shape_type \"['x']\""),
        (json.dumps({"shapes": [shape("a", "point", (1, float("nan")))]}), "expected [x, y] in pixels"),
        (json.dumps({"shapes": [shape("a", "point", (1, 10**30))]}), "expected [x, y] in pixels"),
        (json.dumps({"shapes": [shape("a", "mask", (0, 0), (1, 1), mask="%")]}), "mask"),
        (json.dumps({"shapes": [CAT]}), "expected an entry 'imagePath'"),
        (
            json.dumps({"shapes": [CAT], "imagePath": "no.jpg"}),
            "no.jpg does not exist, and there is no imageData",
        ),
        (json.dumps({"shapes": [CAT], "imagePath": "no.jpg", "imageData": "AAAA"}), "no PNG or JPEG picture"),
        (json.dumps({"shapes": [CAT], "imagePath": "a.json"}), "a.json: cannot be decoded as an image"),
        (json.dumps({"shapes": [CAT], "imagePath": ""}), "does not exist"),
        (json.dumps({"shapes": [CAT], "imagePath": "a\0b"}), "does not exist"),
    ],
)
def test_bad_files(text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(tmp_path / "in/a.json", text)
    assert expected in refusal(tool.main, capsys, tmp_path / "in", tmp_path / "out")
    assert set(contents(tmp_path / "out")) <= {"class_names.txt"}


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    assert "holds no .json file" in refusal(tool.main, capsys, tmp_path / "in", tmp_path / "out")
    assert "is the input folder" in refusal(tool.main, capsys, tmp_path / "in", tmp_path / "in")
    assert "no such folder" in refusal(tool.main, capsys, tmp_path / "no", tmp_path / "out")


def test_more_classes_than_a_byte_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(
        tmp_path / "in/a.png", *(shape(f"c{index}", "rectangle", (0, 0), (1, 1)) for index in range(255))
    )
    assert "256 classes, expected at most 255" in refusal(
        tool.main, capsys, tmp_path / "in", tmp_path / "out"
    )
    annotate(
        tmp_path / "in/a.png", *(shape(f"c{index}", "rectangle", (0, 0), (1, 1)) for index in range(254))
    )
    succeed(tool.main, tmp_path / "in", tmp_path / "out")
    assert ids_of(tmp_path / "out/annotations/a.png")[0][0] == 254


def test_a_damaged_photograph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(tmp_path / "in/a.png", CAT)
    data = png(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    (tmp_path / "in/a.png").write_bytes(data[:200])
    assert "in/a.png: cannot be decoded" in refusal(tool.main, capsys, tmp_path / "in", tmp_path / "out")

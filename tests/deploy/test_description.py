"""deploy.yaml, read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.python.description import read_description
from paddleseg.data.transforms import Normalize, Resize
from paddleseg.errors import ConfigError

Export = Callable[..., Path]


def write(folder: Path, **entries: Any) -> Path:
    """A deploy.yaml with a model of two bytes; an entry of None is left out."""
    for name in ("model.json", "model.pdiparams", "model.onnx"):
        (folder / name).write_bytes(b"ab")
    deploy = {"model": "model.json", "params": "model.pdiparams", "transforms": [], **entries}
    path = folder / "deploy.yaml"
    path.write_text(yaml.safe_dump({"Deploy": {k: v for k, v in deploy.items() if v is not None}}), "utf-8")
    return path


def test_it_reads_what_the_exporter_writes(export: Export) -> None:
    path = export("argmax")
    description = read_description(path)
    assert description.path == path
    assert description.model == path.parent / "model.json"
    assert description.params == path.parent / "model.pdiparams"
    assert description.onnx == path.parent / "model.onnx"
    assert description.int8 is None
    assert description.input_shape == (-1, 3, -1, -1)
    assert description.output_op == "argmax"
    assert description.num_classes == 3
    assert description.class_names == ["sky", "road", "car"]
    assert description.palette == [[255, 0, 0], [0, 9, 0], [0, 0, 7]]
    assert description.padding_value == 0
    assert [type(step) for step in description.transforms.transforms] == [Normalize]


def test_transforms_are_those_of_training(tmp_path: Path) -> None:
    blocks = [{"type": "Resize", "target_size": [40, 32]}, {"type": "Normalize", "mean": [0.4]}]
    resize, normalize = read_description(write(tmp_path, transforms=blocks)).transforms.transforms
    assert isinstance(resize, Resize)
    assert resize.target_size == (32, 40)
    assert isinstance(normalize, Normalize)


def test_what_paddleseg_writes_is_enough(tmp_path: Path) -> None:
    """Its files name model.pdmodel, whatever Paddle 3 wrote; CCNet_paddle's say no shape and no output."""
    path = write(tmp_path, model="model.pdmodel", transforms=[{"type": "Normalize"}])
    description = read_description(path)
    assert description.model == tmp_path / "model.json"
    assert description.input_shape == (-1, 3, -1, -1)
    assert description.num_classes is None
    assert description.onnx is None


def test_a_folder_stands_for_its_file(tmp_path: Path) -> None:
    assert read_description(write(tmp_path).parent).path == tmp_path / "deploy.yaml"


def test_checksums_are_compared_before_a_file_is_used(tmp_path: Path) -> None:
    good = f"sha256:{hashlib.sha256(b'ab').hexdigest()}"
    path = write(tmp_path, checksums={"model.json": good, "model.pdiparams": "sha256:12"})
    description = read_description(path)
    assert description.model is not None
    assert description.params is not None
    assert description.checksum(description.model) == good
    assert description.read(description.model) == b"ab"
    with pytest.raises(ConfigError, match=r"model\.pdiparams: the file is not the one that was exported"):
        description.read(description.params)
    description.params.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        description.read(description.params)


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    description = read_description(write(tmp_path))
    assert description.model is not None
    assert description.checksum(description.model) is None
    assert description.read(description.model) == b"ab"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model": "gone.json"}, "model: no file .*gone.json"),
        ({"model": None}, "names no model"),
        ({"model": ["a"]}, "model: expected the name of a file"),
        ({"model": "a" * 300}, "model: "),
        ({"input_shape": [3, 48, 64]}, "input_shape: expected N, C, H, W"),
        ({"input_shape": [-1, 4, -1, -1]}, "C = 1 or 3"),
        ({"input_shape": [1, 3, 0, 8]}, "input_shape"),
        ({"input_shape": [1, 3, True, 8]}, "input_shape"),
        ({"output_op": "max"}, "output_op: expected one of argmax, softmax, none"),
        ({"num_classes": 0}, "num_classes: expected a whole number from 1"),
        ({"num_classes": "3"}, "num_classes"),
        ({"class_names": "sky"}, "class_names: expected a list"),
        ({"palette": [[1, 2]]}, "palette: expected a list of"),
        ({"palette": [[1, 2, 256]]}, "palette"),
        ({"palette": 3}, "palette"),
        ({"padding": {"value": "x"}}, "padding: expected"),
        ({"padding": {"value": float("nan")}}, "padding: expected"),
        ({"padding": {"value": float("-inf")}}, "padding: expected"),
        ({"padding": {"value": 10**400}}, "padding: expected"),
        ({"class_names": [["x" * 90_000]] * 9}, "class_names: expected a list of names, got"),
        ({"transforms": {"type": "Normalize"}}, "transforms: expected a list of blocks"),
        ({"transforms": [{"target_size": [3, 3]}]}, "has no type"),
        ({"transforms": [{"type": 3}]}, "has no type"),
        ({"transforms": [{"type": "Normalise"}]}, "did you mean 'Normalize'"),
        ({"transforms": [{"type": "Resize", "size": 3}]}, "transforms: Resize: "),
        ({"transforms": [{"type": "Resize", "target_size": 0}]}, "transforms: Resize: target_size"),
        ({"transforms": [{"type": "RandomHorizontalFlip"}]}, "belongs to training only"),
        ({"checksums": {"model.json": "md5:1"}}, "checksums: expected a mapping"),
        ({"checksums": ["model.json"]}, "checksums"),
    ],
)
def test_a_bad_entry_is_reported(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    path = write(tmp_path, **entries)
    with pytest.raises(ConfigError, match=message) as caught:
        read_description(path)
    assert str(caught.value).startswith(f"{path}: Deploy ")
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "no: yaml: here", "[1]", "Deploy: 3", "Deploy: [", "\x00", "a: &a [*a, *a]\n" + "- " * 5000]
)
def test_a_bad_file_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deploy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not a deploy\.yaml"):
        read_description(path)


def test_a_few_lines_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Nine lists of ten aliases each: a thousand million values."""
    path = tmp_path / "deploy.yaml"
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    path.write_text("\n".join([*lines, "Deploy: {class_names: [*a9]}"]), encoding="utf-8")
    with pytest.raises(ConfigError, match="aliases of aliases"):
        read_description(path)


def test_other_files_are_no_description(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"deploy\.yaml: not a deploy\.yaml of export.py \(No such file"):
        read_description(tmp_path)
    picture = tmp_path / "x.png"
    picture.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"not a deploy\.yaml"):
        read_description(picture)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        read_description(large)


def test_a_moved_export_still_works(export: Export, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(export("argmax").parent, moved)
    description = read_description(moved / "deploy.yaml")
    assert description.onnx is not None
    assert description.checksum(description.onnx) is not None
    assert description.read(description.onnx)

"""slim/quant/ptq.py as its users run it, and what they get wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from tiny_onnx import DYNAMIC, network, write_export, write_pictures

from deploy.python.description import read_description
from deploy.python.engines import make_engine
from deploy.python.exported_model import ExportedModel
from paddleseg.data.images import read_image
from paddleseg.data.transforms import Sample
from paddleseg.errors import OutputError
from slim.quant import ptq, quantise


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("calibration") / "pictures")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(deploy: Path, pictures: Path | str, *flags: str) -> int:
    return ptq.main(["--config", str(deploy), "--calibration", str(pictures), "--cpu_threads", "2", *flags])


@pytest.mark.parametrize(
    ("output_op", "shape"),
    [
        ("none", DYNAMIC),
        ("argmax", DYNAMIC),
        ("softmax", DYNAMIC),
        ("argmax", (1, 3, 56, 64)),  # larger than the pictures: padded
        ("none", (2, 3, 32, 32)),  # smaller: sliding windows, two at a time
    ],
)
def test_the_quantised_model_gives_the_float_ones_labels(
    tmp_path: Path, pictures: Path, output_op: str, shape: tuple[Any, ...]
) -> None:
    path = write_export(tmp_path / "export", output_op=output_op, shape=shape)
    assert run(path, pictures, "--count", "4") == 0
    description = read_description(path)
    labels = []
    for precision in ("fp32", "int8"):
        engine = make_engine(description, engine="onnxruntime", threads=1, precision=precision)
        model = ExportedModel(description, engine)
        labels.append([model.label_of(Sample(read_image(str(one)))) for one in sorted(pictures.iterdir())])
    before, after = np.stack(labels[0]), np.stack(labels[1])
    assert before.shape == (6, 48, 64)
    assert len(np.unique(before)) == 3  # a network of one class would agree whatever is wrong
    assert np.mean(before == after) > 0.95
    # The quantised file is another network, not a copy.
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "export" / "model_int8.onnx")).graph.node]
    assert "QuantizeLinear" in kinds


def test_deploy_yaml_gains_the_model_and_keeps_the_rest(tmp_path: Path, pictures: Path) -> None:
    path = write_export(tmp_path)
    before = yaml.safe_load(path.read_text("utf-8"))["Deploy"]
    assert run(path, pictures) == 0
    after = yaml.safe_load(path.read_text("utf-8"))["Deploy"]
    data = (tmp_path / "model_int8.onnx").read_bytes()
    assert after.pop("int8") == "model_int8.onnx"
    assert after["checksums"].pop("model_int8.onnx") == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert after == before
    assert sorted(contents(tmp_path)) == ["deploy.yaml", "model.onnx", "model_int8.onnx"]


def test_what_is_reported(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for picture in pictures.iterdir():
        cv2.imwrite(str(labels / picture.name), np.zeros((48, 64), dtype=np.uint8))
    lines = [f"{picture} {labels / picture.name}" for picture in sorted(pictures.iterdir())]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(lines), encoding="utf-8")
    flags = ("--val_list", str(listed), "--batch_nums", "1", "--batch_size", "2")
    assert run(write_export(tmp_path / "export"), pictures, *flags) == 0
    told = capsys.readouterr().out
    assert "calibrated on 2 pictures (minmax)" in told
    assert "int8 against fp32 on 6 pictures: equal labels " in told
    assert "mIoU 0." in told
    assert "Collecting" not in told  # ONNX Runtime's own chatter


@pytest.mark.parametrize(
    ("count", "expected"),
    [("2", "fp32 on 4 pictures:"), ("6", "fp32 on 6 of the calibration pictures (there are no others):")],
)
def test_pictures_that_were_calibrated_on_are_told(
    tmp_path: Path, pictures: Path, count: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write_export(tmp_path), pictures, "--count", count) == 0
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("listed", "message"), [("MISSING.txt", "no such list file"), ("list.txt", "does not say num_classes")]
)
def test_a_wrong_list_is_refused_before_the_calibration(
    tmp_path: Path,
    pictures: Path,
    listed: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_export(tmp_path)
    tree = yaml.safe_load(path.read_text("utf-8"))
    if listed == "list.txt":
        tree["Deploy"].pop("num_classes")
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    monkeypatch.setattr(quantise, "quantise", lambda *_, **__: pytest.fail("calibrated"))
    assert run(path, pictures, "--val_list", str(tmp_path / listed)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_other_methods_and_pictures_of_two_sizes(
    tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pictures(tmp_path / "pictures", count=2)
    write_pictures(tmp_path / "pictures" / "more", count=2, size=(40, 56))
    assert run(write_export(tmp_path / "export"), folder, "--method", method) == 0
    told = capsys.readouterr().out
    assert f"calibrated on 4 pictures ({method})" in told
    assert "Collecting" not in told


def test_a_grey_picture_suits_a_model_of_three_channels(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "grey.png"), np.arange(48 * 64, dtype=np.uint8).reshape(48, 64))
    assert run(write_export(tmp_path / "export"), folder) == 0


def spoil(export: Path, what: str) -> None:
    """Makes one thing wrong with an export."""
    file = export / "model.onnx"
    tree = yaml.safe_load((export / "deploy.yaml").read_text("utf-8"))
    tree["Deploy"].pop("checksums")
    if what == "no onnx":
        tree["Deploy"].pop("onnx")
        tree["Deploy"] |= {"model": "model.json", "params": "model.pdiparams"}
        (export / "model.json").touch()
        (export / "model.pdiparams").touch()
    elif what == "a training config":
        tree = {"model": {"type": "CCNet"}}
    elif what == "damaged":
        file.write_bytes(file.read_bytes()[:2000])
    elif what == "changed":
        tree["Deploy"]["checksums"] = {"model.onnx": "sha256:0"}
    elif what == "old":
        file.write_bytes(network(opset=11))
    else:
        model = onnx.load(str(file))
        if what == "nan":
            weight = next(one for one in model.graph.initializer if one.name == "w0")
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full((8, 3, 3, 3), np.nan, np.float32), "w0"))
        elif what == "no convolution":
            del model.graph.node[:]
            model.graph.node.append(onnx.helper.make_node("Relu", ["x"], ["scores_out"], "only"))
        file.write_bytes(model.SerializeToString())
    (export / "deploy.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no onnx", "holds no ONNX model to quantise; export it with --format onnx"),
        ("a training config", "not a deploy.yaml of export.py"),
        ("damaged", "model.onnx: cannot be quantised"),
        ("changed", "is not the one that was exported"),
        ("old", "opset 11; scales by channel need 13"),
        ("nan", "are not numbers (NaN)"),
        ("no convolution", "no convolution to quantise"),
    ],
)
def test_a_model_that_cannot_be_quantised(
    tmp_path: Path, pictures: Path, what: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_export(tmp_path / "export")
    spoil(tmp_path / "export", what)
    before = contents(tmp_path / "export")
    assert run(path, pictures) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("error:") == 1
    assert contents(tmp_path / "export") == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--calibration", "EMPTY"], "--calibration EMPTY: no image found"),
        (["--calibration", "BAD"], "cannot be decoded as an image"),
        (["--calibration", "LARGE"], "the model was exported for 64×48"),
        (["--val_list", "MISSING.txt"], "MISSING.txt: no such list file"),
        (["--model_dir", "output"], "--config output/deploy.yaml"),
        (["--opts", "a=1"], "--opts: no training config is read here"),
        (["--count", "4", "--batch_nums", "2"], "--batch_nums: it says the same as --count"),
        (["--count", "0"], "expected at least 1"),
    ],
)
def test_wrong_flags_and_pictures(
    tmp_path: Path,
    pictures: Path,
    flags: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("EMPTY", "BAD"):
        Path(name).mkdir()
    Path("BAD/a.png").write_bytes(b"no picture")
    write_pictures(Path("LARGE"), count=1, size=(50, 66))
    path = write_export(tmp_path / "export", output_op="argmax", shape=(1, 3, 48, 64))
    before = contents(tmp_path / "export")
    try:
        status = run(path, pictures, *flags)
    except SystemExit as end:  # argparse
        status = int(str(end.code))
    assert status == 2
    assert message in capsys.readouterr().err
    assert contents(tmp_path / "export") == before


@pytest.mark.parametrize(
    ("failure", "status"),
    [(KeyboardInterrupt(), 130), (OutputError("model_int8.onnx: cannot be written: No space left"), 2)],
)
def test_an_interruption_and_a_full_disk_leave_the_earlier_pair(
    tmp_path: Path, pictures: Path, failure: BaseException, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_export(tmp_path)
    assert run(path, pictures, "--count", "1") == 0
    before = contents(tmp_path)

    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(quantise, "write_whole", fail)
    assert run(path, pictures) == status
    assert contents(tmp_path) == before


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_kill_between_two_files_leaves_no_model_that_does_not_fit(
    tmp_path: Path, pictures: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_export(tmp_path)
    assert run(path, pictures, "--count", "1") == 0
    earlier = (tmp_path / "model_int8.onnx").read_bytes()
    replaced: list[Path] = []

    def replace(part: Path, target: Path) -> Path:
        if len(replaced) == done:
            raise KeyboardInterrupt
        replaced.append(target)
        os.replace(part, target)
        return target

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        assert run(path, pictures) == 130
    assert len(replaced) == done
    description = read_description(path)
    if done == 0:
        assert description.int8 is not None
        assert description.read(description.int8) == earlier
    else:
        assert description.int8 is None
        assert description.checksum(tmp_path / "model_int8.onnx") is None
    # It can be made good by running it again.
    assert run(path, pictures) == 0
    again = read_description(path)
    assert again.int8 is not None
    assert again.read(again.int8) != earlier

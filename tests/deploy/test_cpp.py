"""The C++ program, built as its README says, against deploy/python and paddleseg."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import yaml
from PIL import Image

from paddleseg.data.images import read_image
from paddleseg.data.transforms import Sample
from paddleseg.visualise import color_map, overlay

pytest.importorskip("openvino", reason="needs openvino, with which the program is built")

pytestmark = pytest.mark.slow  # the build takes half a minute

ROOT = Path(__file__).resolve().parents[2]
NORMALIZE = {"type": "Normalize", "mean": [0.3, 0.4, 0.5], "std": [0.2, 0.3, 0.25]}
PLAIN = {"type": "Normalize", "mean": [0.0], "std": [1.0]}
PALETTE = [[255, 0, 0], [0, 9, 0], [0, 0, 7]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def program() -> Path:
    """deploy/cpp's program; building it again takes a second."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: apt-get install cmake g++")
    command = ["cmake", f"-DPython3_EXECUTABLE={sys.executable}", "-DSEGMENT_WERROR=ON"]
    command += ["-P", "deploy/cpp/build.cmake"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "apt-get install" in done.stderr:
        pytest.skip(" ".join(done.stderr.split()))
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "cpp" / "segment"


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    """Runs the program into ``tmp_path/out``."""

    def call(config: Path, images: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), "--config", str(config), "--image_path", str(images), *flags]
        command += ["--save_dir", str(tmp_path / "out")] if "--save_dir" not in flags else []
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return call


def write_model(folder: Path, graph: onnx.GraphProto, **entries: Any) -> Path:
    """Writes model.onnx and deploy.yaml; returns the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    deploy = {"onnx": "model.onnx", "output_op": "none", "palette": PALETTE, **entries}
    deploy["checksums"] = {"model.onnx": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    path = folder / "deploy.yaml"
    path.write_text(yaml.safe_dump({"Deploy": deploy}), encoding="utf-8")
    return path


def segmenter(op: str, shape: Sequence[int], classes: int = 3) -> onnx.GraphProto:
    """A convolution whose scores differ from pixel to pixel, with its output as ``--output_op`` says."""
    make = onnx.helper
    rng = np.random.default_rng(4)
    weight = rng.normal(0, 1, (classes, shape[1], 3, 3)).astype(np.float32)
    weight -= weight.mean(axis=(2, 3), keepdims=True)  # otherwise brightness alone decides
    nodes = [make.make_node("Conv", ["x", "w"], ["scores"], pads=[1, 1, 1, 1])]
    kind = onnx.TensorProto.FLOAT
    if op == "softmax":
        nodes.append(make.make_node("Softmax", ["scores"], ["y"], axis=1))
    elif op == "argmax":
        nodes.append(make.make_node("ArgMax", ["scores"], ["ids"], axis=1, keepdims=0))
        nodes.append(make.make_node("Cast", ["ids"], ["y"], to=onnx.TensorProto.INT32))
        kind = onnx.TensorProto.INT32
    else:
        nodes.append(make.make_node("Identity", ["scores"], ["y"]))
    return _graph(nodes, shape, kind, {"w": weight})


def pixel_model(channels: int) -> onnx.GraphProto:
    """Class ids that are the pixels themselves: R + 100·G + 150·B, at most 64005."""
    make = onnx.helper
    factors = np.array([1, 100, 150][:channels], dtype=np.float32).reshape(1, channels, 1, 1)
    nodes = [
        make.make_node("Mul", ["x", "white"], ["level"]),
        make.make_node("Round", ["level"], ["byte"]),
        make.make_node("Conv", ["byte", "factors"], ["sum"]),
        make.make_node("Squeeze", ["sum", "axis"], ["flat"]),
        make.make_node("Cast", ["flat"], ["y"], to=onnx.TensorProto.INT32),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "white": np.array([255], dtype=np.float32),
        "factors": factors,
        "axis": np.array([1], dtype=np.int64),
    }
    return _graph(nodes, [-1, channels, -1, -1], onnx.TensorProto.INT32, constants)


def _graph(
    nodes: list[Any], shape: Sequence[int], kind: int, constants: dict[str, npt.NDArray[Any]]
) -> onnx.GraphProto:
    make = onnx.helper
    size = [None if n == -1 else n for n in shape]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    rank = 3 if kind == onnx.TensorProto.INT32 else 4
    return make.make_graph(
        nodes,
        "model",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, size)],
        [make.make_tensor_value_info("y", kind, [None] * rank)],
        tensors,
    )


def smooth_image(size: tuple[int, int], seed: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels)).astype(np.uint8)
    return cv2.GaussianBlur(pixels, (5, 5), 1.5)


def write_images(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    for name, size in {"a.png": (40, 56), "sub/b.png": (33, 47), "c.v2.png": (19, 64)}.items():
        Image.fromarray(smooth_image(size, len(name))).save(folder / name)
    return folder


def python_labels(config: Path, image: Path, precision: str = "fp32") -> npt.NDArray[np.integer]:
    from deploy.python.description import read_description
    from deploy.python.engines import make_engine
    from deploy.python.exported_model import ExportedModel

    description = read_description(config)
    model = ExportedModel(
        description, make_engine(description, engine="openvino", threads=1, precision=precision)
    )
    return model.label_of(Sample(read_image(str(image), model.img_channels), image_path=str(image)))


def label_in(out: Path, name: str) -> npt.NDArray[Any]:
    return np.asarray(cv2.imread(str(out / "label" / name), cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize(
    ("transforms", "op", "shape"),
    [
        ([NORMALIZE], "argmax", [-1, 3, -1, -1]),
        ([], "none", [-1, 3, -1, -1]),
        ([NORMALIZE], "softmax", [2, 3, 48, 64]),
        (
            [{"type": "Padding", "target_size": [64, 48], "im_padding_value": [1, 2, 3]}, NORMALIZE],
            "none",
            [1, 3, 48, 64],
        ),
        ([{"type": "Resize", "target_size": [100, 100]}, NORMALIZE], "argmax", [-1, 3, -1, -1]),
        ([{"type": "Resize", "target_size": [41, 23]}, NORMALIZE], "none", [1, 3, -1, -1]),
        ([NORMALIZE, {"type": "Resize", "target_size": [30, 50]}], "softmax", [1, 3, 50, 30]),
        (
            [
                {"type": "Resize", "target_size": [61, 61], "keep_ratio": True, "size_divisor": 8},
                {"type": "Padding", "target_size": 72},
                {"type": "Normalize"},
            ],
            "none",
            [-1, 3, -1, -1],
        ),
    ],
)
def test_labels_are_those_of_python(
    run: Run, tmp_path: Path, transforms: list[dict[str, Any]], op: str, shape: list[int]
) -> None:
    config = write_model(
        tmp_path / "model",
        segmenter(op, shape),
        output_op=op,
        input_shape=shape,
        transforms=transforms,
        padding={"side": "bottom_right", "value": 0.25},
    )
    images = write_images(tmp_path / "images")
    done = run(config, images)
    assert (done.returncode, done.stderr) == (0, "")
    for image in images.rglob("*.png"):
        name = str(image.relative_to(images))
        label, expected = label_in(tmp_path / "out", name), python_labels(config, image)
        assert (label.shape, label.dtype) == (expected.shape, expected.dtype)
        assert np.mean(label == expected) >= 0.9999
        assert len(np.unique(label)) == 3, "a comparison worth making"
        pixels = read_image(str(image)).astype(np.uint8)
        palette = color_map(256, palette=PALETTE)
        for folder, picture in (
            ("pseudo_color_prediction", palette[label]),
            ("added_prediction", overlay(pixels, label, palette)),
        ):
            shown = np.asarray(Image.open(tmp_path / "out" / folder / name).convert("RGB"))
            np.testing.assert_array_equal(shown, picture)


@pytest.fixture(scope="module")
def ccnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CCNet itself, of random weights, exported."""
    import paddle

    from paddleseg.engine.exporter import export_model
    from paddleseg.models import CCNet
    from paddleseg.models.backbones import ResNet18_vd

    folder = tmp_path_factory.mktemp("ccnet")
    paddle.seed(0)
    model = CCNet(7, ResNet18_vd(output_stride=8), recurrence=2, align_corners=True)
    for name, value in model.state_dict().items():
        if name.endswith("gamma"):  # begins at 0, without attention
            value.set_value(paddle.full(value.shape, 0.5))
    padding = {"type": "Padding", "target_size": [136, 104], "im_padding_value": [124, 116, 104]}
    description = {"transforms": [padding, {"type": "Normalize"}], "num_classes": 7}
    export_model(
        model, folder, output_op="none", input_shape=None, description=description, file_format="onnx"
    )
    return folder / "deploy.yaml"


def test_labels_of_ccnet_are_those_of_python(run: Run, tmp_path: Path, ccnet: Path) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(smooth_image((96, 128), 1)).save(image)
    done = run(ccnet, image)
    assert (done.returncode, done.stderr) == (0, "")
    label = label_in(tmp_path / "out", "a.png")
    assert label.shape == (96, 128)
    assert np.mean(label == python_labels(ccnet, image)) >= 0.9999
    assert len(np.unique(label)) > 1, "a comparison worth making"


def test_labels_in_int8_are_those_of_python(run: Run, tmp_path: Path, config: Path) -> None:
    from slim.quant import ptq

    images = write_images(tmp_path / "images")
    assert ptq.main(["--config", str(config), "--calibration", str(images), "--count", "2"]) == 0
    done = run(config, images, "--precision", "int8")
    assert (done.returncode, done.stderr) == (0, "")
    label = label_in(tmp_path / "out", "a.png")
    assert np.mean(label == python_labels(config, images / "a.png", precision="int8")) >= 0.9999
    assert np.any(label != python_labels(config, images / "a.png")), "rounded as int8 is"


def everything_below(folder: Path) -> dict[str, npt.NDArray[Any]]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): np.asarray(Image.open(file)) for file in files}


def test_the_same_files_as_infer(run: Run, tmp_path: Path, config: Path) -> None:
    """Class ids in colours too, and images in folders that are called as those of the results."""
    from deploy.python import infer

    images, python = tmp_path / "images", tmp_path / "python"
    names = ["a.png", "a.jpg", "label.png", "sub/b.png", "label/a.png", "label_images/c.png"]
    for index, name in enumerate([*names, "added_prediction/label/d.png"]):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image((20, 30), index)).save(images / name)
    flags = ["--config", str(config), "--image_path", str(images), "--save_dir", str(python)]
    assert infer.main([*flags, "--engine", "openvino"]) == 0
    assert run(config, images).returncode == 0
    expected, found = everything_below(python), everything_below(tmp_path / "out")
    assert list(found) == list(expected)
    assert {"a_png.png", "label.png", "label_images_/a.png", "label_images/c.png"} < set(found)
    assert "added_prediction_images_/label/d.png" in found
    for name, picture in expected.items():
        assert found[name].shape == picture.shape
        assert np.mean(found[name] == picture) >= 0.9999, name


def write_kinds(folder: Path) -> Path:
    """One PNG of each kind, and photographs with each orientation."""
    folder.mkdir()
    pixels = smooth_image((21, 34), 0)
    image, grey = Image.fromarray(pixels), pixels[..., 0]
    image.save(folder / "rgb.png")
    image.convert("P").save(folder / "palette.png")
    image.convert("P").quantize(3).save(folder / "palette_2_bits.png", bits=2, transparency=1)
    Image.fromarray(np.dstack([pixels, grey])).save(folder / "alpha.png")
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey).convert("1").save(folder / "one_bit.png")
    Image.fromarray(np.dstack([grey, grey // 2])).save(folder / "grey_alpha.png")
    wide = np.random.default_rng(0).integers(0, 2**16, (21, 34, 3)).astype(np.uint16)
    cv2.imwrite(str(folder / "16_bits.png"), wide)
    cv2.imwrite(str(folder / "grey_16_bits.png"), wide[..., 0])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"turned{orientation}.png", exif=exif)
        image.save(folder / f"photo{orientation}.jpg", exif=exif, quality=85)
    Image.fromarray(grey).save(folder / "photo_grey.jpg", progressive=True)
    return folder


@pytest.mark.parametrize("channels", [3, 1])
def test_files_of_every_kind_are_decoded_as_in_python(run: Run, tmp_path: Path, channels: int) -> None:
    config = write_model(
        tmp_path / "model",
        pixel_model(channels),
        output_op="argmax",
        num_classes=2**16,
        input_shape=[-1, channels, -1, -1],
        transforms=[PLAIN],
    )
    images = write_kinds(tmp_path / "images")
    done = run(config, images)
    assert (done.returncode, done.stderr) == (0, "")
    for image in images.iterdir():
        pixels = read_image(str(image), channels)
        label = label_in(tmp_path / "out", f"{image.stem}.png")
        assert label.dtype == np.uint16
        np.testing.assert_array_equal(label, pixels @ [1, 100, 150][:channels], err_msg=image.name)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def bomb(width: int, height: int) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A description of a model for any size."""
    return write_model(tmp_path / "model", segmenter("none", [-1, 3, -1, -1]), transforms=[NORMALIZE])


def test_a_bad_image_is_reported_and_the_others_go_on(run: Run, tmp_path: Path, config: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(smooth_image((20, 30), 0)).save(images / "good.png")
    whole = (images / "good.png").read_bytes()
    Image.fromarray(smooth_image((20, 30), 0)).save(images / "photo.jpg")
    photo = (images / "photo.jpg").read_bytes()
    reasons = {
        "cut.png": (whole[:-200], "cut short"),
        "cut.jpg": (photo[:-200], "Premature end"),
        "bomb.png": (bomb(30_000, 30_000), "bytes are too few for a picture of 30000×30000 pixels"),
        "empty.png": (b"", "is empty (0 bytes)"),
        "text.png": (b"no picture", "neither PNG nor JPEG"),
        "other.bmp": (b"BM", "neither PNG nor JPEG"),
        "wrong_sum.png": (whole[:60] + b"\0" + whole[61:], "cannot be decoded as PNG"),
    }
    for name, (data, _) in reasons.items():
        (images / name).write_bytes(data)
    (images / "good.jpg").symlink_to(images / "photo.jpg")  # with good.png, two of one stem
    done = run(config, images)
    assert done.returncode == 1
    assert "[DONE] 3 of 10 images" in done.stdout
    written = sorted(path.name for path in (tmp_path / "out" / "label").iterdir())
    assert written == ["good_jpg.png", "good_png.png", "photo.png"]
    lines = done.stderr.splitlines()
    assert len(lines) == len(reasons)
    for name, (_, reason) in reasons.items():
        assert any(str(images / name) in line and reason in line for line in lines), name


def test_damaged_images_never_end_the_program(run: Run, tmp_path: Path, config: Path) -> None:
    images, kinds = tmp_path / "images", write_kinds(tmp_path / "kinds")
    images.mkdir()
    rng = random.Random(5)
    files = sorted(kinds.iterdir())
    for index in range(150):
        file = rng.choice(files)
        data = bytearray(file.read_bytes())
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (images / f"{index}{file.suffix}").write_bytes(
            data[: rng.choice([len(data), rng.randrange(len(data))])]
        )
    done = run(config, images)
    assert done.returncode == 1
    assert "of 150 images" in done.stdout
    assert all(line.startswith("[ERROR] skipped: ") for line in done.stderr.splitlines())


def test_an_image_that_the_model_fails_on_is_skipped(run: Run, tmp_path: Path) -> None:
    make = onnx.helper
    nodes = [make.make_node("Add", ["x", "c"], ["y"])]
    constant = np.random.default_rng(1).random((1, 3, 40, 56)).astype(np.float32)
    graph = _graph(nodes, [-1, 3, -1, -1], onnx.TensorProto.FLOAT, {"c": constant})
    done = run(write_model(tmp_path / "model", graph), write_images(tmp_path / "images"))
    assert done.returncode == 1
    assert "[DONE] 1 of 3 images" in done.stdout
    assert done.stderr.count("[ERROR] skipped: ") == len(done.stderr.splitlines()) == 2
    assert done.stderr.count("OpenVINO cannot run the model on it") == 2


def replaced(config: Path, **entries: Any) -> None:
    tree = yaml.safe_load(config.read_text(encoding="utf-8"))
    tree["Deploy"].update(entries)
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"onnx": None}, "names no ONNX model"),
        ({"onnx": "gone.onnx"}, "Deploy: onnx: no file"),
        ({"transforms": [{"type": "LimitLong", "max_long": 9}]}, "transforms: LimitLong: this program has"),
        ({"transforms": [{"type": "Resize", "interp": "AREA"}]}, "Resize: interp: "),
        ({"transforms": [{"type": "Resize", "size": 3}]}, "Resize: size: unknown parameter"),
        (
            {"transforms": [{"type": "Resize", "target_size": [0, 3]}]},
            "Resize: target_size: expected a",
        ),
        ({"transforms": [{"type": "Padding"}]}, "Padding: target_size: is missing"),
        ({"transforms": [{"type": "Normalize", "std": [1, 0, 1]}]}, "Normalize: std: expected numbers other"),
        ({"transforms": [{"type": "Normalize", "mean": [1, 2]}]}, "Normalize: mean: expected 1 or 3 numbers"),
        ({"transforms": "Normalize"}, "transforms: expected a list"),
        ({"input_shape": [1, 4, -1, -1]}, "input_shape: expected N, C, H, W"),
        ({"palette": [[1, 2, 300]]}, "palette: expected a list of [red, green, blue]"),
        ({"padding": 3}, "padding: expected {side"),
        ({"output_op": "best"}, "output_op: expected argmax, softmax or none, got 'best'"),
        ({"checksums": {"model.onnx": "sha256:12"}}, "the file is not the one that was exported"),
    ],
)
def test_a_bad_description_is_refused(
    run: Run, tmp_path: Path, config: Path, entries: dict[str, Any], message: str
) -> None:
    replaced(config, **entries)
    refused(run(config, write_images(tmp_path / "images")), message)
    assert not (tmp_path / "out").exists()


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    "text", ["Deploy: [", "- 1", "Deploy: 3", "\0\1\2", "[" * 100_000, "Deploy: &a [*a]", 'a: "\\\r\n"']
)
def test_a_damaged_description_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "deploy.yaml"
    path.write_text(text, encoding="utf-8")
    refused(run(path, tmp_path), f"--config {path}: not a deploy.yaml of export.py (")


def test_a_damaged_model_is_refused(run: Run, tmp_path: Path, config: Path) -> None:
    model = config.parent / "model.onnx"
    model.write_bytes(model.read_bytes()[:-40])
    replaced(config, checksums={})
    refused(run(config, write_images(tmp_path / "images")), "OpenVINO cannot load the model")


def test_scores_that_are_no_numbers_are_refused(run: Run, tmp_path: Path, config: Path) -> None:
    replaced(config, transforms=[{"type": "Normalize", "mean": [1e38], "std": [1e-38]}])
    refused(run(config, write_images(tmp_path / "images")), "the model's scores are not numbers")


def test_a_library_that_fails_gets_one_message(
    run: Run, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "openssl.cnf"
    settings.write_text("openssl_conf=a\n[a]\nproviders=b\n[b]\nnull=c\n[c]\nactivate=1\n", encoding="utf-8")
    monkeypatch.setenv("OPENSSL_CONF", str(settings))
    refused(run(config, write_images(tmp_path / "images")), "OpenSSL has no SHA-256")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_threads_are_as_many_as_the_cores_of_the_process(program: Path, tmp_path: Path, config: Path) -> None:
    mine = os.sched_getaffinity(0)
    command = [str(program), "--config", str(config), "--image_path", str(write_images(tmp_path / "images"))]
    command += ["--save_dir", str(tmp_path / "out"), "--benchmark", "True"]
    for cores in ({min(mine)}, mine):
        os.sched_setaffinity(0, cores)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        finally:
            os.sched_setaffinity(0, mine)
        assert f"threads: {len(cores)}, images: 3" in done.stdout


def test_the_command_line_is_checked(run: Run, tmp_path: Path, config: Path) -> None:
    images = write_images(tmp_path / "images")
    file = images / "a.png"
    refused(run(config, images, "--thread", "1"), "unknown argument '--thread'")
    refused(run(config, images, "--threads", "0"), "--threads: got '0'; expected a whole number from 1")
    refused(run(config, images, "--precision=bf16"), "--precision: got 'bf16'; expected fp32 or int8")
    refused(run(config, images, "--precision", "int8"), f"slim/quant/ptq.py --config {config} --calibration")
    refused(run(config, images, "--save_dir", str(file)), f"--save_dir {file}: this is a file")
    images.rename(tmp_path / "label")
    done = run(config, tmp_path / "label", "--save_dir", str(tmp_path))
    refused(done, "would take the place of an image of --image_path")
    refused(run(config, tmp_path / "gone"), f"--image_path {tmp_path / 'gone'}: no image found")
    refused(run(tmp_path / "gone.yaml", tmp_path), "(no such file)")


def test_int8_and_benchmark(run: Run, tmp_path: Path, config: Path) -> None:
    other = write_model(tmp_path / "other", segmenter("argmax", [-1, 3, -1, -1], classes=2))
    shutil.copy(other.parent / "model.onnx", config.parent / "model_int8.onnx")
    replaced(config, int8="model_int8.onnx")
    image = write_images(tmp_path / "images") / "a.png"
    done = run(config, image, "--precision", "int8", "--benchmark", "True", "--threads", "1")
    assert done.returncode == 0
    assert "precision: int8, threads: 1, images: 1, preprocess_ms: " in done.stdout
    assert label_in(tmp_path / "out", "a.png").max() == 1, (
        "the quantised file, which has two classes, was run"
    )


def test_an_image_larger_than_the_fixed_size_is_skipped(run: Run, tmp_path: Path) -> None:
    shape = [1, 3, 33, 50]
    config = write_model(
        tmp_path / "model", segmenter("argmax", shape), input_shape=shape, transforms=[NORMALIZE]
    )
    done = run(config, write_images(tmp_path / "images"))
    assert done.returncode == 1
    assert "[DONE] 1 of 3 images" in done.stdout
    assert "the transforms make it 56×40 pixels, but the model was exported for 50×33" in done.stderr

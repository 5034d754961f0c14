"""The program over an exported model, against the model itself."""

from __future__ import annotations

import re
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from small_task import TinySegmenter

from deploy.python import images
from deploy.python.flags import inference_of, paddle_of, parse
from deploy.python.infer import main
from paddleseg.data.transforms import Compose, Normalize, Sample
from paddleseg.engine.model_function import as_predict
from paddleseg.engine.predictor import predict_label
from paddleseg.errors import OutputError, UsageError
from paddleseg.inference import InferenceOptions

Export = Callable[..., Path]
PALETTE = np.array([[255, 0, 0], [0, 9, 0], [0, 0, 7]])


def infer(config: Path, image_path: Path, save_dir: Path, *flags: str) -> int:
    paths = ["--config", str(config), "--image_path", str(image_path), "--save_dir", str(save_dir)]
    return main([*paths, "--cpu_threads", "1", "--device", "cpu", *flags])


def trained_label(model: TinySegmenter, path: Path, options: InferenceOptions | None = None) -> Any:
    return predict_label(
        Sample(np.asarray(Image.open(path), dtype=np.float32)),
        predict=as_predict(model),
        transforms=Compose([Normalize()]),
        options=options or InferenceOptions(),
    )


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "paddle", "auto"])
def test_its_pictures_are_those_of_the_trained_model(
    engine: str, tiny: TinySegmenter, export: Export, pictures: Path, tmp_path: Path
) -> None:
    assert infer(export("argmax"), pictures, tmp_path, "--engine", engine, "--batch_size", "2") == 0
    for path in sorted(pictures.iterdir()):
        label = np.asarray(Image.open(tmp_path / "label" / path.name))
        assert np.mean(label == trained_label(tiny, path)) >= 0.9999
        assert len(np.unique(label)) > 1, "a comparison worth making"
        for painted in (tmp_path / "pseudo_color_prediction" / path.name, tmp_path / path.name):
            picture = Image.open(painted)
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), label)
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), PALETTE[label])
        added = np.asarray(Image.open(tmp_path / "added_prediction" / path.name), dtype=np.float64)
        blend = 0.6 * np.asarray(Image.open(path), dtype=np.float64) + 0.4 * PALETTE[label]
        assert np.abs(added - blend).max() <= 1
    assert len(files_below(tmp_path)) == 12


def test_what_class_ids_cannot_do_is_said(
    export: Export, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for output_op, said in (("argmax", 1), ("none", 0)):
        config = tmp_path / output_op
        shutil.copytree(export(output_op).parent, config)
        tree = yaml.safe_load((config / "deploy.yaml").read_text("utf-8"))
        tree["Deploy"]["transforms"].insert(0, {"type": "Resize", "target_size": [40, 32]})
        (config / "deploy.yaml").write_text(yaml.safe_dump(tree), "utf-8")
        assert infer(config, pictures, tmp_path / f"{output_op}_out", "--engine", "onnxruntime") == 0
        assert capsys.readouterr().out.count("export with --output_op none") == said


def test_windows_and_flips(tiny: TinySegmenter, export: Export, pictures: Path, tmp_path: Path) -> None:
    flags = [
        "--engine",
        "onnxruntime",
        "--crop_size",
        "24",
        "20",
        "--stride",
        "16",
        "12",
        "--flip_horizontal",
    ]
    assert infer(export("none"), pictures, tmp_path, *flags) == 0
    options = InferenceOptions(is_slide=True, crop_size=(24, 20), stride=(16, 12), flip_horizontal=True)
    for path in pictures.iterdir():
        label = np.asarray(Image.open(tmp_path / "label" / path.name))
        assert np.mean(label == trained_label(tiny, path, options)) >= 0.9999


def test_a_bad_image_is_reported_and_the_rest_go_on(
    export: Export, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(pictures, folder)
    (folder / "b.png").write_bytes(b"broken")
    (folder / "empty.png").write_bytes(b"")
    config = export("argmax", shape=(1, 3, 40, 56), file_format="onnx")
    Image.fromarray(np.zeros((41, 8, 3), np.uint8)).save(folder / "tall.png")
    assert infer(config, folder, out) == 1
    assert files_below(out / "label") == ["a.png", "c.png"]
    shown = capsys.readouterr().out
    assert "b.png: cannot be decoded" in shown
    assert "empty.png: the image file is empty" in shown
    assert "tall.png: after the transforms it has 8×41 pixels" in shown
    assert "[DONE] 2 of 5 images" in shown


def test_a_first_image_that_is_too_large_does_not_end_a_benchmark(
    export: Export, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(pictures, folder)
    Image.fromarray(np.zeros((41, 8, 3), np.uint8)).save(folder / "0_tall.png")
    config = export("argmax", shape=(1, 3, 40, 56), file_format="onnx")
    assert infer(config, folder, tmp_path / "out", "--benchmark", "True") == 1
    shown = capsys.readouterr().out
    assert "0_tall.png: after the transforms it has 8×41 pixels" in shown
    assert "[DONE] 3 of 4 images" in shown


def test_ctrl_c_stops_the_reading_ahead(
    export: Export, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    class Ahead:
        def __iter__(self) -> Any:
            raise KeyboardInterrupt

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(images, "ahead", lambda *_, **__: Ahead())
    assert infer(export("argmax"), pictures, tmp_path / "out", "--engine", "onnxruntime") == 130
    assert closed == [True]


def test_subfolders_and_names_that_would_collide(export: Export, pictures: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "label/a.png", "label_images/a.png", "deep/er/a.png", "twin.png", "twin.bmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(pictures / "a.png").save(folder / name)
    assert infer(export("argmax"), folder, out, "--engine", "onnxruntime") == 0
    results = ["a", "deep/er/a", "label/a", "label_images/a", "twin_bmp", "twin_png"]
    for kind in ("label", "pseudo_color_prediction", "added_prediction"):
        assert set(files_below(out / kind)) >= {f"{name}.png" for name in results}
    assert len(files_below(out)) == 4 * len(results), "nothing took another's place"
    assert (out / "label_images_" / "a.png").is_file()


def test_an_input_is_never_overwritten(
    export: Export, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(pictures, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert infer(export("argmax"), folder, folder, "--engine", "onnxruntime") == 2
    assert "would take the place of an image of --image_path" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_list_as_tipc_names_it(export: Export, pictures: Path, tmp_path: Path) -> None:
    listing = tmp_path / "val.list"
    listing.write_text(f"{pictures}/a.png {pictures}/b.png\n{pictures}/c.png x\n")
    assert infer(export("argmax"), listing, tmp_path / "out", "--engine", "onnxruntime") == 0
    assert files_below(tmp_path / "out" / "label") == ["a.png", "c.png"]


def test_the_last_of_a_repeated_flag_counts(export: Export, pictures: Path, tmp_path: Path) -> None:
    again = ["--save_dir", str(tmp_path / "second"), "--engine", "onnxruntime"]
    assert infer(export("argmax"), pictures / "a.png", tmp_path / "first", *again) == 0
    assert not (tmp_path / "first").exists()
    assert (tmp_path / "second" / "a.png").is_file()


def test_benchmark_lines_can_be_read_by_a_program(
    export: Export, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = export("argmax")
    plain, timed = tmp_path / "plain", tmp_path / "timed"
    assert infer(config, pictures, plain, "--engine", "onnxruntime") == 0
    capsys.readouterr()
    flags = ["--engine", "onnxruntime", "--benchmark", "True", "--model_name", "tiny", "--batch_size", "2"]
    assert infer(config, pictures, timed, *flags) == 0
    lines = [
        line.split("[BENCHMARK] ")[1] for line in capsys.readouterr().out.splitlines() if "[BENCH" in line
    ]
    assert lines[0] == (
        "model_name: tiny, engine: onnxruntime, precision: fp32, device: cpu, cpu_threads: 1, batch_size: 2"
    )
    number = r"(\d+\.\d+)"
    stages = re.fullmatch(
        rf"preprocess_time\(ms\): {number}, inference_time\(ms\): {number}, postprocess_time\(ms\): {number}",
        lines[1],
    )
    assert stages
    assert all(float(ms) > 0 for ms in stages.groups())
    assert re.fullmatch(rf"images: 3, images_per_second: {number}, total_time\(s\): {number}", lines[2])
    peak = re.fullmatch(r"peak_memory\(MB\): (\d+)", lines[3])
    assert peak
    assert 50 < int(peak[1]) < 100_000
    for name in files_below(plain):
        assert (plain / name).read_bytes() == (timed / name).read_bytes()


def test_flags_of_paddleseg_are_understood() -> None:
    text = (
        "--config d --image_path i --device cpu --use_trt False --precision fp32 --min_subgraph_size 5 "
        "--enable_auto_tune False --auto_tuned_shape_file s.txt --cpu_threads 10 --enable_mkldnn False "
        "--benchmark False --model_name m --with_argmax --print_detail True --batch_size 2"
    )
    args = parse(text.split())
    options = paddle_of(args)
    assert (options.enable_mkldnn, options.use_trt, options.print_detail) == (False, False, True)
    assert (options.min_subgraph_size, str(options.auto_tuned_shape_file)) == (5, "s.txt")
    assert inference_of(args) == InferenceOptions()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "paddle", "auto"])
def test_switches_that_are_off_suit_every_engine(engine: str) -> None:
    text = (
        f"--config d --image_path i --engine {engine} --enable_mkldnn False --use_trt False --print_detail "
        "False --min_subgraph_size 3 --enable_auto_tune False --auto_tuned_shape_file auto_tune_tmp.pbtxt"
    )
    assert paddle_of(parse(text.split())).enable_mkldnn is False
    assert paddle_of(parse(["--config", "d", "--image_path", "i"])).enable_mkldnn is True


@pytest.mark.parametrize(("flags", "count"), [("", 3), (" --is_slide --crop_size 9 8 --stride 7 6", 12)])
def test_tensorrt_is_told_the_batch(flags: str, count: int) -> None:
    """Windows go through the model four at a time."""
    text = f"--config d --image_path i --batch_size 3{flags}"
    assert paddle_of(parse(text.split())).batch_size == count


def test_flags_of_predict_are_understood() -> None:
    text = "--config d --image_path i --aug_pred --scales 0.5 1 --flip_vertical --crop_size 9 8 --stride 7 6"
    assert inference_of(parse(text.split())) == InferenceOptions(
        scales=(0.5, 1), flip_vertical=True, is_slide=True, crop_size=(9, 8), stride=(7, 6)
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--use_trt maybe", "expected True or False"),
        ("--benchmark", "expected one argument"),
        ("--device npu", "run on cpu and gpu here"),
        ("--enable_auto_tune True", "add --use_trt True"),
        ("--batch_size 0", "expected at least 1"),
        ("--precision half", "invalid choice"),
        ("--engine tensorrt", "invalid choice"),
        ("--image_pth x", "did you mean '--image_path'"),
        (
            "--engine onnxruntime --enable_mkldnn True",
            "--enable_mkldnn True: --engine onnxruntime has no such",
        ),
        ("--engine openvino --print_detail True", "--print_detail True: --engine openvino has no such"),
        ("--engine openvino --min_subgraph_size 5", "--min_subgraph_size 5"),
        ("--engine openvino --auto_tuned_shape_file x", "--auto_tuned_shape_file x"),
    ],
)
def test_a_bad_flag_is_refused(flags: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(["--config", "d", "--image_path", "i", *flags.split()])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--precision fp16", "half precision needs a GPU"),
        ("--precision int8", "slim/quant/ptq.py"),
        ("--use_trt True", "TensorRT needs an NVIDIA GPU"),
        ("--is_slide", "needs crop_size and stride"),
        ("--flip_horizontal", "export it with --output_op none"),
        ("--video_out x.mp4", "is no video"),
        ("--label_frames True", "images get their class ids anyway"),
        ("--custom_color 1 2", "expected red green blue"),
    ],
)
def test_what_cannot_be_done_ends_with_one_message(
    flags: str,
    message: str,
    export: Export,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert infer(export("argmax"), pictures, out, *flags.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error:") == 1
    assert "Traceback" not in error
    assert not out.exists()


def test_a_bad_description_ends_with_one_message(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "deploy.yaml"
    config.write_text("Deploy: {model: m, params: p}")
    out = tmp_path / "out"
    assert infer(config, pictures, out) == 2
    assert capsys.readouterr().err.startswith(f"error: {config}: Deploy model: no file")
    assert not out.exists()


def test_a_full_disk_ends_the_run(
    export: Export, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, write: object) -> None:
        raise OutputError(f"{path}: No space left on device")

    monkeypatch.setattr(images, "replace_file", full)
    assert infer(export("argmax"), pictures / "a.png", tmp_path / "out", "--engine", "onnxruntime") == 2
    assert files_below(tmp_path / "out") == [], "all four pictures or none"


def test_a_picture_that_cannot_be_read_back_ends_the_run_with_a_message(
    export: Export,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(images, "write_pictures", lambda *_, **__: [])
    assert infer(export("argmax"), pictures / "a.png", tmp_path / "out", "--engine", "onnxruntime") == 2
    assert re.search(r"error: .*a\.png: cannot be written: No such file", capsys.readouterr().err)


def test_a_large_image_goes_alone(
    tiny: TinySegmenter, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        size = (40, 56) if index in (2, 3) else (24, 32)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(folder / f"{index}.png")
    written_before: dict[str, int] = {}
    held: list[tuple[str, weakref.ref[Any]]] = []
    read_pixels = images.read_pixels

    def reading(path: str, channels: int) -> Any:
        name = Path(path).stem
        if name in "23":
            earlier = [other for other, pixels in held if other < name and pixels() is not None]
            assert earlier == [], "none before it is held"
            written_before[name] = len(files_below(out))
        pixels = read_pixels(path, channels)
        held.append((name, weakref.ref(pixels)))
        return pixels

    monkeypatch.setattr(images, "read_pixels", reading)
    monkeypatch.setattr("paddleseg.engine.image_files.LARGE", 24 * 32)
    config = export("argmax", file_format="onnx")
    assert infer(config, folder, out, "--batch_size", "2", "--engine", "onnxruntime") == 0
    assert written_before == {"2": 4 * 2, "3": 4 * 3}, "all before it is written"
    for path in folder.iterdir():
        label = np.asarray(Image.open(out / "label" / path.name))
        np.testing.assert_array_equal(label, trained_label(tiny, path))


def test_a_model_of_one_channel(tmp_path: Path, pictures: Path) -> None:
    """Grey pictures in and out: class 1 where the picture is light."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Neg", ["x"], ["dark"]),
            helper.make_node("Concat", ["dark", "x"], ["scores"], axis=1),
        ],
        "grey",
        [helper.make_tensor_value_info("x", types.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("scores", types.FLOAT, ["n", 2, "h", "w"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    deploy = {
        "onnx": "model.onnx",
        "input_shape": [-1, 1, -1, -1],
        "output_op": "none",
        "transforms": [{"type": "Normalize", "mean": [0.5], "std": [0.5]}],
    }
    (tmp_path / "deploy.yaml").write_text(yaml.safe_dump({"Deploy": deploy}))
    assert (
        infer(tmp_path / "deploy.yaml", pictures / "a.png", tmp_path / "out", "--engine", "onnxruntime") == 0
    )
    grey = np.asarray(Image.open(pictures / "a.png").convert("L"), dtype=np.float64)
    label = np.asarray(Image.open(tmp_path / "out" / "label" / "a.png"))
    clear = np.abs(grey - 127.5) > 2  # Pillow and OpenCV round grey differently
    np.testing.assert_array_equal(label[clear], (grey > 127.5)[clear])

"""Engines: that they agree with Paddle's own layers, what they refuse, and which one is chosen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from deploy.python import engines
from deploy.python.description import DeployDescription, read_description
from deploy.python.engines import ENGINES, PaddleOptions, choice, make_engine, obstacles, paddle_inference
from deploy.python.engines.base import EngineOptions, check_input_shape
from deploy.python.engines.onnx_runtime import _providers
from paddleseg.errors import ConfigError, DeviceError, PaddleSegError, UsageError

Export = Callable[..., Path]
NAMES = sorted(ENGINES)


def noise(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32)


def logits_of(model: TinySegmenter, image: Any) -> Any:
    with paddle.no_grad():
        return model(paddle.to_tensor(image))[0].numpy()


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_trained_model(name: str, tiny: TinySegmenter, export: Export) -> None:
    engine = make_engine(read_description(export("none")), engine=name, threads=2)
    assert engine.name == name
    for shape in ((1, 3, 40, 56), (2, 3, 33, 47), (1, 3, 40, 56)):
        image = noise(*shape)
        scores = engine.run(image)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, logits_of(tiny, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_output_is_the_callers_own(name: str, export: Export) -> None:
    engine = make_engine(read_description(export("none")), engine=name, threads=1)
    first = engine.run(noise(1, 3, 24, 32))
    kept = first.copy()
    engine.run(2 * noise(1, 3, 24, 32))
    np.testing.assert_array_equal(first, kept)
    first[...] = 0


@pytest.mark.parametrize("file_format", ["paddle", "legacy"])
@pytest.mark.parametrize("enable_mkldnn", [True, False])
def test_paddle_survives_what_its_onednn_passes_crash_on(
    file_format: str, enable_mkldnn: bool, tiny: TinySegmenter, export: Export
) -> None:
    engine = make_engine(
        read_description(export("none", file_format=file_format)),
        engine="paddle",
        threads=2,
        paddle=PaddleOptions(enable_mkldnn=enable_mkldnn),
    )
    image = noise(1, 3, 40, 56)
    np.testing.assert_allclose(engine.run(image), logits_of(tiny, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_paddle_is_not_imported_for_other_engines(name: str, export: Export, root_dir: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from deploy.python.description import read_description\n"
        "from deploy.python.engines import make_engine\n"
        "from deploy.python.exported_model import ExportedModel\n"
        "import deploy.python.infer\n"
        "from paddleseg.data.transforms import Sample\n"
        "description = read_description(Path(sys.argv[1]))\n"
        "model = ExportedModel(description, make_engine(description, engine=sys.argv[2], threads=1))\n"
        "model.label_of(Sample(np.zeros((24, 32, 3), np.float32)))\n"
        "sys.exit('paddle' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, str(export("argmax")), name]
    done = subprocess.run(command, cwd=root_dir, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_signals_after_engines_are_gone(export: Export, root_dir: Path) -> None:
    """OpenVINO's own stack for signals must not outlive its memory, in whatever order engines go."""
    program = (
        "import gc, signal, sys\n"
        "from pathlib import Path\n"
        "from deploy.python.description import read_description\n"
        "from deploy.python.engines import make_engine\n"
        "model = read_description(Path(sys.argv[1]))\n"
        "engines = [make_engine(model, engine='openvino', threads=1) for _ in 'ab']\n"
        "while engines:\n"
        "    engines.pop(0)\n"
        "    gc.collect()\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    command = [sys.executable, "-c", program, str(export("argmax"))]
    done = subprocess.run(command, cwd=root_dir, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [b"", b"{}", b"\x80\x04cposix\nsystem\n", b"half"])
def test_a_damaged_model_is_reported(name: str, damage: bytes, export: Export, tmp_path: Path) -> None:
    shutil.copytree(export("argmax").parent, tmp_path, dirs_exist_ok=True)
    description = read_description(tmp_path)
    victim = tmp_path / ("model.json" if name == "paddle" else "model.onnx")
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2] if damage == b"half" else damage)
    with pytest.raises(ConfigError, match="not the one that was exported"):
        make_engine(description, engine=name, threads=1)
    description.raw.pop("checksums")
    with pytest.raises(ConfigError, match=r"cannot load the model .*; export the model again") as caught:
        make_engine(description, engine=name, threads=1)
    assert "\n" not in str(caught.value)


def test_swapped_files_are_reported(export: Export, tmp_path: Path) -> None:
    shutil.copytree(export("argmax").parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.onnx").write_bytes((tmp_path / "model.pdiparams").read_bytes())
    description = read_description(tmp_path)
    for checked in (True, False):
        if not checked:
            description.raw.pop("checksums")
        for name in ("onnxruntime", "openvino"):
            with pytest.raises(ConfigError, match=r"model"):
                make_engine(description, engine=name, threads=1)


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({"engine": "tensorrt"}, UsageError, "--engine tensorrt: expected auto, "),
        ({"device": "tpu"}, UsageError, "device: expected one of auto, cpu, gpu"),
        ({"precision": "fp8"}, UsageError, "precision: expected one of fp32"),
        ({"precision": "fp16"}, UsageError, "half precision needs a GPU"),
        ({"precision": "fp16", "engine": "paddle"}, UsageError, "half precision needs a GPU"),
        (
            {"precision": "fp16", "engine": "openvino", "device": "gpu"},
            UsageError,
            "half precision needs a GPU",
        ),
        (
            {"precision": "fp16", "engine": "paddle", "device": "auto"},
            DeviceError,
            "--precision fp16: Paddle sees no",
        ),
        ({"precision": "bf16", "engine": "paddle"}, UsageError, "use --engine openvino"),
        ({"precision": "bf16", "engine": "onnxruntime"}, UsageError, "use --engine openvino"),
        ({"precision": "int8"}, ConfigError, "python slim/quant/ptq.py --config .*deploy.yaml --calibration"),
        ({"precision": "int8", "engine": "paddle"}, UsageError, "use --engine onnxruntime or openvino"),
        ({"engine": "openvino", "device": "gpu"}, DeviceError, "OpenVINO runs on the CPU here"),
        ({"engine": "paddle", "device": "gpu"}, DeviceError, "--device gpu: Paddle sees no GPU"),
        ({"engine": "onnxruntime", "device": "gpu"}, DeviceError, "install onnxruntime-gpu"),
        ({"paddle": PaddleOptions(use_trt=True)}, DeviceError, "TensorRT needs an NVIDIA GPU"),
        (
            {"paddle": PaddleOptions(use_trt=True), "engine": "paddle", "device": "auto"},
            DeviceError,
            "--use_trt True: Paddle sees no GPU",
        ),
        (
            {"paddle": PaddleOptions(use_trt=True), "engine": "onnxruntime", "device": "auto"},
            DeviceError,
            "and --engine paddle",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    asked: dict[str, Any], kind: type[PaddleSegError], message: str, export: Export
) -> None:
    with pytest.raises(kind, match=message) as caught:
        make_engine(read_description(export("argmax")), threads=1, **asked)
    assert "\n" not in str(caught.value)


def test_bf16_where_the_processor_lacks_it(export: Export) -> None:
    openvino = pytest.importorskip("openvino")
    description = read_description(export("none"))
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        scores = make_engine(description, engine="openvino", threads=1, precision="bf16").run(
            noise(1, 3, 24, 32)
        )
        assert scores.dtype == np.float32
    else:
        with pytest.raises(DeviceError, match="no bf16 instructions"):
            make_engine(description, threads=1, precision="bf16")


@pytest.mark.parametrize(
    ("file_format", "name", "message"),
    [
        ("paddle", "onnxruntime", "export it with --format all, or use --engine paddle"),
        ("paddle", "openvino", "export it with --format all, or use --engine paddle"),
        ("onnx", "paddle", "export it with --format all, or use --engine onnxruntime"),
    ],
)
def test_a_file_that_was_not_exported(file_format: str, name: str, message: str, export: Export) -> None:
    with pytest.raises(ConfigError, match=message):
        make_engine(read_description(export("argmax", file_format=file_format)), engine=name, threads=1)


def test_an_engine_that_is_not_installed(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        obstacles.importlib.util, "find_spec", lambda name: None if name == "openvino" else name
    )
    assert engines.installed_engines() == ["onnxruntime", "paddle"]
    description = read_description(export("argmax"))
    with pytest.raises(
        UsageError, match=r"pip install openvino.*choose of those that are: onnxruntime, paddle"
    ):
        make_engine(description, engine="openvino", threads=1)
    monkeypatch.setattr(obstacles.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed"):
        make_engine(description, threads=1)


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("cpu", ["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]),
        ("auto", ["CPUExecutionProvider"], ["CPUExecutionProvider"]),
        *(
            (
                device,
                ["CUDAExecutionProvider", "CPUExecutionProvider"],
                ["CUDAExecutionProvider", "CPUExecutionProvider"],
            )
            for device in ("auto", "gpu")
        ),
    ],
)
def test_onnx_runtime_takes_the_gpu_where_it_can(
    device: str, available: list[str], expected: list[str]
) -> None:
    assert _providers(device, available) == expected


class Slow:
    """An engine that takes a given time."""

    def __init__(self, name: str, clock: list[float], seconds: float, error: Exception | None) -> None:
        self.name, self._clock, self._seconds, self._error = name, clock, seconds, error
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Any) -> Any:
        if self._error:
            raise self._error
        # The first run, which makes buffers and threads, says nothing.
        self._clock[0] += self._seconds if self.shapes else 5.0
        self.shapes.append(batch.shape)
        return batch


class Trial:
    """Engines with a clock of their own instead of the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float | PaddleSegError]) -> None:
        self.clock, self.seconds = [0.0], seconds
        self.made: list[Slow] = []
        self.run_errors: dict[str, Exception] = {}
        monkeypatch.setattr(choice.time, "perf_counter", lambda: self.clock[0])

    def load(self, name: str, description: DeployDescription, options: EngineOptions, samples: Any) -> Any:
        seconds = self.seconds[name]
        if isinstance(seconds, PaddleSegError):
            raise seconds
        self.made.append(Slow(name, self.clock, seconds, self.run_errors.get(name)))
        return self.made[-1]

    def choose(self, description: DeployDescription, samples: Sequence[Any] = (), **options: Any) -> str:
        self.made.clear()
        chosen = choice.choose_engine(
            list(self.seconds),
            description,
            EngineOptions(threads=1, **options),
            load=self.load,
            samples=samples,
        )
        return chosen.name


@pytest.fixture
def description(export: Export, tmp_path: Path) -> DeployDescription:
    shutil.copytree(export("argmax").parent, tmp_path / "m", ignore=shutil.ignore_patterns(choice.MEMORY))
    return read_description(tmp_path / "m")


def test_the_fastest_is_chosen_and_remembered(
    description: DeployDescription, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trial = Trial(monkeypatch, {"onnxruntime": 0.3, "openvino": 0.2, "paddle": 0.9})
    caplog.set_level("INFO", "paddleseg")
    assert trial.choose(description) == "openvino"
    assert "openvino 0.200, onnxruntime 0.300, paddle 0.900" in caplog.text
    assert [len(engine.shapes) for engine in trial.made] == [3, 3, 2], "a hopeless one gets no third run"
    trial.seconds["paddle"] = 0.1
    assert trial.choose(description) == "openvino"
    assert [engine.name for engine in trial.made] == ["openvino"]
    assert trial.made[0].shapes == [], "what is remembered needs no trial"
    assert trial.choose(description, precision="bf16") == "paddle", "another question, another trial"
    assert len(json.loads((description.path.parent / choice.MEMORY).read_text())) == 2


def test_another_model_in_the_same_folder_is_tried_anew(
    description: DeployDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(monkeypatch, {"onnxruntime": 0.3, "openvino": 0.2})
    assert trial.choose(description) == "openvino"
    trial.seconds["openvino"] = 0.4
    description.raw["checksums"]["model.onnx"] = "sha256:0"
    assert trial.choose(description) == "onnxruntime"
    assert description.onnx is not None
    del description.raw["checksums"]
    trial.seconds["openvino"] = 0.1
    assert trial.choose(description) == "openvino", "without checksums, size and time of the files count"


@pytest.mark.parametrize("memory", ["", "[]", "{", '{"a": 1}', "\x00"])
def test_a_damaged_memory_is_as_good_as_none(
    memory: str, description: DeployDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    (description.path.parent / choice.MEMORY).write_text(memory)
    trial = Trial(monkeypatch, {"onnxruntime": 0.3, "openvino": 0.2})
    assert trial.choose(description) == "openvino"


def test_a_folder_that_cannot_be_written(
    description: DeployDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    (description.path.parent / choice.MEMORY).mkdir()
    trial = Trial(monkeypatch, {"onnxruntime": 0.3, "openvino": 0.2})
    assert trial.choose(description) == "openvino"


def test_an_engine_that_cannot_load_the_model_is_left_out(
    description: DeployDescription, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trial = Trial(monkeypatch, {"onnxruntime": ConfigError("no such operator"), "openvino": 0.2})
    assert trial.choose(description) == "openvino"
    assert "without onnxruntime: no such operator" in caplog.text
    trial.seconds["openvino"] = ConfigError("neither here")
    (description.path.parent / choice.MEMORY).unlink()
    with pytest.raises(ConfigError, match="no engine can run the model; no such operator"):
        trial.choose(description)


@pytest.mark.parametrize("error", [ConfigError("it failed"), MemoryError()])
def test_an_engine_whose_trial_fails_is_left_out(
    error: Exception,
    description: DeployDescription,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trial = Trial(monkeypatch, {"onnxruntime": 0.1, "openvino": 0.2})
    trial.run_errors["onnxruntime"] = error
    assert trial.choose(description) == "openvino"
    assert f"without onnxruntime: {str(error) or 'out of memory'}" in caplog.text


def test_the_batch_size_asks_for_no_new_trial(
    description: DeployDescription, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "paddleseg")
    trial = Trial(monkeypatch, {"onnxruntime": 0.3, "openvino": 0.2})
    trial.choose(description)
    trial.choose(description, paddle=PaddleOptions(batch_size=8))
    assert trial.made[0].shapes == []
    assert f"delete {description.path.parent / choice.MEMORY} to try again" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_input_shape_is_found_at_load(name: str, export: Export, tmp_path: Path) -> None:
    shutil.copytree(export("none", shape=(1, 3, 32, 40)).parent, tmp_path, dirs_exist_ok=True)
    description = read_description(tmp_path)
    make_engine(description, engine=name, threads=1)
    for said in ((1, 3, 32, 48), (1, 3, -1, -1), (1, 1, 32, 40), (2, 3, 32, 40)):
        with pytest.raises(ConfigError, match=r"input_shape is .*, but the model takes \[1, 3, 32, 40\]"):
            make_engine(replace(description, input_shape=said), engine=name, threads=1)
    # A deploy.yaml of CCNet_paddle says nothing; then one message comes with the first run.
    del description.raw["input_shape"]
    engine = make_engine(replace(description, input_shape=(-1, 3, -1, -1)), engine=name, threads=1)
    with pytest.raises(ConfigError, match=f"{name} failed on an input of 1×1×24×24") as caught:
        engine.run(noise(1, 1, 24, 24))
    assert "\n" not in str(caught.value)


def test_a_model_of_any_size_suits_any_input_shape(export: Export) -> None:
    description = replace(read_description(export("none")), input_shape=(1, 3, 32, 40))
    check_input_shape(description, ["N", 3, None, -1])
    with pytest.raises(ConfigError, match="but the model takes"):
        check_input_shape(description, [1, 3])


@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_onnx_runtime_without_its_cuda_libraries(
    device: str, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a build names CUDA, and its sessions run on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *args, providers, **options: session(*args, providers=["CPUExecutionProvider"], **options),
    )
    description = read_description(export("none"))
    if device == "auto":
        assert make_engine(description, engine="onnxruntime", device=device, threads=1).name == "onnxruntime"
    else:
        with pytest.raises(DeviceError, match="ONNX Runtime cannot use the GPU"):
            make_engine(description, engine="onnxruntime", device=device, threads=1)


def test_the_trial_takes_a_part_of_a_real_image(
    description: DeployDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(monkeypatch, {"onnxruntime": 0.3, "openvino": 0.2})
    trial.choose(description, [np.zeros((1, 3, 1024, 2048), np.float32)])
    assert trial.made[0].shapes == [(1, 3, 192, 256)] * 3
    fixed = replace(description, input_shape=(2, 3, 512, -1))
    (description.path.parent / choice.MEMORY).unlink()
    trial.choose(fixed, [np.zeros((1, 3, 40, 56), np.float32)])
    assert trial.made[0].shapes == [(2, 3, 512, 256)] * 3


def test_one_engine_needs_no_trial(
    export: Export, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "paddleseg")
    trial = Trial(monkeypatch, {"paddle": 0.3})
    assert trial.choose(read_description(export("argmax", file_format="paddle"))) == "paddle"
    assert "export with --format all" in caplog.text
    assert trial.made[0].shapes == []


def test_auto_with_real_engines(description: DeployDescription) -> None:
    chosen = make_engine(description, threads=1)
    assert chosen.name in ENGINES
    assert make_engine(description, threads=1).name == chosen.name
    assert (description.path.parent / choice.MEMORY).is_file()


class Settings:
    """Stands in for paddle.inference.Config and records what it is told."""

    def __init__(self, *files: str) -> None:
        self.files = files
        self.calls: dict[str, tuple[Any, ...]] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        def record(*arguments: Any, **named: Any) -> None:
            self.calls[name] = (*arguments, named) if named else arguments

        return record


class Handle:
    def reshape(self, shape: Any) -> None:
        self.size = tuple(shape)

    def shape(self) -> list[int]:
        return [0]

    def copy_from_cpu(self, array: Any) -> None:
        self.array = array

    def copy_to_cpu(self) -> Any:
        return self.array


class Predictor:
    def __init__(self, settings: Settings) -> None:
        self.settings, self.handle = settings, Handle()
        self.runs: list[tuple[int, ...]] = []

    def get_input_names(self) -> list[str]:
        return ["x"]

    get_output_names = get_input_names

    def get_input_handle(self, name: str) -> Handle:
        return self.handle

    get_output_handle = get_input_handle

    def run(self) -> None:
        self.runs.append(self.handle.size)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[Predictor]:
    """Paddle on a machine with a GPU, as far as the engine can see; the predictors that it makes."""
    made: list[Predictor] = []

    def create(settings: Settings) -> Predictor:
        made.append(Predictor(settings))
        return made[-1]

    precisions = SimpleNamespace(Float32="float32", Half="float16")
    fake = SimpleNamespace(Config=Settings, create_predictor=create, PrecisionType=precisions)
    monkeypatch.setattr(paddle, "inference", fake)
    monkeypatch.setattr(paddle_inference, "_gpu_count", lambda _: 1)
    return made


def test_gpu_without_tensorrt(export: Export, gpu: list[Predictor]) -> None:
    engine = make_engine(
        read_description(export("none")), engine="paddle", device="gpu", precision="fp16", threads=1
    )
    engine.run(noise(1, 3, 24, 32))
    (predictor,) = gpu
    assert predictor.settings.calls["enable_use_gpu"][1:] == (0, "float16")
    assert "enable_tensorrt_engine" not in predictor.settings.calls
    assert predictor.runs == [(1, 3, 24, 32)]


def test_cpu_is_used_where_it_is_asked_for(export: Export, gpu: list[Predictor]) -> None:
    make_engine(read_description(export("none")), engine="paddle", device="cpu", threads=3)
    assert "enable_use_gpu" not in gpu[0].settings.calls
    assert gpu[0].settings.calls["set_cpu_math_library_num_threads"] == (3,)


def test_tensorrt_with_a_range_of_sizes(export: Export, gpu: list[Predictor]) -> None:
    options = PaddleOptions(use_trt=True, min_subgraph_size=7, batch_size=4)
    make_engine(read_description(export("none")), engine="paddle", device="auto", threads=1, paddle=options)
    calls = gpu[0].settings.calls
    assert calls["enable_tensorrt_engine"][0]["min_subgraph_size"] == 7
    assert calls["enable_tensorrt_engine"][0]["precision_mode"] == "float32"
    assert calls["set_trt_dynamic_shape_info"] == (
        {"x": [1, 3, 100, 100]},
        {"x": [4, 3, 2000, 3000]},
        {"x": [4, 3, 512, 1024]},
    )
    assert "enable_tuned_tensorrt_dynamic_shape" not in calls


def test_tensorrt_with_collected_sizes(export: Export, gpu: list[Predictor], tmp_path: Path) -> None:
    file = tmp_path / "shapes.pbtxt"
    options = PaddleOptions(use_trt=True, enable_auto_tune=True, auto_tuned_shape_file=file, batch_size=2)
    samples = [noise(1, 3, 24, 32), noise(1, 3, 48, 64)]
    make_engine(
        read_description(export("none")),
        engine="paddle",
        device="gpu",
        threads=1,
        paddle=options,
        samples=samples,
    )
    collector, runner = gpu
    assert collector.settings.calls["collect_shape_range_info"] == (str(file),)
    assert "enable_tensorrt_engine" not in collector.settings.calls
    assert collector.runs == [(n, 3, *size) for size in ((24, 32), (48, 64)) for n in (1, 2)]
    assert runner.settings.calls["enable_tuned_tensorrt_dynamic_shape"] == (str(file), True)
    assert "set_trt_dynamic_shape_info" not in runner.settings.calls

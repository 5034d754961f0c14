"""benchmark/inference.py: its arithmetic by hand, a small run of everything, and what makes it fail."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import paddle
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmark"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("inference_benchmark", FOLDER / "inference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_rates_and_medians_are_those_worked_out_by_hand(benchmark: ModuleType) -> None:
    shipped = benchmark.System("peer as shipped", [], {}, True, [9.0, 8.0, 7.0], [20.0], [100.0])
    ours = benchmark.System("ours", [], {}, True, [2.0, 2.0, 50.0], [5.0], [70.0, 80.0], equal_labels=0.5)
    case = benchmark.Case("net", "ResNet18_vd", (8, 16), 1)
    lines = benchmark.table(case, [shipped, ours], flops=400 * 10**9, peak=1000.0).splitlines()
    # median 2 s; 8 / 2 = 4; 400 GFLOP in 2 s = 200 GFLOP/s, 20% of 1000; processes 20 / 5 = 4
    expected = ["ours", "2.000", "4.00", "–", "200", "20%", "5.0", "4.00", "–", "80", "50.0000%"]
    assert cells(lines[-1]) == expected
    assert len(cells(lines[-1])) == len(cells(lines[-4]))


@pytest.mark.parametrize(("wrong", "agrees"), [(0, True), (1, False)])
def test_one_wrong_label_of_a_thousand_is_noticed(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: int,
    agrees: bool,
) -> None:
    np.save(tmp_path / "labels.npy", np.zeros((1, 10, 100), np.int32))
    program = (
        "import numpy as np, json\n"
        f"labels = np.zeros((1, 10, 100), np.int32); labels[0, 0, :{wrong}] = 1\n"
        f"np.save({str(tmp_path / 'got.npy')!r}, labels)\n"
        "print(json.dumps({'seconds': [1.0], 'peak_mib': 1.0}))\n"
    )
    system = benchmark.System("fake", [sys.executable, "-c", program], {})
    monkeypatch.setattr(benchmark, "prepare", lambda case, folder, file_format: 10**9)
    monkeypatch.setattr(benchmark, "list_systems", lambda *_: [system])
    args = argparse.Namespace(repeats=2, engines=[], extra=[], attempts=1)
    assert benchmark.run_case(benchmark.QUICK, tmp_path, args, 1, 1.0) is agrees
    assert f"| {1 - wrong / 1000:.4%} |" in capsys.readouterr().out
    assert len(system.seconds) == 2


def test_a_process_that_fails_ends_the_run_with_its_message(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [sys.executable, "-c", "import sys; sys.stderr.write('no such network'); sys.exit(3)"]
    monkeypatch.setattr(benchmark, "best_product", lambda *_, **__: benchmark.run_process(failing))
    monkeypatch.setattr(sys, "argv", ["inference.py", "--quick"])
    with pytest.raises(SystemExit, match=r"(?s)status 3.*no such network"):
        benchmark.main()


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    done = run("inference.py", "--peer", str(tmp_path))
    assert done.returncode == 2
    assert "expected a checkout with paddleseg/models/ccnet.py" in done.stderr


def test_the_peer_s_network_is_entered_without_its_packages_code(tmp_path: Path) -> None:
    package = tmp_path / "paddleseg"
    for folder in (".", "cvlibs", "models", "models/backbones", "utils"):
        (package / folder).mkdir(parents=True, exist_ok=True)
        (package / folder / "__init__.py").write_text("raise ImportError('a missing module')\n")
    (package / "cvlibs/manager.py").write_text("NAME = 'CCNet'\n")
    (package / "models/backbones/resnet_vd.py").write_text(
        "from paddleseg.utils import utils\n"
        "def ResNet18_vd(output_stride):\n"
        "    utils.load_pretrained_model(None, None)\n"
        "    return output_stride\n"
    )
    (package / "models/ccnet.py").write_text(
        "import paddle\n"
        "from paddleseg.cvlibs import manager\n"
        "class CCNet(paddle.nn.Layer):\n"
        "    def __init__(self, num_classes, backbone, recurrence, align_corners):\n"
        "        super().__init__()\n"
        "        assert (backbone, recurrence, align_corners) == (8, 2, True)\n"
        "        self.conv = paddle.nn.Conv2D(3, num_classes, 1, bias_attr=False)\n"
        "    def forward(self, x):\n"
        "        return [self.conv(x)]\n"
    )
    # An identity: the class of a pixel is its largest channel.
    weights = paddle.to_tensor(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1))
    paddle.save({"conv.weight": weights}, str(tmp_path / "model.pdparams"))
    image = np.random.default_rng(0).standard_normal((1, 3, 5, 7)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    flags = ["--peer", str(tmp_path), "--weights", str(tmp_path / "model.pdparams"), "--classes", "3"]
    flags += ["--backbone", "ResNet18_vd", "--align_corners", "--images", "2"]
    flags += ["--image", str(tmp_path / "image.npy"), "--labels", str(tmp_path / "got.npy")]
    done = run("peer_inference.py", *flags)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "got.npy"), image.argmax(axis=1))
    assert re.search(r'"seconds": \[[\d.e-]+, [\d.e-]+\], "extra_mib"', done.stdout)


@pytest.mark.slow
def test_a_quick_run_compares_the_engines(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    done = run("inference.py", "--quick", "--repeats", "1", "--engines", "onnxruntime", "openvino")
    assert done.returncode == 0, done.stderr
    rows = [cells(line) for line in done.stdout.splitlines() if line.startswith("| ours")]
    assert [row[0] for row in rows] == ["ours, onnxruntime fp32", "ours, openvino fp32"]
    assert all(float(row[-1].rstrip("%")) >= 99.99 for row in rows)

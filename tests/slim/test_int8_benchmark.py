"""benchmark/int8.py: which rows its table has."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_onnx import write_export, write_pictures

from deploy.python.engines.base import Engine
from paddleseg.errors import DeviceError
from slim.quant import ptq


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    file = Path(__file__).resolve().parents[2] / "benchmark" / "int8.py"
    spec = importlib.util.spec_from_file_location("int8_benchmark", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("has_bf16", [True, False])
def test_bf16_has_the_same_report_where_the_processor_can(
    benchmark: ModuleType,
    tmp_path: Path,
    has_bf16: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, pictures = write_export(tmp_path / "export"), write_pictures(tmp_path / "pictures", count=1)
    assert ptq.main(["--config", str(path), "--calibration", str(pictures)]) == 0
    cv2.imwrite(str(tmp_path / "label.png"), np.zeros((48, 64), dtype=np.uint8))
    listed = tmp_path / "list.txt"
    listed.write_text(f"{pictures / '0.png'} {tmp_path / 'label.png'}\n", encoding="utf-8")
    capsys.readouterr()
    make_engine = benchmark.make_engine

    def on_this_processor(*arguments: Any, precision: str, **options: Any) -> Engine:
        if precision == "bf16" and not has_bf16:
            raise DeviceError("no bf16 instructions")
        made: Engine = make_engine(
            *arguments, precision="fp32" if precision == "bf16" else precision, **options
        )
        return made

    monkeypatch.setattr(benchmark, "make_engine", on_this_processor)
    benchmark.main(["--config", str(path), "--val_list", str(listed), "--size", "32", "32", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    cases = [("onnxruntime", "int8"), ("openvino", "int8")] + [("openvino", "bf16")] * has_bf16
    inputs = ("1 pictures", "32×32, 1 runs")
    assert [tuple(row[:3]) for row in table[2:]] == [(*case, one) for case in cases for one in inputs]
    assert {len(row) for row in table} == {9}
    if has_bf16:
        assert table[-2][6] == "100.00%"  # here it is fp32 itself
    else:
        assert lines[-1] == "openvino bf16 is left out: no bf16 instructions"

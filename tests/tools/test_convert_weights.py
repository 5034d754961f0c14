"""Weights from one format into the other: every bit arrives, and nothing is replaced unasked."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import convert_weights as tool

from paddleseg.models.weight_files import save_weights

STATE = {
    "conv.weight": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "norm._mean": np.array([0.1, np.nan, np.inf], np.float32),
    "half": np.array([1.0, -2.0], np.float16),
    "count": np.array(7, np.int64),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.pdparams"
    paddle.save({name: paddle.to_tensor(value) for name, value in STATE.items()}, str(path))
    return path


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    kinds = [{name: (a.dtype, a.shape, a.tobytes()) for name, a in one.items()} for one in (first, second)]
    return kinds[0] == kinds[1]


def test_there_and_back_is_exact(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    middle, back = tmp_path / "new" / "x.safetensors", tmp_path / "back.pdparams"
    assert tool.main([str(source), str(middle)]) == 0
    digest = hashlib.sha256(middle.read_bytes()).hexdigest()
    assert capsys.readouterr().out == f"{middle}: 4 arrays, 12 numbers, sha256 {digest}\n"
    assert same(load_file(middle), STATE)
    assert tool.main([str(middle), str(back)]) == 0
    by_paddle = {name: value.numpy() for name, value in paddle.load(str(back)).items()}
    assert same(by_paddle, STATE)


def test_bfloat16_becomes_the_same_numbers_in_float32(tmp_path: Path) -> None:
    source, target = tmp_path / "model.pdparams", tmp_path / "x.safetensors"
    save_weights({"w": paddle.to_tensor([1.0, -2.5]).astype("bfloat16")}, source)
    tool.convert(source, target)
    assert same(load_file(target), {"w": np.array([1.0, -2.5], np.float32)})


def test_a_file_is_replaced_only_on_request(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "x.safetensors"
    target.write_bytes(b"mine")
    assert tool.main([str(source), str(target)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert target.read_bytes() == b"mine"
    assert tool.main([str(source), str(target), "--force"]) == 0
    assert same(load_file(target), STATE)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (None, "x.safetensors", "no such file or folder"),
        ({}, "x.safetensors", "expected named arrays only.*it is empty"),
        ({"w": np.zeros(2), "LR_Scheduler": {"last_epoch": 1}}, "x.pdparams", "'LR_Scheduler' is a dict"),
        ({"w": np.zeros(2)}, "x.onnx", r"expected it to end in \.pdparams or \.safetensors"),
    ],
)
def test_what_cannot_be_converted_is_one_message(
    content: dict | None, name: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "model.pdopt"
    if content is not None:
        paddle.save(content, str(source))
    assert tool.main([str(source), str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert re.search(expected, line)
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_it_runs_as_a_program(source: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(tool.__file__),
        str(source),
        str(tmp_path / "x.safetensors"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert "4 arrays" in result.stdout

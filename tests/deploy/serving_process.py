"""A running service for tests, and models whose class ids can be worked out by hand."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from paddleseg.data.images import read_image

ROOT = Path(__file__).resolve().parents[2]
PALETTE = [[255, 0, 0], [0, 90, 0], [0, 0, 200]]
CLASS_NAMES = ["red", "green & <b>", "blau ü"]
_START_SECONDS = 60.0
logging.getLogger("httpx").setLevel(logging.WARNING)


def write_model(folder: Path, *, convolutions: int = 0, transforms: Sequence[Any] = ()) -> Path:
    """Writes deploy.yaml and a model whose class id is the strongest of red, green and blue.

    Args:
        folder: Is made.
        convolutions: How many of 32→32 channels, 7×7, it also computes, for nothing but the time they take.
        transforms: Before ``Normalize``.
    """
    folder.mkdir(parents=True)
    nodes, weights, scores = [], [], "x"
    if convolutions:
        generator = np.random.default_rng(0)
        for index in range(convolutions):
            shape = (32, 32 if index else 3, 7, 7)
            kernel = generator.normal(0, 0.01, shape).astype(np.float32)
            weights.append(numpy_helper.from_array(kernel, f"w{index}"))
            source = f"c{index - 1}" if index else "x"
            nodes.append(helper.make_node("Conv", [source, f"w{index}"], [f"c{index}"], pads=[3] * 4))
        nodes += [
            helper.make_node("ReduceMean", [f"c{convolutions - 1}"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Add", ["x", "mean"], ["sum"]),  # the same for all three channels
        ]
        scores = "sum"
    nodes.append(helper.make_node("ArgMax", [scores], ["labels"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "strongest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", "H", "W"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    deploy = {
        "onnx": "model.onnx",
        "input_shape": [-1, 3, -1, -1],
        "output_op": "argmax",
        "transforms": [*transforms, {"type": "Normalize"}],
        "num_classes": 3,
        "class_names": CLASS_NAMES,
        "palette": PALETTE,
    }
    text = yaml.safe_dump({"Deploy": deploy}, sort_keys=False)
    (folder / "deploy.yaml").write_text(text, encoding="utf-8")
    return folder / "deploy.yaml"


def strongest(image: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The class ids that :func:`write_model`'s model gives for an image H×W×3."""
    return np.asarray(image.argmax(axis=2))


def picture(seed: int, *, height: int = 48, width: int = 64) -> npt.NDArray[np.uint8]:
    """A random image H×W×3."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def encoded(image: Image.Image | npt.NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    made.save(buffer, form, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> npt.NDArray[Any]:
    """Pixels of a PNG that the service sent."""
    return np.asarray(Image.open(io.BytesIO(data)))


def as_read(data: bytes, folder: Path) -> npt.NDArray[np.float32]:
    """What prediction from files sees of an image file."""
    path = folder / "upload"
    path.write_bytes(data)
    return read_image(str(path))


class ServingProcess:
    """``python -m deploy.serving`` on a free port; use it as a context manager.

    Args:
        config: Its deploy.yaml.
        log: For what it prints.
        flags: More of its flags.
        engine: What runs the model.
        wait: Whether to wait until it is ready.
    """

    def __init__(
        self, config: Path, log: Path, *flags: str, engine: str = "onnxruntime", wait: bool = True
    ) -> None:
        self._log = log
        command = [sys.executable, "-m", "deploy.serving", "--config", str(config), "--port", "0"]
        command += ["--engine", engine, *flags]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            self.url = self._wait_for(r"http://\S+(?=/ )")
            if wait:
                self._wait_for("ready: ")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self) -> ServingProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def memory(self) -> int:
        """Bytes of memory in use (resident)."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a counter's values with these labels."""
        text = httpx.get(f"{self.url}/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_for_metric(self, name: str, value: float) -> None:
        """Waits until a gauge has a value."""
        end = time.monotonic() + 20
        while self.metric(name) != value:
            assert time.monotonic() < end, f"{name} is {self.metric(name)}, expected {value}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 30) -> int:
        """Sends a signal and returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def _wait_for(self, pattern: str) -> str:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            found = re.search(pattern, self.log)
            if found:
                return found[0]
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in: {self.log}")

"""A small project folder as a user has it, and the four programs run in this process."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest

HERE = Path(__file__).parent
CONFIG = """\
batch_size: 2
iters: 4
plugins: [tiny_net]
train_dataset:
  type: Dataset
  dataset_root: {root}/data
  train_path: {root}/data/train.txt
  num_classes: 3
  transforms:
    - type: RandomPaddingCrop
      crop_size: [16, 12]
    - type: Normalize
val_dataset:
  type: Dataset
  dataset_root: {root}/data
  val_path: {root}/data/val.txt
  num_classes: 3
  transforms:
    - type: Normalize
optimizer:
  type: SGD
  momentum: 0.9
lr_scheduler:
  type: PolynomialDecay
  learning_rate: 0.01
loss:
  types:
    - type: CrossEntropyLoss
  coef: [1]
model:
  type: TinyNet
"""


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        status: Its exit status.
        out: What it wrote to the standard output.
        err: What it wrote to the standard error.
    """

    status: int
    out: str
    err: str

    def refused(self, *parts: str, origin: str = "") -> None:
        """Asserts one message from ``origin`` that holds all parts, exit status 2 and no traceback."""
        assert self.status == 2, (self.status, self.out, self.err)
        assert self.err.count("error: ") == 1, self.err
        assert self.err.startswith(f"{origin}error: "), self.err
        assert "Traceback" not in self.err + self.out, self.err
        missing = [part for part in parts if part not in self.err]
        assert not missing, f"{missing} not in:\n{self.err}"


class Project:
    """A folder with a config, a data set of six images for training and two for validation, and weights."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.config = root / "config.yml"
        self.weights = root / "weights.pdparams"
        self.images = root / "data" / "images"
        self.save_dir = root / "output"
        self._capsys = capsys
        self.config.write_text(CONFIG.format(root=root))
        shutil.copy(HERE / "plugin_tiny_net.py", root / "tiny_net.py")
        self._write_data(np.random.default_rng(0))
        layers = paddle.nn.Conv2D(3, 3, 1)
        paddle.save({f"head.{k}": v for k, v in layers.state_dict().items()}, str(self.weights))

    def _write_data(self, rng: np.random.Generator) -> None:
        for split, count in (("train", 6), ("val", 2)):
            lines = []
            for i in range(count):
                label = rng.integers(0, 3, (15, 20)).astype(np.uint8)
                self.write(f"data/images/{split}{i}.png", np.repeat(label[:, :, None], 3, axis=2) * 100)
                self.write(f"data/labels/{split}{i}.png", label)
                lines.append(f"images/{split}{i}.png labels/{split}{i}.png\n")
            (self.root / "data" / f"{split}.txt").write_text("".join(lines))

    def write(self, name: str, pixels: np.ndarray) -> Path:
        """Writes a picture below the folder."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
        return path

    def replace(self, old: str, new: str) -> None:
        """Changes one place of the config."""
        text = self.config.read_text()
        assert text.count(old) >= 1, old
        self.config.write_text(text.replace(old, new, 1))

    def files(self) -> set[str]:
        """Every file and folder that is there now."""
        return {
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if "__pycache__" not in path.parts
        }

    def arguments(self, program: str) -> list[str]:
        """What each program cannot do without, with a folder for its results."""
        common = ["--config", str(self.config), "--device", "cpu"]
        weights = ["--model_path", str(self.weights)]
        images = ["--image_path", str(self.images)]
        return {
            "train": [*common, "--save_dir", str(self.save_dir)],
            "val": [*common, *weights, "--save_dir", str(self.save_dir)],
            "predict": [*common, *weights, *images, "--save_dir", str(self.save_dir)],
            "export": [*common, *weights, "--save_dir", str(self.save_dir)],
        }[program]

    def run(self, program: str, *flags: object) -> Outcome:
        """Runs a program with what it needs and further flags; later flags win."""
        return self.run_bare(program, *self.arguments(program), *flags)

    def run_bare(self, program: str, *flags: object) -> Outcome:
        """Runs a program with these flags alone."""
        module = importlib.import_module(f"paddleseg.cli.{program}")
        self._capsys.readouterr()
        try:
            status = module.main([str(flag) for flag in flags])
        except SystemExit as end:
            status = int(str(end.code))
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    def start(self, program: str, *flags: object) -> subprocess.Popen[str]:
        """Starts a program as a process of its own."""
        script = HERE.parents[1] / f"{program}.py"
        return subprocess.Popen(
            [sys.executable, str(script), *self.arguments(program), *map(str, flags)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As many threads as this process has, or a run could not be resumed by run().
            env={"OMP_NUM_THREADS": "1", **os.environ},
            # A test run in the background ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

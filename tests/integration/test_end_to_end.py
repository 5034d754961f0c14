"""The four programs and the runner in a chain: train → resume → evaluate → predict → export → infer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from small_task import config_tree, write_config, write_dataset

from paddleseg.build import build_schedule, load_config
from paddleseg.cli import export, predict, train, val
from paddleseg.models import ccnet

pytestmark = pytest.mark.slow

MODEL = {
    "type": "CCNet",
    "backbone": {"type": "ResNet18_vd", "output_stride": 16},
    "dropout_prob": 0.1,
    "recurrence": 2,
}
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[INFO\]\t"
TRAIN_LINE = re.compile(
    TIME + r"\[TRAIN\] epoch: (\d+), iter: (\d+)/6, loss: ([\d.]+), lr: ([\d.]+), batch_cost: [\d.]+, "
    r"reader_cost: [\d.]+, ips: [\d.]+ samples/sec(?:, \w+: [\d.]+)* \| ETA \d\d:\d\d:\d\d"
)
EVAL_LINE = re.compile(
    TIME + r"\[EVAL\] #Images: (\d+) mIoU: ([\d.]+) Acc: ([\d.]+) Kappa: (-?[\d.]+) Dice: ([\d.]+)"
)


@dataclass(frozen=True)
class Trained:
    config: Path
    run: Path
    data: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of six iterations with evaluation and VisualDL."""
    root = tmp_path_factory.mktemp("end_to_end")
    data = write_dataset(root / "data")
    config = write_config(root / "config.yml", config_tree(data, MODEL))
    with pytest.MonkeyPatch.context() as patch:
        # 16 channels between the convolutions of the head instead of 512: a checkpoint of 45 MB less.
        patch.setattr(ccnet, "_INTER_CHANNELS", 16)
        arguments = ["--do_eval", "--use_vdl", "--log_iters", "1", "--save_interval", "3", "--seed", "7"]
        status = train.main(["--config", str(config), *arguments, "--save_dir", str(root / "run")])
    assert status == 0
    return Trained(config, root / "run", data)


@pytest.fixture(autouse=True)
def _narrow_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccnet, "_INTER_CHANNELS", 16)


def metric(run: Path, key: str) -> dict[int, float]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    return {row["iter"]: row[key] for row in rows if key in row}


def labels_in(folder: Path) -> dict[str, np.ndarray]:
    return {p.name: np.asarray(Image.open(p)) for p in (folder / "label").rglob("*.png")}


def test_the_run_leaves_what_users_of_paddleseg_expect(trained: Trained) -> None:
    files = {str(p.relative_to(trained.run)) for p in trained.run.rglob("*") if p.is_file()}
    (vdl,) = [name for name in files if name.startswith("vdlrecords.")]
    best = ("model.pdparams", "state.json", "manifest.json")
    checkpoint = (*best, "model.pdopt", "run.json")
    expected = {f"iter_{n}/{name}" for n in (3, 6) for name in checkpoint}
    expected |= {f"best_model/{name}" for name in best}
    assert files - {vdl} == expected | {"config.yml", "environment.json", "metrics.jsonl", "train.log"}
    environment = json.loads((trained.run / "environment.json").read_text("utf-8"))
    assert environment["seed"] == 7
    assert "--do_eval" in environment["command"]
    written = load_config(trained.run / "config.yml").tree
    assert written == {**load_config(trained.config).tree, "seed": 7}


def test_the_log_has_paddlesegs_lines(trained: Trained) -> None:
    lines = (trained.run / "train.log").read_text("utf-8").splitlines()
    found = [match.groups() for line in lines if (match := TRAIN_LINE.fullmatch(line))]
    schedule = build_schedule(load_config(trained.config))
    losses = metric(trained.run, "Train/loss")
    assert found == [
        (str((i - 1) // 4 + 1), str(i), f"{losses[i]:.4f}", f"{schedule(i - 1):.6f}") for i in range(1, 7)
    ]
    evaluations = [match.groups() for line in lines if (match := EVAL_LINE.fullmatch(line))]
    keys = [f"Evaluate/{name}" for name in ("mIoU", "Acc", "Kappa", "Dice")]
    assert evaluations == [("8", *(f"{metric(trained.run, key)[i]:.4f}" for key in keys)) for i in (3, 6)]


def test_resuming_gives_the_same_losses(trained: Trained, tmp_path: Path) -> None:
    arguments = ["--do_eval", "--log_iters", "1", "--save_interval", "3", "--num_workers", "2"]
    arguments += ["--resume_model", str(trained.run / "iter_3"), "--save_dir", str(tmp_path)]
    assert train.main(["--config", str(trained.config), *arguments]) == 0
    expected = metric(trained.run, "Train/loss")
    assert metric(tmp_path, "Train/loss") == {i: expected[i] for i in (4, 5, 6)}
    assert metric(tmp_path, "Evaluate/mIoU")[6] == metric(trained.run, "Evaluate/mIoU")[6]


def test_evaluation_finds_what_training_logged(trained: Trained, tmp_path: Path) -> None:
    model = ["--model_path", str(trained.run / "iter_6")]
    assert val.main(["--config", str(trained.config), *model, "--save_dir", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert figures["miou"] == pytest.approx(metric(trained.run, "Evaluate/mIoU")[6], abs=1e-12)
    assert figures["absent"] in (["class 3"], [])
    names = {p.name for p in tmp_path.iterdir()}
    assert {"confusion_matrix.csv", "confusion_matrix.png", "worst_images"} <= names


def test_a_broken_image_is_skipped_with_status_1(trained: Trained, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "good.png").write_bytes((trained.data / "images/0.png").read_bytes())
    (images / "bad.png").write_bytes(b"not a picture")
    model = ["--model_path", str(trained.run / "best_model" / "model.pdparams")]
    out = tmp_path / "out"
    arguments = ["--image_path", str(images), "--save_dir", str(out)]
    assert predict.main(["--config", str(trained.config), *model, *arguments]) == 1
    assert list(labels_in(out)) == ["good.png"]


def test_the_exported_model_predicts_what_the_trained_one_does(trained: Trained, tmp_path: Path) -> None:
    model = ["--config", str(trained.config), "--model_path", str(trained.run / "iter_6")]
    pictures = ["--image_path", str(trained.data / "list.txt")]
    by_model, exported, by_runner = (str(tmp_path / name) for name in ("model", "exported", "runner"))
    assert predict.main([*model, *pictures, "--save_dir", by_model]) == 0
    assert export.main([*model, "--save_dir", exported]) == 0
    deploy = yaml.safe_load((Path(exported) / "deploy.yaml").read_text("utf-8"))["Deploy"]
    assert deploy["output_op"] == "argmax"

    # In a process of its own: a crash of Paddle Inference would take the tests with it.
    runner = Path(__file__).resolve().parents[2] / "deploy" / "python" / "infer.py"
    command = [sys.executable, str(runner), "--config", f"{exported}/deploy.yaml", *pictures]
    done = subprocess.run(
        [*command, "--save_dir", by_runner, "--device", "cpu"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = labels_in(Path(by_model)), labels_in(Path(by_runner))
    assert len(first) == 8
    assert first.keys() == second.keys()
    assert all(label.shape == (48, 64) for label in first.values())
    same = [np.mean(label == second[name]) for name, label in first.items()]
    assert np.mean(same) >= 0.9999

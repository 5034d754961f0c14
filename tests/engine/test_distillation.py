"""Training with a teacher: what it adds to the losses, what it leaves alone, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn
from small_task import TinySegmenter

from paddleseg.config.config import Config
from paddleseg.data.loader import TrainBatch
from paddleseg.engine.checkpoint import Checkpoint, read_checkpoint
from paddleseg.engine.distillation import Teacher, make_teacher
from paddleseg.engine.precision import Precision
from paddleseg.engine.training import TrainOptions, run_training
from paddleseg.errors import ConfigError
from paddleseg.losses import CombinedLoss, CrossEntropyLoss, LossValues, PixelContrastCrossEntropyLoss

MakeConfig = Callable[..., Config]


class ProjectingSegmenter(nn.Layer):
    """Two outputs in training, the second one for pixel contrast, as PaddleSeg's HRNetW48Contrast has it."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier, self.projection = nn.Conv2D(3, 4, 1), nn.Conv2D(3, 8, 1)

    def forward(self, x: paddle.Tensor) -> list[Any]:
        logits = self.classifier(x)
        return [logits, {"seg": logits, "embed": self.projection(x)}] if self.training else [logits]


@pytest.fixture
def teacher_file(make_config: MakeConfig, tmp_path: Path) -> Path:
    """A configuration of the small task with weights drawn at random."""
    paddle.seed(11)
    weights = tmp_path / "teacher.pdparams"
    paddle.save(TinySegmenter(4).state_dict(), str(weights))
    tree = {**make_config().tree, "model": {"type": "TinySegmenter", "pretrained": str(weights)}}
    path = tmp_path / "teacher.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def distil(teacher: Path, coef: float, kind: str = "KLLoss") -> dict[str, Any]:
    return {"types": [{"type": kind}], "coef": [coef], "teacher": str(teacher)}


def train(config: Config, folder: Path, **options: Any) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    settings = {"seed": 3, "log_iters": 1, "save_interval": 3} | options
    run_training(config, TrainOptions(save_dir=folder, **settings))
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    for first, second in ((one.model, other.model), (one.optimizer, other.optimizer)):
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_array_equal(np.asarray(value), np.asarray(second[key]), err_msg=key)


def test_a_teacher_that_counts_nothing_changes_nothing(
    make_config: MakeConfig, tmp_path: Path, teacher_file: Path
) -> None:
    """Names of parameters, random numbers and batch statistics stay; nothing of the teacher is saved."""
    train(make_config(), tmp_path / "without")
    train(make_config(distill_loss=distil(teacher_file, 0.0)), tmp_path / "with")
    assert_same(read_checkpoint(tmp_path / "without/iter_6"), read_checkpoint(tmp_path / "with/iter_6"))


def test_the_student_comes_closer_to_its_teacher(
    make_config: MakeConfig, tmp_path: Path, teacher_file: Path
) -> None:
    far = train(make_config(distill_loss=distil(teacher_file, 1e-6)), tmp_path / "far")
    near = train(make_config(distill_loss=distil(teacher_file, 20.0)), tmp_path / "near")
    for row in near:
        parts = [row[f"Train/{name}"] for name in ("CrossEntropyLoss_0", "CrossEntropyLoss_1", "KLLoss")]
        assert row["Train/loss"] == pytest.approx(sum(parts), rel=1e-5)
    assert near[0]["Train/KLLoss"] / 20 == pytest.approx(far[0]["Train/KLLoss"] / 1e-6, rel=1e-4)
    assert near[-1]["Train/KLLoss"] / 20 < 0.8 * far[-1]["Train/KLLoss"] / 1e-6


def test_resuming_equals_running_on(make_config: MakeConfig, tmp_path: Path, teacher_file: Path) -> None:
    config = make_config(distill_loss=distil(teacher_file, 2.0))
    folder = tmp_path / "run"
    train(config, folder)
    whole = read_checkpoint(folder / "iter_6")
    train(config, tmp_path / "rest", resume_model=str(folder / "iter_3"))
    assert_same(whole, read_checkpoint(tmp_path / "rest/iter_6"))


def test_what_it_adds(make_config: MakeConfig) -> None:
    """The difference of two logits, times 0.5, from a teacher in evaluation mode and without a gradient."""
    model = TinySegmenter(4, dropout_prob=0.9)
    images = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype("float32"))
    batch = TrainBatch(images, paddle.zeros([2, 8, 8], dtype="int64"), ["a", "b"])

    def difference(student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        assert labels is batch.labels
        return (student - teacher).mean()

    before = {name: one.numpy() for name, one in model.state_dict().items()}
    teacher = Teacher(model, difference, 0.5)
    logits = paddle.ones([2, 4, 8, 8])
    logits.stop_gradient = False
    losses = LossValues(paddle.full([], 2.0), {"CrossEntropyLoss": paddle.full([], 2.0)})
    found = teacher.teach(losses, logits, batch, Precision())
    found.total.backward()
    expected = 0.5 * (1.0 - model(images)[0].mean().item())
    assert found.total.item() == pytest.approx(2.0 + expected, rel=1e-5)
    assert found.parts["difference"].item() == pytest.approx(expected, rel=1e-5)
    assert list(losses.parts) == ["CrossEntropyLoss"]
    np.testing.assert_allclose(logits.grad.numpy(), np.full(logits.shape, 0.5 / 512), rtol=1e-6)
    assert all(one.grad is None for one in model.parameters())
    for name, one in model.state_dict().items():
        np.testing.assert_array_equal(one.numpy(), before[name])


def test_the_data_sets_ignored_label_reaches_the_loss(make_config: MakeConfig, teacher_file: Path) -> None:
    config = make_config(distill_loss=distil(teacher_file, 1.0))
    assert config.tree["distill_loss"]["types"][0]["ignore_index"] == 255
    assert make_teacher(config) is not None
    assert make_teacher(make_config()) is None


def test_a_teacher_that_does_not_fit_is_refused_before_the_data_are_read(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(distill_loss=distil(tmp_path / "absent.yml", 1.0))
    monkeypatch.setattr("paddleseg.engine.training.build_dataset", None)
    with pytest.raises(ConfigError, match=r"config\.yml:\d+ distill_loss\.teacher: .*absent\.yml"):
        train(config, tmp_path / "run")


def test_kl_among_the_losses_of_labels_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this loss to distill_loss, not to loss"):
        train(make_config(loss={"types": [{"type": "KLLoss"}], "coef": [1, 1]}), tmp_path / "run")


def test_a_model_with_an_embedding_learns_by_pixel_contrast() -> None:
    paddle.seed(0)
    model = ProjectingSegmenter()
    images = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype("float32"))
    labels = (images[:, 0] > 0).astype("int64")
    loss = CombinedLoss([CrossEntropyLoss(), PixelContrastCrossEntropyLoss(max_views=20)], [1, 1])
    optimizer = paddle.optimizer.SGD(0.5, parameters=model.parameters())
    totals = []
    for _ in range(40):
        found = loss(Precision().forward(model, images), labels)
        found.total.backward()
        optimizer.step()
        optimizer.clear_grad()
        totals.append(found.parts["PixelContrastCrossEntropyLoss"].item())
    assert sum(totals[-5:]) < 0.9 * sum(totals[:5])

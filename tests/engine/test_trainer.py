"""The loop: order of events, learning rate, update."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.data.loader import TrainBatch
from paddleseg.engine.checkpoint import TrainState
from paddleseg.engine.trainer import Hook, Trainer
from paddleseg.losses.combine import CombinedLoss
from paddleseg.losses.cross_entropy import CrossEntropyLoss


class Recorder(Hook):
    def __init__(self, stop_at: int | None = None, fail_at: int | None = None) -> None:
        self.events: list[object] = []
        self.stop_at, self.fail_at = stop_at, fail_at

    def before_run(self, trainer: Trainer) -> None:
        self.events.append("before")

    def after_step(self, trainer: Trainer) -> None:
        iteration = trainer.state.iteration
        self.events.append((iteration, trainer.learning_rate, trainer.batch_size))
        if iteration == self.stop_at:
            trainer.stop_reason = "enough"
        if iteration == self.fail_at:
            raise RuntimeError("broken")

    def after_run(self, trainer: Trainer) -> None:
        self.events.append("after")


def batches(count: int) -> Iterator[TrainBatch]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        images = rng.standard_normal((2, 3, 8, 8), dtype=np.float32)
        labels = rng.integers(0, 3, (2, 8, 8))
        yield TrainBatch(paddle.to_tensor(images), paddle.to_tensor(labels), ["a", "b"])


def make_trainer(hook: Hook, *, count: int = 3, start: int = 0, dropout: float = 0.0) -> Trainer:
    paddle.seed(0)
    model = TinySegmenter(3, dropout_prob=dropout)
    return Trainer(
        model=model,
        loss=CombinedLoss([CrossEntropyLoss(), CrossEntropyLoss()], [1.0, 0.4]),
        optimizer=paddle.optimizer.SGD(1.0, parameters=model.parameters()),
        schedule=lambda step: 0.1 / (1 + step),
        batches=batches(count),
        iterations=start + count,
        state=TrainState(iteration=start, seed=3),
        hooks=[hook],
    )


def test_hooks_see_every_step_with_its_learning_rate() -> None:
    hook = Recorder()
    make_trainer(hook).run()
    assert hook.events == ["before", (1, 0.1, 2), (2, 0.05, 2), (3, 0.1 / 3, 2), "after"]


def test_a_resumed_run_goes_on_in_the_schedule() -> None:
    hook = Recorder()
    make_trainer(hook, count=1, start=4).run()
    assert hook.events[1] == (5, 0.1 / 5, 2)


def test_a_hook_can_stop_the_run() -> None:
    hook = Recorder(stop_at=2)
    make_trainer(hook).run()
    assert [event[0] for event in hook.events if isinstance(event, tuple)] == [1, 2]
    assert hook.events[-1] == "after"


def test_after_run_is_called_when_a_step_fails() -> None:
    hook = Recorder(fail_at=1)
    with pytest.raises(RuntimeError, match="broken"):
        make_trainer(hook).run()
    assert hook.events[-1] == "after"


def test_a_step_is_one_gradient_step() -> None:
    trainer = make_trainer(Recorder())
    (batch,) = batches(1)
    trainer.model.train()
    main, auxiliary = trainer.model(batch.images)
    loss = paddle.nn.functional.cross_entropy(main, batch.labels, axis=1) + 0.4 * (
        paddle.nn.functional.cross_entropy(auxiliary, batch.labels, axis=1)
    )
    bias = trainer.model.classifier.bias
    (gradient,) = paddle.grad(loss, [bias])
    expected = bias.numpy() - 0.1 * gradient.numpy()
    trainer.step(batch)
    assert trainer.losses is not None
    assert trainer.losses.total.item() == pytest.approx(loss.item(), rel=1e-5)
    np.testing.assert_allclose(bias.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert bias.grad is None or not bias.grad.numpy().any()


def test_dropout_depends_on_seed_and_iteration_alone() -> None:
    (batch,) = batches(1)
    totals = []
    for spoil, start in ((False, 4), (True, 4), (False, 5)):
        trainer = make_trainer(Recorder(), start=start, dropout=0.5)
        if spoil:
            paddle.rand([7])
        trainer.model.train()
        trainer.step(batch)
        assert trainer.losses is not None
        totals.append(trainer.losses.total.item())
    assert totals[0] == totals[1]
    assert totals[0] != totals[2]

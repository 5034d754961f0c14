"""The loop: order of events, learning rate, update, accumulation, random numbers, what is not finite."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
from paddle import nn
from paddle.utils import unique_name
from small_task import TinySegmenter

from paddleseg.data.loader import TrainBatch
from paddleseg.engine.checkpoint import TrainState
from paddleseg.engine.ema import ModelEma
from paddleseg.engine.group import Group
from paddleseg.engine.guard import Policy, StepGuard
from paddleseg.engine.heartbeat import PeerError
from paddleseg.engine.precision import LossScale, Precision
from paddleseg.engine.timing import SPANS
from paddleseg.engine.trainer import Hook, StepParts, Trainer
from paddleseg.errors import DataError
from paddleseg.losses.combine import CombinedLoss, LossValues
from paddleseg.losses.cross_entropy import CrossEntropyLoss

Arrays = dict[str, npt.NDArray[Any]]


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


def batches(count: int, *, size: int = 2, bad: int | None = None) -> Iterator[TrainBatch]:
    """Batches cut from one stream of samples, so that sizes 1 and 2 see the same ones; ``bad`` has a NaN."""
    rng = np.random.default_rng(0)
    for number in range(count):
        samples = [
            (rng.standard_normal((3, 8, 8), dtype=np.float32), rng.integers(0, 3, (8, 8)))
            for _ in range(size)
        ]
        images, labels = map(np.stack, zip(*samples, strict=True))
        if number == bad:
            images[-1, 0, 4, 4] = np.nan
        paths = [f"{number}-{place}.png" for place in range(size)]
        yield TrainBatch(paddle.to_tensor(images), paddle.to_tensor(labels), paths)


def make_trainer(
    *hooks: Hook,
    data: Iterator[TrainBatch] | None = None,
    count: int = 3,
    start: int = 0,
    dropout: float = 0.0,
    parts: Callable[[nn.Layer], StepParts] = lambda _: StepParts(),
) -> Trainer:
    paddle.seed(0)
    with unique_name.guard():  # so that the optimiser's state has the same names
        model = TinySegmenter(3, dropout_prob=dropout)
    return Trainer(
        model=model,
        loss=CombinedLoss([CrossEntropyLoss(), CrossEntropyLoss()], [1.0, 0.4]),
        optimizer=paddle.optimizer.Momentum(1.0, parameters=model.parameters()),
        schedule=lambda step: 0.1 / (1 + step),
        batches=batches(count) if data is None else data,
        iterations=start + count,
        state=TrainState(iteration=start, seed=3),
        hooks=hooks,
        parts=parts(model),
    )


def freeze_norm(trainer: Trainer) -> Trainer:
    trainer.model.norm._use_global_stats = True
    return trainer


def arrays(trainer: Trainer) -> Arrays:
    """Weights, BN statistics and momentum."""
    tables = (trainer.model.state_dict(), trainer.optimizer.state_dict())
    tensors = {key: value for table in tables for key, value in table.items()}
    return {
        re.sub(r"velocity_\d+", "velocity", key): value.numpy().copy()
        for key, value in tensors.items()
        if isinstance(value, paddle.Tensor)
    }


def assert_same(one: Arrays, other: Arrays) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


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


def expected_gradients(trainer: Trainer, batch: TrainBatch) -> tuple[float, Arrays]:
    """Loss and gradients by Paddle's own cross entropy, without the trainer."""
    parameters = dict(trainer.model.named_parameters())
    parameters = {name: value for name, value in parameters.items() if not value.stop_gradient}
    main, auxiliary = trainer.model(batch.images)
    cross_entropy = paddle.nn.functional.cross_entropy
    loss = cross_entropy(main, batch.labels, axis=1) + 0.4 * cross_entropy(auxiliary, batch.labels, axis=1)
    gradients = paddle.grad(loss, list(parameters.values()))
    return loss.item(), {name: value.numpy() for name, value in zip(parameters, gradients, strict=True)}


def test_a_step_is_one_gradient_step() -> None:
    trainer = make_trainer()
    (batch,) = batches(1)
    trainer.model.train()
    loss, gradients = expected_gradients(trainer, batch)
    bias = trainer.model.classifier.bias
    expected = bias.numpy() - 0.1 * gradients["classifier.bias"]
    trainer.step(iter([batch]))
    assert trainer.losses is not None
    assert trainer.losses.total.item() == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(bias.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert bias.grad is None or not bias.grad.numpy().any()


def test_accumulated_gradients_are_those_of_the_large_batch() -> None:
    trainer = freeze_norm(make_trainer(parts=lambda _: StepParts(accumulate=2)))
    (whole,) = batches(1, size=2)
    trainer.model.train()
    loss, expected = expected_gradients(trainer, whole)
    seen: Arrays = {}
    trainer.optimizer.step = lambda: seen.update(
        (name, value.grad.numpy().copy())
        for name, value in trainer.model.named_parameters()
        if name in expected
    )
    trainer.step(batches(2, size=1))
    assert trainer.losses is not None
    assert trainer.losses.total.item() == pytest.approx(loss, abs=1e-6)
    assert seen.keys() == expected.keys()
    assert max(np.abs(value).max() for value in expected.values()) > 0.01, "else 1e-6 would say nothing"
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name], value, rtol=0, atol=1e-6, err_msg=name)


def test_a_run_that_accumulates_equals_one_with_the_large_batch() -> None:
    small, large = Recorder(), Recorder()
    trainers = [
        freeze_norm(make_trainer(small, data=batches(6, size=1), parts=lambda _: StepParts(accumulate=2))),
        freeze_norm(make_trainer(large, data=batches(3, size=2))),
    ]
    for trainer in trainers:
        trainer.run()
    assert small.events == large.events, "iterations, learning rates and images"
    one, other = map(arrays, trainers)
    for key, value in one.items():
        np.testing.assert_allclose(value, other[key], rtol=0, atol=1e-6, err_msg=key)


def test_an_iteration_takes_its_batches_and_reports_their_means() -> None:
    data = batches(6)
    trainer = make_trainer(data=data, count=2, parts=lambda _: StepParts(accumulate=3))
    seen: list[LossValues] = []
    combined = trainer.loss
    trainer.loss = lambda *args: seen.append(combined(*args)) or seen[-1]  # type: ignore[assignment, func-returns-value]
    trainer.run()
    assert next(data, None) is None
    assert (trainer.state.iteration, trainer.batch_size, len(seen)) == (2, 6, 6)
    assert trainer.losses is not None
    mean = np.mean([one.total.item() for one in seen[3:]])
    assert trainer.losses.total.item() == pytest.approx(mean, rel=1e-6)
    for name, value in trainer.losses.parts.items():
        assert value.item() == pytest.approx(np.mean([one.parts[name].item() for one in seen[3:]]), rel=1e-6)


def test_dropout_depends_on_seed_and_iteration_alone() -> None:
    totals = []
    for spoil, start in ((False, 4), (True, 4), (False, 5)):
        trainer = make_trainer(start=start, dropout=0.5)
        if spoil:
            paddle.rand([7])
        trainer.model.train()
        trainer.step(batches(1))
        assert trainer.losses is not None
        totals.append(trainer.losses.total.item())
    assert totals[0] == totals[1]
    assert totals[0] != totals[2]


def draws(*, rank: int, seed: int = 3, start: int = 0, spoil: bool = False) -> list[tuple[float, ...]]:
    """What the three global generators give in each of four micro-steps, two an iteration."""
    trainer = make_trainer(
        data=batches(4), start=start, count=2, parts=lambda _: StepParts(accumulate=2, group=Group(rank, 1))
    )
    trainer.state.seed = seed
    found, combined = [], trainer.loss

    def loss(*args: Any) -> LossValues:
        found.append((random.random(), np.random.random(), paddle.rand([1]).item()))
        return combined(*args)

    trainer.loss = loss  # type: ignore[assignment]
    if spoil:
        random.seed(1), np.random.seed(1), paddle.seed(1)
    trainer.run()
    return found


def test_random_numbers_depend_on_seed_iteration_rank_and_micro_step_alone() -> None:
    first = draws(rank=0)
    assert first == draws(rank=0, spoil=True)
    everything = [*first, *draws(rank=1), *draws(rank=0, seed=4), *draws(rank=0, start=2)]
    for column in zip(*everything, strict=True):
        assert len(set(column)) == len(everything), "no two of them alike"
    assert draws(rank=0, start=1)[:2] == first[2:], "resumed after the first iteration"


def test_the_first_micro_step_of_rank_0_draws_as_version_0_1_did() -> None:
    _, numpy, python = np.random.SeedSequence((3, 7)).generate_state(3).tolist()
    found = draws(rank=0, start=7)[0]
    assert found[:2] == (random.Random(python).random(), np.random.RandomState(numpy).random())


def guarded(folder: Path, policy: Policy, **others: Any) -> Callable[[nn.Layer], StepParts]:
    def parts(model: nn.Layer) -> StepParts:
        guard = StepGuard(model, policy=policy, folder=folder, config_text="iters: 3\n")
        return StepParts(guard=guard, **others)

    return parts


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    hook = Recorder()
    trainer = make_trainer(hook, data=batches(3, bad=1), parts=guarded(tmp_path, "stop"))
    trainer.last_checkpoint = tmp_path / "iter_1"
    with pytest.raises(DataError, match=r"iteration 2: the loss is not finite \(loss: nan, .*iter_1"):
        trainer.run()
    assert hook.events == ["before", (1, 0.1, 2), "after"]
    assert all(np.isfinite(value).all() for key, value in arrays(trainer).items() if "norm" not in key)
    report = json.loads((tmp_path / "iter_2_rank_0.json").read_text("utf-8"))
    assert report["files"] == ["1-0.png", "1-1.png"]
    assert (report["iteration"], report["seed"], report["learning_rate"]) == (2, 3, 0.05)
    assert report["losses"].keys() == {"loss", "CrossEntropyLoss_0", "CrossEntropyLoss_1"}
    assert (tmp_path / "config.yml").read_text("utf-8") == "iters: 3\n"


@pytest.mark.parametrize(("value", "expected"), [(255, [1, 2]), (7, [1, 7])])
def test_a_report_has_the_range_of_labels_that_count(tmp_path: Path, value: int, expected: list[int]) -> None:
    (batch,) = batches(1, bad=0)
    labels = paddle.where(batch.labels == 0, paddle.full_like(batch.labels, value), batch.labels)
    data = iter([TrainBatch(batch.images, labels, batch.paths)])
    trainer = make_trainer(data=data, parts=guarded(tmp_path, "stop"))
    bias = trainer.model.conv.bias
    trainer.loss = lambda *_: LossValues(bias.sum() * np.nan, {})  # type: ignore[assignment]
    with pytest.raises(DataError, match="iteration 1"):
        trainer.run()
    report = json.loads((tmp_path / "iter_1_rank_0.json").read_text("utf-8"))
    assert report["label_range"] == expected


def test_a_batch_may_have_no_label_that_counts() -> None:
    trainer = make_trainer()
    (batch,) = batches(1)
    trainer._read = [TrainBatch(batch.images, paddle.full_like(batch.labels, 255), batch.paths)]
    assert trainer._label_range() == (-1, -1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_that_is_skipped_leaves_no_trace(tmp_path: Path, accumulate: int) -> None:
    states: list[Arrays] = []

    class Watch(Hook):
        def after_step(self, trainer: Trainer) -> None:
            assert trainer.parts.ema is not None
            averages = {f"ema.{k}": v.numpy().copy() for k, v in trainer.parts.ema.state_dict().items()}
            states.append(arrays(trainer) | averages)

    def parts(model: nn.Layer) -> StepParts:
        return guarded(tmp_path, "skip", ema=ModelEma(model), accumulate=accumulate)(model)

    # One NaN in one batch of the second iteration takes the whole iteration away.
    data = batches(3 * accumulate, bad=2 * accumulate - 1)
    trainer = make_trainer(Watch(), data=data, dropout=0.2, parts=parts)
    trainer.run()
    assert (trainer.state.iteration, trainer.state.skipped_steps) == (3, 1)
    assert_same(states[0], states[1])
    for key in ("conv.weight", "norm._mean", "ema.conv.weight"):
        assert (states[1][key] != states[2][key]).any(), "the third step counts again"
    assert [parameter.grad for parameter in trainer._parameters if parameter.grad is not None] == []


def test_a_step_that_counts_ends_a_row_of_rejected_ones(tmp_path: Path) -> None:
    rows: list[tuple[bool, int]] = []

    class Watch(Hook):
        def after_step(self, trainer: Trainer) -> None:
            rows.append((trainer.rejected, trainer.state.rejected_in_a_row))

    (good,) = batches(1)
    (bad,) = batches(1, bad=0)
    trainer = make_trainer(
        Watch(), data=iter([good, bad, bad, good]), count=4, parts=guarded(tmp_path, "skip")
    )
    trainer.state.rejected_in_a_row = 5  # from before the run was resumed
    trainer.run()
    assert rows == [(False, 0), (True, 1), (True, 2), (False, 0)]


class OnCpu(Precision):
    """Float16's loss scale around float32 arithmetic: the CPU has no kernels for float16."""

    def __init__(self, scale: LossScale) -> None:
        super().__init__("fp16", loss_scale=scale)

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def test_the_loss_scale_cancels_out_and_grows(tmp_path: Path) -> None:
    scale = LossScale(initial=2.0**10, growth_interval=2)
    plain, scaled = make_trainer(), make_trainer(parts=guarded(tmp_path, "stop", precision=OnCpu(scale)))
    for trainer in (plain, scaled):
        trainer.run()
    assert_same(arrays(plain), arrays(scaled))
    assert (scale.value, scale.good_steps) == (2.0**11, 1), "after two good steps, and one more"
    assert scaled.losses is not None
    assert plain.losses is not None
    assert scaled.losses.total.item() == plain.losses.total.item(), "the loss that is shown is not scaled"


def test_an_overflow_lowers_the_loss_scale_until_gradients_fit(tmp_path: Path) -> None:
    scale = LossScale(initial=2.0**24)
    trainer = make_trainer(count=10, parts=guarded(tmp_path, "stop", precision=OnCpu(scale)))
    bias = trainer.model.classifier.bias
    # A gradient of 2**110 overflows float32 (below 2**128) from a scale of 2**18 on: 24 … 18 are seven steps.
    trainer.loss = lambda *_: LossValues(bias.sum() * 2.0**110, {})  # type: ignore[assignment]
    trainer.schedule = lambda _: 2.0**-110
    trainer.run()
    assert (trainer.state.iteration, trainer.state.skipped_steps, scale.value) == (10, 7, 2.0**17)
    assert scale.good_steps == 3
    np.testing.assert_allclose(bias.numpy(), [-(1 + 1.9 + 2.71)] * 3, rtol=1e-6)  # momentum 0.9
    assert not list(tmp_path.iterdir()), "part of training in float16: no report"


def test_an_overflow_leaves_statistics_as_they_were_under_every_policy(tmp_path: Path) -> None:
    policies: list[Policy] = ["stop", "skip", "lower_scale"]
    for policy in policies:
        scale = LossScale(initial=2.0**24)
        trainer = make_trainer(
            data=batches(1), count=1, parts=guarded(tmp_path, policy, precision=OnCpu(scale))
        )
        before = trainer.model.norm._mean.numpy().copy()
        bias = trainer.model.classifier.bias
        trainer.loss = lambda *_, bias=bias: LossValues(bias.sum() * 2.0**110, {})  # type: ignore[assignment]
        trainer.run()
        assert trainer.rejected
        np.testing.assert_array_equal(trainer.model.norm._mean.numpy(), before)


def test_averages_follow_the_steps() -> None:
    trainer = make_trainer(count=2, parts=lambda model: StepParts(ema=ModelEma(model, decay=0.5)))
    bias = trainer.model.classifier.bias
    values = [bias.numpy().copy()]
    trainer.model.train()
    for batch in batches(2):
        trainer.step(iter([batch]))
        values.append(bias.numpy().copy())
    average = 0.5 * values[0] + 0.5 * values[1]  # 1 − 1/2
    average = 0.5 * average + 0.5 * values[2]  # 1 − 1/3 is more than 0.5
    with trainer.averaged_weights():
        np.testing.assert_allclose(bias.numpy(), average, rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), values[2])


def test_without_averages_the_weights_stay() -> None:
    trainer = make_trainer()
    before = arrays(trainer)
    with trainer.averaged_weights():
        assert_same(arrays(trainer), before)


def test_a_signal_ends_the_run_after_its_step() -> None:
    interrupts: Any = SimpleNamespace(signal=None)
    hook = Recorder()
    trainer = make_trainer(hook, parts=lambda _: StepParts(interrupts=interrupts))

    class Send(Hook):
        def after_step(self, trainer: Trainer) -> None:
            assert not trainer.interrupted
            interrupts.signal = signal.SIGTERM
            trainer.hooks = [hook]

    trainer.hooks = [hook, Send()]
    trainer.run()
    assert [event[0] for event in hook.events if isinstance(event, tuple)] == [1, 2]
    assert trainer.interrupted
    assert trainer.stop_reason is not None


def test_bad_samples_are_counted_over_the_run() -> None:
    first, second, third = batches(3)
    first = TrainBatch(first.images, first.labels, first.paths, ("a.png is bad",))
    third = TrainBatch(third.images, third.labels, third.paths, ("b.png is bad", "c.png is bad"))
    trainer = make_trainer(
        data=iter([first, second, third]), count=2, parts=lambda _: StepParts(accumulate=1)
    )
    trainer.state.skipped_samples = 4
    trainer.iterations = 3
    seen: list[list[str]] = []

    class Watch(Hook):
        def after_step(self, trainer: Trainer) -> None:
            seen.append(trainer.skipped_samples)

    trainer.hooks = [Watch()]
    trainer.run()
    assert seen == [["a.png is bad"], [], ["b.png is bad", "c.png is bad"]]
    assert trainer.state.skipped_samples == 4 + 3


def test_what_another_process_found_counts_here(tmp_path: Path) -> None:
    class Other(Group):
        """A second process that always has a bad loss, a signal and two bad samples."""

        def any(self, *flags: bool) -> tuple[bool, ...]:
            return (True,) * len(flags)

        def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.asarray(array + 2)

    trainer = make_trainer(parts=guarded(tmp_path, "skip", group=Other(0, 1)))
    before = arrays(trainer)
    trainer.run()
    assert_same(before, arrays(trainer) if trainer.state.iteration else {})
    assert (trainer.state.iteration, trainer.state.skipped_steps, trainer.state.skipped_samples) == (1, 1, 2)
    assert trainer.interrupted


@pytest.mark.parametrize(
    ("rank", "own_is_bad", "waits"), [(0, False, True), (0, True, False), (1, True, False)]
)
def test_the_process_with_the_bad_loss_says_so_and_the_others_wait_for_it(
    tmp_path: Path, rank: int, own_is_bad: bool, waits: bool
) -> None:
    class Other(Group):
        """Beside a second process, of which at least one has a bad loss."""

        def any(self, *flags: bool) -> tuple[bool, ...]:
            return (True, True, False, False)

        def wait(self, what: str) -> None:
            if what == "the process with the cause":
                raise PeerError("rank 1 has failed: its loss is not finite")

    data = batches(1, bad=0 if own_is_bad else None)
    trainer = make_trainer(data=data, parts=guarded(tmp_path, "stop", group=Other(rank, 1)))
    with pytest.raises(PeerError if waits else DataError, match="not finite"):
        trainer.run()


def test_waiting_for_the_other_processes_is_communication() -> None:
    class Slow(Group):
        def any(self, *flags: bool) -> tuple[bool, ...]:
            time.sleep(0.2)
            return flags

    trainer = make_trainer(count=1, parts=lambda _: StepParts(measure_every=1, group=Slow(0, 1)))
    trainer.run()
    times = trainer.parts.timer.means()
    assert times["communication"] >= 0.2 > times["optimizer"]


def test_some_iterations_are_timed() -> None:
    measured = []

    class Watch(Hook):
        def after_step(self, trainer: Trainer) -> None:
            times = trainer.parts.timer.means()
            if times:
                assert tuple(times) == SPANS
                assert 0 < sum(times.values()) <= trainer.step_seconds
                assert times["forward"] > 0
                measured.append(trainer.state.iteration)
            trainer.parts.timer.reset()

    make_trainer(Watch(), count=5, parts=lambda _: StepParts(measure_every=2)).run()
    assert measured == [2, 4, 5]

"""Steps that are not finite: what is found, what becomes of them, what is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.engine import guard as guard_module
from paddleseg.engine.checkpoint import TrainState
from paddleseg.engine.guard import Finding, StepGuard
from paddleseg.errors import DataError

NAN, INF = float("nan"), float("inf")
GREATEST = float(np.finfo(np.float32).max)


def make_guard(folder: Path, policy: Any = "stop", **options: Any) -> tuple[StepGuard, TinySegmenter]:
    model = TinySegmenter(3)
    for parameter in model.parameters():
        parameter.grad = paddle.zeros_like(parameter)
    return StepGuard(model, policy=policy, folder=folder, config_text="iters: 9\n", **options), model


def reject(guard: StepGuard, finding: Finding = Finding.LOSS, **options: Any) -> TrainState:
    defaults = {
        "state": TrainState(iteration=11, seed=3),
        "losses": {"loss": NAN, "CE_0": NAN, "CE_1": 0.25},
        "paths": ["a.png", "b.png"],
        "label_range": (0, 7),
        "learning_rate": 0.0125,
        "last_checkpoint": Path("runs/iter_10"),
    }
    arguments: dict[str, Any] = defaults | options
    guard.rejected(finding, **arguments)
    state: TrainState = arguments["state"]
    return state


def inspect(guard: StepGuard, model: TinySegmenter, *losses: float) -> Finding:
    return guard.inspect(paddle.to_tensor(losses), model.parameters())


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_number_that_is_not_finite_is_found_wherever_it_is(tmp_path: Path, value: float) -> None:
    guard, model = make_guard(tmp_path)
    assert inspect(guard, model, 0.5) is Finding.NOTHING
    assert inspect(guard, model, 0.5, value) is Finding.LOSS
    for parameter in model.parameters():
        place = [0] * parameter.ndim
        parameter.grad[tuple(place)] = value
        assert inspect(guard, model, 0.5) is Finding.GRADIENTS
        assert inspect(guard, model, value) is Finding.LOSS, "the worse one counts"
        parameter.grad[tuple(place)] = 0.0
    assert inspect(guard, model, 0.5) is Finding.NOTHING


def test_numbers_that_cancel_or_overflow_when_added_are_told_apart(tmp_path: Path) -> None:
    guard, model = make_guard(tmp_path)
    bias = model.conv.bias
    bias.grad.set_value(paddle.full([8], GREATEST))  # finite; their sum is not
    assert inspect(guard, model, 0.5) is Finding.NOTHING
    assert inspect(guard, model, GREATEST, GREATEST) is Finding.NOTHING
    bias.grad.set_value(paddle.to_tensor([INF, -INF, 0, 0, 0, 0, 0, 0]))
    assert inspect(guard, model, 0.5) is Finding.GRADIENTS


def test_half_precision_gradients_are_added_in_single_precision(tmp_path: Path) -> None:
    guard, _ = make_guard(tmp_path)
    layer = paddle.nn.Linear(4, 1)
    layer.to(dtype="float16")
    # The sum of four is above float16's greatest number, 65504.
    layer.weight.grad = paddle.full([4, 1], 60000.0, dtype="float16")
    assert guard.inspect(paddle.zeros([]), layer.parameters()) is Finding.NOTHING
    layer.weight.grad = paddle.full([4, 1], INF, dtype="float16")
    assert guard.inspect(paddle.zeros([]), layer.parameters()) is Finding.GRADIENTS


def test_inspection_changes_no_gradient(tmp_path: Path) -> None:
    guard, model = make_guard(tmp_path)
    model.conv.weight.grad.set_value(paddle.rand(model.conv.weight.shape))
    before = model.conv.weight.grad.numpy().copy()
    inspect(guard, model, 0.5)
    np.testing.assert_array_equal(model.conv.weight.grad.numpy(), before)


def test_parameters_without_a_gradient_do_not_count(tmp_path: Path) -> None:
    guard, model = make_guard(tmp_path)
    model.clear_gradients(set_to_zero=False)
    assert inspect(guard, model, 0.5) is Finding.NOTHING


def test_stopping_names_the_loss_and_the_way_out(tmp_path: Path) -> None:
    guard, _ = make_guard(tmp_path / "bad_steps")
    with pytest.raises(DataError) as caught:
        reject(guard)
    message = str(caught.value)
    assert message.startswith(
        "iteration 12: the loss is not finite (loss: nan, CE_0: nan, CE_1: 0.25); "
        "lower the learning rate (now 0.0125), add warm-up or grad_clip_cfg"
    )
    assert message.endswith("last good checkpoint: runs/iter_10")
    assert str(tmp_path / "bad_steps" / "iter_12_rank_0.json") in message


def test_stopping_names_the_gradients(tmp_path: Path) -> None:
    guard, model = make_guard(tmp_path)
    for parameter in (model.conv.weight, model.conv.bias, model.norm.weight, model.norm.bias):
        parameter.grad.set_value(paddle.full_like(parameter, NAN))
    with pytest.raises(DataError, match=r"checkpoint: none yet") as caught:
        reject(guard, Finding.GRADIENTS, losses={"loss": 0.5}, last_checkpoint=None)
    what = "the gradients of 4 parameters are not finite (conv.weight, conv.bias, norm.weight, …); loss: 0.5"
    assert what in str(caught.value)


def test_stopping_for_another_process_says_so(tmp_path: Path) -> None:
    guard, _ = make_guard(tmp_path)
    with pytest.raises(DataError, match=r"a gradient of another process is not finite; here loss: 0\.5"):
        reject(guard, losses={"loss": 0.5})


def test_the_report_holds_what_the_step_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    guard, model = make_guard(tmp_path)
    model.classifier.bias.grad.set_value(paddle.full([3], INF))
    with pytest.raises(DataError):
        reject(guard, losses={"loss": -INF, "CE_1": 0.25}, scale=1024.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yml", "iter_12_rank_1.json"]
    assert (tmp_path / "config.yml").read_text("utf-8") == "iters: 9\n"
    assert json.loads((tmp_path / "iter_12_rank_1.json").read_text("utf-8")) == {
        "iteration": 12,
        "seed": 3,
        "losses": {"loss": "-inf", "CE_1": 0.25},
        "parameters_with_bad_gradients": ["classifier.bias"],
        "learning_rate": 0.0125,
        "loss_scale": 1024.0,
        "files": ["a.png", "b.png"],
        "label_range": [0, 7],
        "last_checkpoint": "runs/iter_10",
    }


def test_a_report_that_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    guard, _ = make_guard(tmp_path / "file" / "folder")
    with pytest.raises(DataError, match=r"the loss is not finite .*no report \("):
        reject(guard)


@pytest.mark.parametrize("policy", ["skip", "lower_scale"])
def test_a_step_left_out_leaves_the_model_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    guard, model = make_guard(tmp_path, policy)
    model.register_buffer("counter", paddle.zeros([2, 3], dtype="int64"))
    model(paddle.rand([2, 3, 8, 8]))
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    guard.remember()
    model(paddle.full([2, 3, 8, 8], NAN))
    model.counter.add_(paddle.to_tensor(5))
    assert np.isnan(model.norm._mean.numpy()).all()
    state = reject(guard)
    assert np.isfinite(before["norm._mean"]).all()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    assert state.skipped_steps == 1
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith("iteration 12 is left out: the loss is not finite")
    assert (tmp_path / "iter_12_rank_0.json").is_file()


def test_an_overflow_leaves_the_model_as_it_was_under_every_policy(tmp_path: Path) -> None:
    guard, model = make_guard(tmp_path, "stop")
    before = model.norm._mean.numpy().copy()
    guard.remember(scaled=True)
    model(paddle.rand([2, 3, 8, 8]))
    assert (model.norm._mean.numpy() != before).any()
    reject(guard, Finding.GRADIENTS, scale=4096.0)
    np.testing.assert_array_equal(model.norm._mean.numpy(), before)


def test_nothing_is_copied_where_nothing_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, _ = make_guard(tmp_path, "stop")
    monkeypatch.setattr(guard_module, "_statistics", lambda model: pytest.fail("a copy costs time"))
    guard.remember()


def test_too_many_in_a_row_end_the_run(tmp_path: Path) -> None:
    state = TrainState()
    for _ in range(2):  # the second time as after a resume: what counts is in the state
        guard, _ = make_guard(tmp_path, "skip", limit=3)
        reject(guard, state=state)
    assert (state.skipped_steps, state.rejected_in_a_row) == (2, 2)
    reject(guard, state=state)
    with pytest.raises(DataError, match=r"is not finite .*, 4 steps in a row; lower"):
        reject(guard, state=state)


@pytest.mark.parametrize("policy", ["stop", "skip", "lower_scale"])
def test_an_overflow_that_a_lower_scale_mends_is_no_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    guard, _ = make_guard(tmp_path, policy, limit=0)
    for scale in (4096.0, 2.0):
        assert reject(guard, Finding.GRADIENTS, losses={"loss": 0.5}, scale=scale).skipped_steps == 1
    assert not caplog.records
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError):
        reject(guard, Finding.GRADIENTS, losses={"loss": 0.5}, scale=1.0)


def test_lowering_the_scale_is_tried_before_the_count_begins(tmp_path: Path) -> None:
    guard, _ = make_guard(tmp_path, "lower_scale", limit=1)
    state = TrainState()
    for scale in (8.0, 8.0, 4.0, 4.0, 2.0, 2.0, 1.0):
        reject(guard, Finding.LOSS, scale=scale, state=state)
    assert state.rejected_in_a_row == 1
    with pytest.raises(DataError, match="the loss is not finite"):
        reject(guard, Finding.LOSS, scale=1.0, state=state)


def test_lower_scale_without_a_scale_is_skip(tmp_path: Path) -> None:
    guard, _ = make_guard(tmp_path, "lower_scale", limit=1)
    state = reject(guard, scale=None)
    with pytest.raises(DataError):
        reject(guard, scale=None, state=state)


def test_a_loss_that_is_not_finite_stops_whatever_the_scale(tmp_path: Path) -> None:
    guard, _ = make_guard(tmp_path, "stop")
    with pytest.raises(DataError):
        reject(guard, Finding.LOSS, scale=4096.0)

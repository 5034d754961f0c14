"""Mixed precision as far as a CPU shows it: refusals, the loss scale, and what reaches Paddle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
import pytest
from paddle.amp import amp_lists
from small_task import TinySegmenter

from paddleseg.engine.precision import LossScale, Precision, check_precision
from paddleseg.errors import CheckpointError, DeviceError


def gradients(model: TinySegmenter, precision: Precision, micro_steps: int = 1) -> dict[str, np.ndarray]:
    model.clear_gradients()
    paddle.seed(1)
    image = paddle.to_tensor(np.random.default_rng(2).normal(size=(2, 3, 12, 10)).astype("float32"))
    for _ in range(micro_steps):
        outputs = precision.forward(model, image)
        precision.scale(sum((logits * logits).mean() for logits in outputs)).backward()
    precision.unscale_(model.parameters())
    return {name: one.grad.numpy() for name, one in model.named_parameters() if one.grad is not None}


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``paddle.amp.auto_cast`` was called with; the calls do nothing."""
    calls: list[dict[str, Any]] = []

    @contextmanager
    def fake(**options: Any) -> Iterator[None]:
        calls.append(options)
        yield

    monkeypatch.setattr(paddle.amp, "auto_cast", fake)
    return calls


@pytest.mark.parametrize("device", ["cpu", "gpu:0"])
def test_fp32_runs_anywhere(device: str) -> None:
    check_precision("fp32", device)


@pytest.mark.parametrize(("name", "dtype"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_cpu_is_refused(name: str, dtype: str) -> None:
    with pytest.raises(DeviceError, match=f"^precision {name} is not available on cpu.*{dtype}.*fp32"):
        check_precision(name, "cpu")


@pytest.mark.parametrize(
    ("name", "capability", "advice"),
    [
        ("bf16", (8, 0), None),
        ("bf16", (9, 0), None),
        ("fp16", (7, 0), None),
        ("bf16", (7, 5), "needs compute capability 8.0, this card has 7.5; use --precision fp16"),
        ("bf16", (6, 1), "needs compute capability 8.0, this card has 6.1; use --precision fp32"),
        ("fp16", (6, 1), "needs compute capability 7.0, this card has 6.1; use --precision fp32"),
    ],
)
def test_old_cards_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, capability: tuple[int, int], advice: str | None
) -> None:
    monkeypatch.setattr(
        paddle.device.cuda, "get_device_capability", lambda device: {"gpu:1": capability}[device]
    )
    if advice is None:
        check_precision(name, "gpu:1")
        return
    with pytest.raises(DeviceError, match=f"{advice}$"):
        check_precision(name, "gpu:1")


def test_fp32_does_not_touch_paddles_autocast(contexts: list[dict[str, Any]]) -> None:
    with Precision("fp32").autocast():
        pass
    assert contexts == []


@pytest.mark.parametrize(("name", "dtype"), [("bf16", "bfloat16"), ("fp16", "float16")])
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_the_forward_pass_is_in_paddles_autocast(
    contexts: list[dict[str, Any]], name: str, dtype: str, level: str
) -> None:
    Precision(name, level).forward(TinySegmenter(4), paddle.ones([1, 3, 8, 8]))
    assert contexts == [{"level": level, "dtype": dtype}]


@pytest.mark.parametrize("level", ["O1", "O2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_lists_are_as_the_module_says(level: str, dtype: str) -> None:
    low, high = amp_lists.white_list()[dtype][level], amp_lists.black_list()[dtype][level]
    assert {"conv2d", "matmul", "matmul_v2"} <= low
    assert "bilinear_interp_v2" in high
    in_float32_at_o1_only = {"reduce_sum", "mean", "softmax", "exp", "pow"}
    assert in_float32_at_o1_only & high == (in_float32_at_o1_only if level == "O1" else set())
    assert not {"batch_norm", "sync_batch_norm"} & (low | high)


def test_losses_get_float32_from_any_model() -> None:
    logits = paddle.to_tensor([[1.0, 2.0]]).astype("bfloat16")
    outputs = Precision("fp32").forward(
        lambda images: [images, logits, {"seg": images, "embed": logits}], paddle.ones([1, 1])
    )
    assert [output.dtype for output in outputs[:2]] == [paddle.float32, paddle.float32]
    assert {name: one.dtype for name, one in outputs[2].items()} == {
        "seg": paddle.float32,
        "embed": paddle.float32,
    }


def test_course_of_the_loss_scale() -> None:
    precision = Precision("fp16", loss_scale=LossScale(initial=4.0, growth_interval=3))
    course = []
    for finite in [True, True, True, True, True, False, True, True, False, False, False, False, True]:
        precision.update(finite=finite)
        course.append(precision.loss_scale)
    assert course == [4, 4, 8, 8, 8, 4, 4, 4, 2, 1, 1, 1, 1]


def test_the_loss_scale_does_not_grow_without_end() -> None:
    scale = LossScale(initial=2.0**23, growth_interval=1)
    values = []
    for _ in range(3):
        scale.grow()
        values.append(scale.value)
    assert values == [16777216, 16777216, 16777216]


def test_defaults_of_the_loss_scale() -> None:
    precision = Precision("fp16")
    assert precision.loss_scale == 65536
    for _ in range(1999):
        precision.update(finite=True)
    assert precision.loss_scale == 65536
    precision.update(finite=True)
    assert precision.loss_scale == 131072


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_no_scale_where_the_range_is_float32s(name: str) -> None:
    precision = Precision(name)
    precision.update(finite=False)
    assert precision.loss_scale is None
    assert precision.state_dict() == {}
    loss = paddle.to_tensor(3.0)
    assert precision.scale(loss) is loss


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
@pytest.mark.parametrize("micro_steps", [1, 3])
def test_scaled_and_unscaled_gradients_are_the_same_bits(micro_steps: int) -> None:
    model = TinySegmenter(4)
    plain = gradients(model, Precision("fp32"), micro_steps)
    scaled = gradients(model, Precision("fp16", loss_scale=LossScale(initial=1024.0)), micro_steps)
    assert set(plain) == set(scaled)
    assert np.abs(plain["classifier.weight"]).max() > 0
    for name, expected in plain.items():
        np.testing.assert_array_equal(scaled[name], expected, err_msg=name)


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
def test_what_backward_sees_is_scaled() -> None:
    precision = Precision("fp16", loss_scale=LossScale(initial=8.0))
    weight = paddle.to_tensor([2.0, 3.0], stop_gradient=False)
    precision.scale((weight * weight).sum()).backward()
    np.testing.assert_array_equal(weight.grad.numpy(), [32, 48])
    precision.unscale_([weight, paddle.ones([1])])
    np.testing.assert_array_equal(weight.grad.numpy(), [4, 6])


def test_state_goes_through_json_and_goes_on_exactly() -> None:
    first = Precision("fp16", loss_scale=LossScale(initial=4.0, growth_interval=3))
    for finite in (True, True, True, True, True):
        first.update(finite=finite)
    assert first.state_dict() == {"loss_scale": 8.0, "good_steps": 2}
    second = Precision("fp16", loss_scale=LossScale(growth_interval=3))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for precision in (first, second):
        precision.update(finite=True)
        assert precision.state_dict() == {"loss_scale": 16.0, "good_steps": 0}


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("fp32", {"loss_scale": 8.0, "good_steps": 0}),
        ("fp16", {}),
        ("fp16", {"loss_scale": 8.0}),
        ("fp16", {"loss_scale": 3.0, "good_steps": 0}),
        ("fp16", {"loss_scale": 0.5, "good_steps": 0}),
        ("fp16", {"loss_scale": float("nan"), "good_steps": 0}),
        ("fp16", {"loss_scale": float("inf"), "good_steps": 0}),
        ("fp16", {"loss_scale": 8.0, "good_steps": -1}),
    ],
)
def test_bad_states_are_refused(name: str, state: dict[str, float]) -> None:
    precision = Precision(name)
    before = precision.state_dict()
    with pytest.raises(CheckpointError, match=r"^state of the loss scale: expected .*, got .*; resume "):
        precision.load_state_dict(state)
    assert precision.state_dict() == before

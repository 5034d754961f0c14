"""Arrays of another model, optimiser or precision are refused by name; master weights keep theirs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import paddle
import pytest

from paddleseg.engine.checkpoint_arrays import check_arrays, check_optimizer_arrays, with_master_tensors
from paddleseg.errors import CheckpointError

ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({}, "f lacks 'w' and 1 more tensors"),
        ({"w": ONES}, "f lacks 'b'; was it"),
        ({"w": ONES, "b": ONES, "c": ONES}, "f holds, and the model does not have, 'c'; was it"),
        ({"w": ONES.T, "b": ONES}, "'w' is float32 of shape [3, 2], the model's is float32 of shape [2, 3]"),
        ({"w": ONES.astype("f8"), "b": ONES}, "'w' is float64 of shape [2, 3], the model's is float32"),
        ({"w": 3, "b": ONES}, "'w' is int of shape [], the model's"),
    ],
)
def test_what_does_not_fit_is_named(arrays: dict[str, Any], expected: str) -> None:
    tensors = {name: paddle.zeros([2, 3]) for name in ("w", "b")}
    with pytest.raises(CheckpointError, match=re.escape(expected)):
        check_arrays("f", tensors, arrays)


def test_bfloat16_is_told_from_float16() -> None:
    tensors = {"w": paddle.zeros([1], "bfloat16")}
    check_arrays("f", tensors, {"w": np.zeros(1, np.uint16)})
    with pytest.raises(CheckpointError, match="float16"):
        check_arrays("f", tensors, {"w": np.zeros(1, np.float16)})


def optimizer() -> paddle.optimizer.Optimizer:
    parameter = paddle.create_parameter([2, 3], "float32")
    parameter.name = "p.w"
    groups = [{"params": [parameter], "weight_decay": 0.1}]
    return paddle.optimizer.AdamW(parameters=groups)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"q.w_moment1_0": ONES}, "holds 'q.w_moment1_0', float32 of shape [2, 3], for which .* no place"),
        ({"p.w_velocity_0": ONES}, "'p.w_velocity_0'"),
        ({"p.w_moment1_0": ONES[:1]}, "'p.w_moment1_0', float32 of shape [1, 3], .* have shape [2, 3]"),
        ({"p.w_moment1_0": "text"}, "str of shape []"),
        ({"master_weights": {"q.w": ONES}}, "'master_weights: q.w'"),
        ({"master_weights": {"p.w": ONES.T}}, "'master_weights: p.w', float32 of shape [3, 2]"),
        ({"master_weights": [1]}, "'master_weights', list"),
    ],
)
def test_buffers_that_have_no_place_are_named(arrays: dict[str, Any], expected: str) -> None:
    pattern = re.escape(expected).replace(re.escape(" .* "), " .* ")
    with pytest.raises(CheckpointError, match=pattern):
        check_optimizer_arrays("f", optimizer(), arrays)


def test_buffers_of_weights_and_of_master_weights_are_accepted() -> None:
    check_optimizer_arrays(
        "f",
        optimizer(),
        {
            "p.w_moment1_0": ONES,
            "p.w_fp32_master_3_moment2_0": ONES,
            "p.w_fp32_master_3_beta1_pow_acc_0": np.ones(1, np.float32),
            "master_weights": {"p.w": ONES},
            "LR_Scheduler": {"last_epoch": 1},
        },
    )


def test_master_weights_become_tensors_with_the_name_their_buffers_use() -> None:
    arrays = {"p.w_fp32_master_3_moment1_0": ONES, "master_weights": {"p.w": ONES * 0.1, "p.b": ONES}}
    masters = with_master_tensors(arrays)["master_weights"]
    assert (masters["p.w"].name, masters["p.b"].name) == ("p.w_fp32_master_3", "p.b_fp32_master_0")
    np.testing.assert_array_equal(masters["p.w"].numpy(), ONES * np.float32(0.1))
    assert isinstance(arrays["master_weights"]["p.w"], np.ndarray)

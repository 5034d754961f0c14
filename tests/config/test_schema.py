"""The structure of the tree, all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.config.load import parse_value
from paddleseg.config.node import Node, from_value, plain
from paddleseg.config.schema import (
    TRAIN_KEYS,
    LossConfig,
    check_structure,
    drop_alias_holders,
    settings_of,
)


def problems(tree: dict[str, Any], required: tuple[str, ...] = ()) -> list[str]:
    return [str(one) for one in check_structure(from_value(tree, "f:1"), required)]


def test_only_some_of_many_unknown_keys_get_a_suggestion() -> None:
    """A hundred; with one each, 20,000 keys take 20 seconds."""
    found = problems({f"iters{number}": 1 for number in range(150)})
    assert len(found) == 150
    assert sum("did you mean 'iters'" in one for one in found) == 100


def test_a_good_tree_has_none() -> None:
    tree = {
        "batch_size": 2,
        "iters": 10,
        "seed": None,
        "model": {"type": "M"},
        "val_dataset": None,
        "loss": {"types": [{"type": "L"}], "coef": [1, 0.4]},
        "test_config": {
            "aug_eval": True,
            "scales": [0.5, 1],
            "is_slide": True,
            "crop_size": [4, 3],
            "stride": [4, 3],
        },
        "export": {"transforms": [{"type": "T"}]},
        "learning_rate": {"value": 0.1},
        "to_static_training": False,
        "plugins": ["a"],
        "distill_loss": None,
    }
    assert problems(tree) == []


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"itres": 1}, "f:1 itres: unknown key at the top level; did you mean 'iters'?"),
        ({"zzz": 1}, "f:1 zzz: unknown key at the top level"),
        ({"batch_size": 0}, "f:1 batch_size: got 0; expected a whole number of at least 1"),
        ({"iters": 1.5}, "f:1 iters: got 1.5; expected a whole number of at least 1"),
        ({"seed": -1}, "f:1 seed: got -1; expected a whole number from 0 to 4294967295 or null"),
        ({"model": "CCNet"}, "f:1 model: got 'CCNet'; expected a mapping or null"),
        ({"test_config": 3}, "f:1 test_config: got 3; expected a mapping"),
        ({"test_config": {"scales": 0}}, "f:1 test_config.scales: got 0; expected a number above 0"),
        ({"test_config": {"crop_size": [3]}}, "f:1 test_config.crop_size: got [3]; expected a list of"),
        (
            {"test_config": {"is_slid": True}},
            "f:1 test_config.is_slid: unknown key in test_config; did",
        ),
        (
            {"test_config": {"use_multilabel": True}},
            "f:1 test_config.use_multilabel: every pixel has",
        ),
        (
            {"test_config": {"custom_color": [1, 2]}},
            "f:1 test_config.custom_color: got 2 numbers; expected",
        ),
        (
            {"test_config": {"custom_color": [1, 2, 256]}},
            "f:1 test_config.custom_color: got [1, 2, 256]",
        ),
        ({"distill_loss": {"types": [{}], "coef": [1]}}, "f:1 distill_loss.teacher: missing; name the"),
        (
            {"distill_loss": {"types": [{}], "coef": [1, 2], "teacher": "t.yml"}},
            "f:1 distill_loss.coef: got 2 entries; expected one",
        ),
        ({"loss": {"types": []}}, "f:1 loss.coef: missing"),
        (
            {"loss": {"types": [1], "coef": [1]}},
            "f:1 loss.types: got [1]; expected a list, each entry",
        ),
        ({"loss": {"types": [{}, {}], "coef": [1]}}, "f:1 loss.types: got 2 types for 1 coefficients"),
        (
            {"loss": {"types": [{}], "coef": ["a"]}},
            "f:1 loss.coef: got ['a']; expected a list, each",
        ),
        (
            {"export": {"transfroms": []}},
            "f:1 export.transfroms: unknown key in export; did you",
        ),
        ({"plugins": "mine"}, "f:1 plugins: got 'mine'; expected a list, each entry text"),
        ({"learning_rate": "a"}, "f:1 learning_rate: got 'a'; expected"),
        ({"global_batch_size": 0}, "f:1 global_batch_size: got 0; expected a whole number of at least 1"),
        (
            {"accumulate": 0},
            "f:1 accumulate: got 0; expected a whole number of at least 1 or one of 'auto'",
        ),
        ({"accumulate": "Auto", "global_batch_size": 8}, "f:1 accumulate: got 'Auto'; expected"),
        ({"precision": "fp8"}, "f:1 precision: got 'fp8'; expected one of 'fp32', 'bf16', 'fp16'"),
        ({"amp_level": "O3"}, "f:1 amp_level: got 'O3'; expected one of 'O1', 'O2'"),
        ({"use_ema": 1}, "f:1 use_ema: got 1; expected true or false"),
        ({"ema_decay": 1}, "f:1 ema_decay: got 1; expected a number of at least 0 and below 1"),
        ({"recompute": "yes"}, "f:1 recompute: got 'yes'; expected true or false"),
        (
            {"on_non_finite": "ignore"},
            "f:1 on_non_finite: got 'ignore'; expected one of 'stop', 'skip', 'low",
        ),
        (
            {"on_bad_sample": None, "worker_timeout": 0},
            "f:1 worker_timeout: got 0; expected a number above 0",
        ),
        ({"on_bad_sample": "warn"}, "f:1 on_bad_sample: got 'warn'; expected one of 'stop', 'skip'"),
    ],
)
def test_one_problem(tree: dict[str, Any], expected: str) -> None:
    (found,) = problems(tree)
    assert found.startswith(expected)


def test_sliding_windows_need_crop_and_stride_without_gaps() -> None:
    assert [one.split(": ")[0] for one in problems({"test_config": {"is_slide": True}})] == [
        "f:1 test_config.crop_size",
        "f:1 test_config.stride",
    ]
    gap = {"is_slide": True, "crop_size": [8, 8], "stride": [8, 9]}
    assert problems({"test_config": gap}) == [
        "f:1 test_config.stride: got [8, 9]; expected at most crop_size [8, 8], or windows leave gaps"
    ]
    assert problems({"test_config": {**gap, "stride": [8, 8]}}) == []


@pytest.mark.parametrize(
    ("key", "value", "needed", "expected"),
    [
        ("accumulate", "auto", {"global_batch_size": 16}, "auto needs global_batch_size"),
        ("on_non_finite", "lower_scale", {"precision": "fp16"}, "lower_scale needs precision: fp16"),
        ("recompute", True, {"to_static_training": False}, "does not go with to_static_training"),
    ],
)
def test_keys_of_a_step_that_need_each_other(
    key: str, value: object, needed: dict[str, object], expected: str
) -> None:
    wrong = {key: value} | ({"to_static_training": True} if key == "recompute" else {})
    (found,) = problems(wrong)
    assert found.startswith(f"f:1 {key}: {expected}")
    assert problems({key: value} | needed) == []


def test_lower_scale_does_not_fit_bf16() -> None:
    (found,) = problems({"on_non_finite": "lower_scale", "precision": "bf16"})
    assert "which alone has a loss scale; use stop or skip" in found


def test_required_keys_are_all_listed_and_the_legacy_rate_counts() -> None:
    assert len(problems({}, TRAIN_KEYS)) == len(TRAIN_KEYS)
    missing = problems({"learning_rate": 0.1, "model": None}, TRAIN_KEYS)
    assert not any("lr_scheduler" in one for one in missing)
    assert "f:1 model: missing; this program needs it" in missing


def test_aliased_helper_keys_are_dropped_and_others_are_not() -> None:
    root = parse_value("{mean: &m [1], std: [2], model: {mean: *m}}", "f:1")
    drop_alias_holders(root)
    assert plain(root) == {"std": [2], "model": {"mean": [1]}}


def test_settings() -> None:
    settings = settings_of(
        {
            "iters": 7,
            "batch_size": None,
            "test_config": {"scales": [0.5], "flip_horizontal": True},
            "loss": {"types": [{"type": "L"}], "coef": [1]},
            "model": {"type": "M"},
        }
    )
    assert (settings.iters, settings.batch_size, settings.seed) == (7, 1, None)
    assert (settings.test_config.scales, settings.test_config.flip_horizontal) == ([0.5], True)
    assert settings.test_config.is_slide is False
    assert settings.loss == LossConfig(types=[{"type": "L"}], coef=[1])
    assert settings.model == {"type": "M"}
    assert settings_of({"loss": None}).loss is None


def test_a_plain_config_trains_as_version_0_1_did() -> None:
    settings = settings_of({"precision": None})
    assert (settings.global_batch_size, settings.accumulate) == (None, 1)
    assert (settings.precision, settings.amp_level) == ("fp32", "O1")
    assert (settings.use_ema, settings.ema_decay, settings.recompute) == (False, 0.999, False)
    assert (settings.on_non_finite, settings.on_bad_sample) == ("stop", "stop")
    assert settings.worker_timeout == 300


def test_a_problem_names_the_line_of_the_entry() -> None:
    root = Node({"iters": Node(0, "a.yml:4")}, "a.yml:1")
    assert str(check_structure(root, ())[0]).startswith("a.yml:4 iters: got 0")

"""What a resumed run must share, what it may change, and how both are told."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from small_task import config_tree, write_dataset

from paddleseg.config.config import Config
from paddleseg.config.node import from_value
from paddleseg.config.schema import Settings
from paddleseg.data.datasets.base import Pair
from paddleseg.data.datasets.file_list import Dataset
from paddleseg.engine.batching import BatchPlan
from paddleseg.engine.run_facts import Difference, Effect, check_resumable, compare_facts, run_facts
from paddleseg.errors import CheckpointError
from paddleseg.runtime import cpu_model
from paddleseg.version import __version__

PLAN = BatchPlan(batch_size=2, world_size=2, accumulate=3)
REPORTS = {"do_eval": True, "early_stop_intervals": None, "log_iters": 10, "save_interval": 1000}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("facts") / "data", count=4)


def facts(data: Path, *, plan: BatchPlan = PLAN, names: Any = None, **changes: Any) -> dict[str, Any]:
    """Facts of the small task; a change is ``optimizer__momentum=0.8``, for a list ``loss__coef__1=0.5``."""
    config = Config(from_value(config_tree(data, {"type": "CCNet", "num_classes": 4}), "test"), "test.yml")
    for key, value in changes.items():
        config.set(tuple(int(one) if one.isdigit() else one for one in key.split("__")), value, "test")
    train_set = Dataset(
        transforms=[],
        dataset_root=str(data),
        num_classes=4,
        mode="train",
        train_path=str(data / "list.txt"),
        class_names=names,
    )
    return run_facts(
        config,
        plan=plan,
        train_set=train_set,
        val_set=train_set,
        device="cpu",
        threads=2,
        reports=REPORTS,
    )


def test_the_facts_are_plain_and_complete(data: Path) -> None:
    found = facts(data, names=list("abcd"), plugins=["b", "a"])
    assert json.loads(json.dumps(found)) == found
    lines = [f"{kind}/{index}.png" for index in range(4) for kind in ("images", "labels")]
    samples = {"count": 4, "sha256": hashlib.sha256("\0".join(lines).encode()).hexdigest()}
    assert found["train_samples"] == found["val_samples"] == samples
    assert found["classes"] == list("abcd")
    assert (found["world_size"], found["accumulate"], found["device"], found["threads"]) == (2, 3, "cpu", 2)
    assert (found["reports"], found["processor"]) == (REPORTS, cpu_model())
    assert found["config"]["optimizer"] == {"type": "sgd", "momentum": 0.9, "weight_decay": 4.0e-5}
    assert found["config"]["plugins"] == ["a", "b"]
    assert found["config"].keys() == {field.name for field in dataclasses.fields(Settings)}
    versions = {name: found["versions"][name] for name in ("paddleseg", "paddle", "numpy", "opencv")}
    assert list(versions.values()) == [
        __version__,
        paddle.__version__,
        np.__version__,
        cv2.__version__,
    ]


CHANGES_RESULT: list[tuple[dict[str, Any], str]] = [
    ({"iters": 8}, "config.iters: 6 → 8"),
    ({"batch_size": 4}, "config.batch_size: 2 → 4"),
    ({"seed": 3}, "config.seed: 0 → 3"),
    ({"precision": "bf16"}, 'config.precision: "fp32" → "bf16"'),
    ({"use_ema": True}, "config.use_ema: false → true"),
    ({"ema_decay": 0.9}, "config.ema_decay: 0.999 → 0.9"),
    ({"on_non_finite": "skip"}, 'config.on_non_finite: "stop" → "skip"'),
    ({"optimizer__momentum": 0.8}, "config.optimizer.momentum: 0.9 → 0.8"),
    ({"optimizer__use_nesterov": True}, "config.optimizer.use_nesterov: absent → true"),
    ({"lr_scheduler__end_lr": 0}, "config.lr_scheduler.end_lr: 0.0001 → 0"),
    ({"loss__coef": [1, 0.5]}, "config.loss.coef: [1, 0.4] → [1, 0.5]"),
    ({"loss__types__0__type": "OhemCrossEntropyLoss"}, "config.loss.types.0.type"),
    ({"model__num_classes": 5}, "config.model.num_classes: 4 → 5"),
    ({"train_dataset__transforms__0__crop_size": [32, 32]}, "config.train_dataset.transforms.0.crop_size"),
    ({"val_dataset__num_classes": 5}, "config.val_dataset.num_classes: 4 → 5"),
    ({"test_config__aug_eval": True}, "config.test_config.aug_eval: false → true"),
    ({"plugins": ["mine"]}, 'config.plugins: [] → ["mine"]'),
    ({"train_dataset__transforms__0__cut_path": "x.npy"}, "config.train_dataset.transforms.0.cut_path"),
    ({"val_dataset__transforms__1__dataset_root": "x"}, "config.val_dataset.transforms.1.dataset_root"),
    ({"train_dataset__pack_shards": "by_rank"}, 'config.train_dataset.pack_shards: absent → "by_rank"'),
]


@pytest.mark.parametrize(("change", "line"), CHANGES_RESULT)
def test_a_change_that_alters_the_result_is_refused_by_name(
    data: Path, change: dict[str, Any], line: str
) -> None:
    (difference,) = compare_facts(facts(data), facts(data, **change))
    assert difference.effect is Effect.RESULT
    assert difference.describe().startswith(line)
    with pytest.raises(CheckpointError) as caught:
        check_resumable(facts(data), facts(data, **change), force=False, folder=Path("o/iter_5"))
    message = str(caught.value)
    assert message.startswith("cannot resume from o/iter_5: this run differs")
    assert f"\n  {difference.describe()}\n" in message
    assert "--force" in message


HARMLESS: list[dict[str, Any]] = [
    {"train_dataset__dataset_root": "/elsewhere"},
    {"train_dataset__train_path": "/elsewhere/list.txt"},
    {"val_dataset__val_path": "/elsewhere/list.txt"},
    {"train_dataset__pack": "packs/train"},
    {"val_dataset__pack": "packs/val"},
    {"model__pretrained": "weights.pdparams"},
    {"model__backbone": {"pretrained": "weights.pdparams"}},
    {"test_dataset": {"type": "Dataset"}},
    {"export__transforms": [{"type": "Normalize"}]},
    {"worker_timeout": 5.0},
    {"check_data": False},
    {"recompute": True},
    {"global_batch_size": 12},
    {"accumulate": "auto"},
]


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: next(iter(change)))
def test_a_harmless_change_is_only_told(
    data: Path, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    before, now = facts(data), facts(data, **change)
    (difference,) = compare_facts(before, now)
    assert difference.effect is Effect.NOTHING
    assert check_resumable(before, now, force=False, folder=Path("iter_5"))
    assert f"{difference.describe()} (does not change the result)" in caplog.text


def test_what_a_new_key_does_is_not_known_so_it_is_refused() -> None:
    found = compare_facts({"config": {"a": 1}}, {"config": {"a": 1, "brand_new": {"x": [1, {"y": 2}]}}})
    assert found == [
        Difference("config.brand_new.x.0", None, 1, Effect.RESULT),
        Difference("config.brand_new.x.1.y", None, 2, Effect.RESULT),
    ]


@pytest.mark.parametrize(
    ("name", "value", "effect"),
    [
        ("world_size", 4, Effect.RESULT),
        ("accumulate", 1, Effect.RESULT),
        ("device", "gpu", Effect.RESULT),
        ("classes", ["road", "sky"], Effect.RESULT),
        ("versions.paddleseg", "9.9", Effect.RESULT),
        ("versions.paddle", "9.9", Effect.RESULT),
        ("versions.numpy", "9.9", Effect.RESULT),
        ("versions.opencv", "9.9", Effect.RESULT),
        ("versions.python", "9.9", Effect.NOTHING),
        ("platform", "Plan 9", Effect.LOW_BITS),
        ("processor", "Z80", Effect.LOW_BITS),
        ("mkl_debug_cpu_type", "4", Effect.LOW_BITS),
        ("threads", 64, Effect.RESULT),
        ("val_samples.count", 64, Effect.RESULT),
        ("val_samples.sha256", "0", Effect.RESULT),
        *((f"reports.{name}", 64, Effect.REPORTS) for name in REPORTS),
    ],
)
def test_facts_outside_the_config(data: Path, name: str, value: Any, effect: Effect) -> None:
    before, now = facts(data), facts(data)
    table, _, key = name.rpartition(".")
    (now[table] if table else now)[key] = value
    (difference,) = compare_facts(before, now)
    assert (difference.what, difference.current, difference.effect) == (name, value, effect)


@pytest.mark.parametrize(("device", "refused"), [("cpu", True), ("gpu", False)])
def test_threads_count_where_they_add_up_the_sums(
    data: Path, device: str, refused: bool, caplog: pytest.LogCaptureFixture
) -> None:
    before, now = ({**facts(data), "device": device, "threads": threads} for threads in (2, 4))
    if refused:
        with pytest.raises(CheckpointError, match=r"\n  threads: 2 → 4\n"):
            check_resumable(before, now, force=False, folder=Path("iter_5"))
    else:
        assert check_resumable(before, now, force=False, folder=Path("iter_5"))
        assert caplog.messages == ["[RESUME] threads: 2 → 4 (may change low-order bits)"]


def test_the_dispatch_of_the_math_library_is_a_fact(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "7")
    assert facts(data)["mkl_debug_cpu_type"] == "7"


@pytest.mark.parametrize("added", [False, True])
def test_evaluation_may_be_added_and_dropped(
    data: Path, added: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It changes no weight: the samples that the run does not evaluate on are none of its business."""
    with_it = facts(data)
    without = {**with_it, "val_samples": None, "reports": {**REPORTS, "do_eval": False}}
    before, now = (without, with_it) if added else (with_it, without)
    assert check_resumable(before, now, force=False, folder=Path("iter_5"))
    assert [message.split()[1] for message in caplog.messages] == [
        "reports.do_eval:",
        "val_samples.count:",
        "val_samples.sha256:",
    ]
    assert all("changes which rows, evaluations" in message for message in caplog.messages)


def test_samples_are_those_of_the_same_names_wherever_they_lie(data: Path, tmp_path: Path) -> None:
    def samples(*pairs: tuple[str, str | None]) -> dict[str, Any]:
        train_set = Dataset(
            transforms=[],
            dataset_root=str(data),
            num_classes=4,
            mode="train",
            train_path=str(data / "list.txt"),
        )
        train_set.files = [Pair(*pair) for pair in pairs]
        config = Config(from_value({}, "test"), "test.yml")
        found = run_facts(config, plan=PLAN, train_set=train_set, device="cpu", threads=1, reports={})
        return found["train_samples"]

    here = samples(("/a/x/1.png", "/a/y/1.png"), ("/a/x/2.png", None))
    assert here == samples(("/b/c/x/1.png", "/b/c/y/1.png"), ("/b/c/x/2.png", None))
    assert here["count"] == 2
    assert here != samples(("/a/x/2.png", None), ("/a/x/1.png", "/a/y/1.png"))
    assert here != samples(("/a/x/1.png", "/a/y/1.png"), ("/a/x/3.png", None))


def test_without_a_seed_the_checkpoints_is_taken(data: Path) -> None:
    assert compare_facts(facts(data, seed=7), facts(data)) == []
    assert compare_facts(facts(data), facts(data, seed=0)) == []


def test_force_goes_on_and_tells_everything(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = facts(data, iters=8, worker_timeout=1.0)
    assert not check_resumable(facts(data), now, force=True, folder=Path("iter_5"))
    assert "config.iters: 6 → 8 (changes the result)" in caplog.text
    assert "config.worker_timeout: 300.0 → 1.0 (does not change the result)" in caplog.text


def test_the_same_facts_say_nothing(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert check_resumable(facts(data), facts(data), force=False, folder=Path("iter_5"))
    assert caplog.text == ""


def test_a_checkpoint_without_facts_is_one_warning(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_resumable({}, facts(data), force=False, folder=Path("iter_5"))
    (record,) = caplog.records
    assert "iter_5 does not tell" in record.message


def test_a_long_list_is_cut() -> None:
    before, now = ({"config": {f"k{i:02}": i + shift for i in range(30)}} for shift in (0, 1))
    with pytest.raises(CheckpointError, match="… and 10 more") as caught:
        check_resumable(before, now, force=False, folder=Path("iter_5"))
    assert str(caught.value).count("config.") == 20

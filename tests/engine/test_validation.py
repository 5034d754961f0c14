"""The evaluation inside a training run: settings, pictures, the log, signals."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.build import build_dataset
from paddleseg.config.config import Config
from paddleseg.data.loader import make_eval_loader
from paddleseg.engine.evaluator import EvaluationStopped, evaluate
from paddleseg.engine.group import Group
from paddleseg.engine.interrupts import Interrupts
from paddleseg.engine.validation import Validation
from paddleseg.inference import InferenceOptions

MakeConfig = Callable[..., Config]


class Numbers:
    """A writer that takes no pictures."""

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        raise AssertionError("the hook writes the numbers")

    def close(self) -> None:
        pass


class Pictures(Numbers):
    def __init__(self) -> None:
        self.drawn: list[tuple[str, int, tuple[int, ...]]] = []

    def picture(self, name: str, picture: Any, iteration: int) -> None:
        assert picture.dtype == np.uint8
        self.drawn.append((name, iteration, picture.shape))


def make_validation(config: Config, *writers: Any, **options: Any) -> Validation:
    paddle.seed(0)
    settings = {"num_workers": 0, "group": Group(), "interrupts": Interrupts()} | options
    return Validation(config, TinySegmenter(4), build_dataset(config, "val"), writers, **settings)


def test_it_is_the_evaluation_of_val(make_config: MakeConfig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    config = make_config("test_config.aug_eval=True", "test_config.flip_horizontal=True")
    found = make_validation(config)(7)
    paddle.seed(0)
    dataset, options = build_dataset(config, "val"), InferenceOptions(flip_horizontal=True)
    expected = evaluate(TinySegmenter(4), dataset, options=options)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert (found.matrix != evaluate(TinySegmenter(4), dataset).matrix).any(), "else flipping shows nothing"
    assert caplog.messages[0] == "[EVAL] Start evaluating 8 images at iter 7"
    assert caplog.messages[1] == expected.report.eval_line(8)
    assert caplog.messages[2:] == expected.report.class_lines()


def test_the_first_images_are_drawn_for_those_who_take_pictures(make_config: MakeConfig) -> None:
    pictures = Pictures()
    make_validation(make_config(), Numbers(), pictures)(7)
    side_by_side = (48, 3 * 64 + 2 * 2, 3)
    assert pictures.drawn == [(f"Evaluate/{index}", 7, side_by_side) for index in range(4)]


def test_nothing_is_drawn_for_nobody(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddleseg.engine.validation.side_by_side", None)
    make_validation(make_config(), Numbers())(7)


def test_the_main_process_draws_as_many_of_its_own_share(make_config: MakeConfig) -> None:
    class Two(Group):
        """Of two, with nothing to wait for; the other one's numbers do not come."""

        def wait(self, what: str) -> None:
            pass

        def any(self, *flags: bool) -> tuple[bool, ...]:
            return flags

        def sum(self, array: Any) -> Any:
            return array

        def gather(self, value: Any) -> list[Any]:
            return [value]

    pictures = Pictures()
    found = make_validation(make_config(), pictures, group=Two(0, 2))(1)
    assert [image.index for image in found.images] == [0, 2, 4, 6]
    assert [name for name, _, _ in pictures.drawn] == [f"Evaluate/{index}" for index in (0, 2, 4, 6)]


def test_it_waits_for_workers_as_long_as_the_config_says(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def make_loader(*args: Any, worker_timeout: float, **options: Any) -> Any:
        given.append(worker_timeout)
        return make_eval_loader(*args, **options)

    monkeypatch.setattr("paddleseg.engine.evaluator.make_eval_loader", make_loader)
    make_validation(make_config("worker_timeout=7"))(1)
    assert set(given) == {7}


def test_a_signal_ends_it(make_config: MakeConfig) -> None:
    interrupts, pictures = Interrupts(), Pictures()
    interrupts.signal = signal.SIGTERM
    with pytest.raises(EvaluationStopped):
        make_validation(make_config(), pictures, interrupts=interrupts)(1)
    assert len(pictures.drawn) == 1, "asked after each image"

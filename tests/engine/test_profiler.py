"""Profiles of a tiny model on the CPU."""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paddle
import pytest
from small_task import TinySegmenter

from paddleseg.engine.profiler import ProfilerHook
from paddleseg.engine.profiler_options import parse_profiler_options
from paddleseg.errors import DeviceError, OutputError


def train(hook: ProfilerHook, iterations: int, *, seconds_of_first: float = 0.0) -> Any:
    model = TinySegmenter(3)
    optimizer = paddle.optimizer.SGD(parameters=model.parameters())
    trainer: Any = SimpleNamespace(batch_size=2, stop_reason=None, done=0)
    image = paddle.rand([2, 3, 16, 16])
    hook.before_run(trainer)
    while trainer.done < iterations and not trainer.stop_reason:
        time.sleep(0 if trainer.done else seconds_of_first)
        paddle.add_n([logits.mean() for logits in model(image)]).backward()
        optimizer.step()
        optimizer.clear_grad()
        trainer.done += 1
        hook.after_step(trainer)
    hook.after_run(trainer)
    return trainer


def profiled_steps(folder: Path) -> list[str]:
    (trace,) = folder.glob("*.paddle_trace.json")
    events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    names = {event.get("name", "").split("[")[0] for event in events}
    return sorted(name for name in names if name.startswith("ProfileStep"))


def test_a_range_of_iterations_is_traced_and_the_run_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    hook = ProfilerHook(parse_profiler_options("batch_range=[2,4]"), save_dir=tmp_path)
    trainer = train(hook, 9)
    assert trainer.done == 4
    assert trainer.stop_reason == "profiled iterations 2 to 3 of this process"
    folder = tmp_path / "profiler"
    assert profiled_steps(folder) == ["ProfileStep#2", "ProfileStep#3"]
    summary = (folder / "summary.txt").read_text("utf-8")
    assert "Overview Summary" in summary
    assert "Operator Summary" in summary
    logged = "\n".join(caplog.messages)
    assert "conv2d" in logged
    assert "[PROFILE] iterations 2 to 3: batch_cost:" in logged
    assert capsys.readouterr().out == ""


def test_the_run_goes_on_where_the_options_say_so(tmp_path: Path) -> None:
    options = parse_profiler_options(
        f"batch_range=[0,1];exit_on_finished=no;profile_path={tmp_path / 'mine'}"
    )
    trainer = train(ProfilerHook(options, save_dir=tmp_path), 3)
    assert (trainer.done, trainer.stop_reason) == (3, None)
    assert profiled_steps(tmp_path / "mine") == ["ProfileStep#0"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_pace_alone_leaves_no_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddleseg")
    options = parse_profiler_options("batch_range=[1,3];timer_only=True")
    assert train(ProfilerHook(options, save_dir=tmp_path), 9, seconds_of_first=1.5).done == 3
    (message,) = caplog.messages
    pace = re.fullmatch(
        r"\[PROFILE\] iterations 1 to 2: +batch_cost: ([\d.]+) s ips: ([\d.]+) samples/s", message
    )
    assert pace is not None
    assert float(pace[1]) < 0.4, "the slow iteration before them does not count"
    assert float(pace[2]) == pytest.approx(2 / float(pace[1]), rel=0.01)
    assert not list(tmp_path.iterdir())


def test_a_run_that_ends_too_early_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hook = ProfilerHook(parse_profiler_options("batch_range=[1,5]"), save_dir=tmp_path)
    train(hook, 3)
    assert "the run ended after 3 iterations, before the end of batch_range=[1, 5]" in caplog.text
    assert "ProfileStep#2" in profiled_steps(tmp_path / "profiler"), "what there is is kept"


def summary(folder: Path, text: str) -> str:
    options = parse_profiler_options(f"batch_range=[1,2];profile_path={folder};{text}")
    train(ProfilerHook(options, save_dir=folder), 2)
    return (folder / "summary.txt").read_text("utf-8")


# PaddlePaddle 3.3.1 prints "name  calls  total / avg / max / min / ratio" for the CPU.
OPERATOR = re.compile(r"^\S.* (\d+) +([\d.]+) / ([\d.]+) / ([\d.]+) / ([\d.]+) / ", re.MULTILINE)


@pytest.mark.parametrize(("key", "column"), [("total", 1), ("max", 3), ("ave", 2)])
def test_operators_are_in_the_order_asked_for(tmp_path: Path, key: str, column: int) -> None:
    rows = OPERATOR.findall(summary(tmp_path, f"sorted_key={key}"))
    values = [float(row[column]) for row in rows]
    assert len(values) > 10
    assert values == sorted(values, reverse=True)


def test_details_of_operators_are_shown_where_asked_for(tmp_path: Path) -> None:
    texts = [summary(tmp_path / name, f"tracer_option={name}") for name in ("Default", "OpDetail")]
    assert ["infer_meta" in text for text in texts] == [False, True]


def test_other_processes_end_with_the_main_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddleseg.distributed.is_main", lambda: False)
    hook = ProfilerHook(parse_profiler_options("batch_range=[2,4]"), save_dir=tmp_path)
    assert train(hook, 9).done == 4
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_is_not_there_cannot_be_traced(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="state=GPU, but the run is on cpu; use CPU or All"):
        ProfilerHook(parse_profiler_options("state=GPU"), save_dir=tmp_path)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "profiler").write_text("")
    with pytest.raises(OutputError, match="profiler: cannot be made"):
        ProfilerHook(parse_profiler_options(""), save_dir=tmp_path)

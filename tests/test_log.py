from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from tqdm import tqdm

from paddleseg import log
from paddleseg.errors import OutputError

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def test_lines_keep_paddlesegs_form(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup()
    log.get_logger("paddleseg.engine.trainer").info("[TRAIN] epoch: %d", 3)
    captured = capsys.readouterr()
    assert re.fullmatch(STAMP + r" \[INFO\]\t\[TRAIN\] epoch: 3\n", captured.out)
    assert captured.err == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paddleseg", "paddleseg"),
        ("paddleseg.cli", "paddleseg.cli"),
        ("my_plugin", "paddleseg.my_plugin"),
        ("paddleseg_extra", "paddleseg.paddleseg_extra"),
    ],
)
def test_every_logger_is_below_the_package(name: str, expected: str) -> None:
    assert log.get_logger(name).name == expected


def test_file_gets_the_same_lines_and_is_appended_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run" / "train.log"
    log.setup(file=file)
    log.get_logger().info("first, mIoU ≥ 0.7")
    log.setup(file=file)
    log.get_logger().warning("second")
    text = file.read_text("utf-8")
    assert re.fullmatch(rf"{STAMP} \[INFO\]\tfirst, mIoU ≥ 0.7\n{STAMP} \[WARNING\]\tsecond\n", text)
    assert capsys.readouterr().out == text


def test_setup_again_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup()
    log.setup()
    log.get_logger().info("once")
    assert capsys.readouterr().out.count("once") == 1


def test_setup_leaves_other_handlers_alone() -> None:
    other = logging.NullHandler()
    logging.getLogger("paddleseg").addHandler(other)
    log.setup()
    assert other in logging.getLogger("paddleseg").handlers


def test_a_configured_root_logger_does_not_double_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    monkeypatch.setattr(logging.getLogger(), "handlers", [Collector()])
    log.setup()
    log.get_logger().warning("once")
    assert seen == []
    assert "once" in capsys.readouterr().out


def test_level_hides_what_is_below(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup()
    log.get_logger().debug("detail")
    assert capsys.readouterr().out == ""
    log.setup(level=logging.DEBUG)
    log.get_logger().debug("detail")
    assert "[DEBUG]\tdetail" in capsys.readouterr().out


def test_other_ranks_show_warnings_only_and_open_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup(rank=1, file=tmp_path / "train.log")
    log.get_logger().info("quiet")
    log.get_logger().warning("loud")
    assert re.fullmatch(STAMP + r" \[WARNING\]\t\[rank 1\] loud\n", capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []


def test_other_ranks_keep_a_stricter_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(rank=1, level=logging.ERROR)
    log.get_logger().warning("quiet")
    assert capsys.readouterr().out == ""


def test_a_line_clears_the_progress_bar_first(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup()
    cleared: list[bool] = []
    with tqdm(total=2) as bar:
        clear = bar.clear
        bar.clear = lambda *args, **kwargs: (cleared.append(True), clear(*args, **kwargs))  # type: ignore[assignment]
        log.get_logger().info("between")
    assert cleared == [True]
    assert capsys.readouterr().out.endswith("\tbetween\n")


def test_a_folder_in_the_place_of_the_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot open the log file: Is a directory"):
        log.setup(file=tmp_path)


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match=r"run/train\.log: cannot open the log file"):
        log.setup(file=tmp_path / "run" / "train.log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_clear_error() -> None:
    log.setup(file="/dev/full")
    with pytest.raises(OutputError, match="/dev/full: cannot write the log: No space left on device"):
        log.get_logger().info("anything")


def test_setup_again_after_a_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    log.setup(file="/dev/full")
    with pytest.raises(OutputError):
        log.get_logger().info("anything")
    log.setup(file=tmp_path / "train.log")
    log.get_logger().info("goes on")
    assert "goes on" in (tmp_path / "train.log").read_text("utf-8")


def test_a_mistake_in_a_logging_call_does_not_stop_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup(file=tmp_path / "train.log")
    mistake = logging.LogRecord("paddleseg", logging.INFO, "file.py", 1, "%d", ("not a number",), None)
    # Not through the logger: pytest's own handler there would raise.
    (to_file,) = (h for h in logging.getLogger("paddleseg").handlers if isinstance(h, logging.FileHandler))
    to_file.handle(mistake)
    assert "not a number" in capsys.readouterr().err

"""What the data-set tools share: workers, interruption, and files that are replaced only on request."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import dataset_tools as tools
from tool_cases import contents, write_picture

from paddleseg.errors import DataError, OutputError

FOLDER = Path(__file__).resolve().parents[2] / "tools"
TOOLS = (
    "analyze_model",
    "convert_cityscapes",
    "convert_cocostuff",
    "convert_voc2010",
    "create_dataset_list",
    "gray2pseudo_color",
    "labelme2seg",
    "split_dataset_list",
    "voc_augment",
)


def test_results_come_in_order_and_work_is_shared() -> None:
    barrier = threading.Barrier(2, timeout=20)

    def work(number: int) -> int:
        barrier.wait()  # two at once, or this never ends
        return number * number

    assert tools.parallel(work, range(6), workers=2, title="") == [0, 1, 4, 9, 16, 25]


def test_the_first_error_in_order_ends_the_work() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            time.sleep(0.05)
        if number in (1, 2):
            raise DataError(str(number))
        done.append(number)

    with pytest.raises(DataError, match="1"):
        tools.parallel(work, [0, 1, 2], workers=2, title="")
    assert done == [0]


def test_work_that_has_not_begun_is_dropped() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise DataError("first")
        time.sleep(0.005)
        done.append(number)

    with pytest.raises(DataError, match="first"):
        tools.parallel(work, range(1000), workers=1, title="")
    assert len(done) < 500


def test_what_ends_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    assert tools.run_tool(interrupted, []) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err == "interrupted\n"


def test_files_with_other_content_stay(tmp_path: Path) -> None:
    first, second = tmp_path / "new/a.txt", tmp_path / "b.txt"
    assert tools.write_new(first, b"1", overwrite=False)
    assert not tools.write_new(first, b"1", overwrite=False)
    with pytest.raises(OutputError, match=r"a\.txt: is there already with other content; --overwrite"):
        tools.write_files({second: b"2", first: b"2"}, overwrite=False)
    assert contents(tmp_path) == {"new/a.txt": b"1"}
    assert tools.write_files({second: b"2", first: b"2"}, overwrite=True) == 2
    assert contents(tmp_path) == {"new/a.txt": b"2", "b.txt": b"2"}
    (tmp_path / "c.txt").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"c\.txt"):
            tools.write_new(tmp_path / "c.txt", b"1", overwrite=overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.txt", "c.txt", "new"]


def test_pictures_are_compared_with_their_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2))
    picture.putpalette([9, 8, 7] * 256)
    picture.save(path)
    picture.save(tmp_path / "packed.png", compress_level=0)
    packed = (tmp_path / "packed.png").read_bytes()
    assert packed != path.read_bytes()
    assert not tools.write_new(path, packed, overwrite=False)
    picture.putpalette([9, 8, 6] * 256)
    picture.save(tmp_path / "other.png")
    with pytest.raises(OutputError):
        tools.write_new(path, (tmp_path / "other.png").read_bytes(), overwrite=False)


@pytest.mark.parametrize("name", TOOLS)
def test_help_names_the_flags_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(name).main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"python tools/{name}.py" in shown
    assert "--overwrite" in shown or name == "analyze_model"


@pytest.mark.slow
def test_a_polite_kill_leaves_whole_files_and_the_next_run_goes_on(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(40):
        noise = generator.integers(0, 11, (600, 600), dtype=np.uint8)
        write_picture(tmp_path / f"in/train2017/{index:03}.png", noise)
    command = [sys.executable, str(FOLDER / "convert_cocostuff.py"), "--num_workers", "1"]
    command += ["--annotation_path", str(tmp_path / "in"), "--save_path", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not (tmp_path / "out/train2017/000.png").exists():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message.endswith("interrupted\n")
    assert "Traceback" not in message
    left = contents(tmp_path / "out")
    assert 1 <= len(left) < 40
    assert all(name.endswith(".png") and "/." not in name for name in left)
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"wrote {40 - len(left)} labels ({len(left)} were there already)" in again.stdout

"""Video in and out."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from deploy.python import film, video
from deploy.python.film import open_film
from deploy.python.infer import main
from deploy.python.video import Video, is_video, open_video
from paddleseg.errors import DataError, OutputError, UsageError

Export = Callable[..., Path]
SIZE = (56, 40)  # width and height
RATE = 12.5


def frame_of(index: int) -> Any:
    """A grey frame that gets lighter from one to the next."""
    return np.full((SIZE[1], SIZE[0], 3), 20 * (index % 12) + 10, dtype=np.uint8)


def write_movie(path: Path, count: int = 8) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, SIZE)
    for index in range(count):
        writer.write(frame_of(index))
    writer.release()
    return path


def frames_of(path: Path) -> list[Any]:
    with open_video(str(path)) as opened:
        return list(opened.frames())


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("movie") / "street.avi")


@pytest.fixture(scope="module")
def config(export: Export) -> Path:
    return export("argmax")


def infer(config: Path, image_path: object, save_dir: Path, *flags: str) -> int:
    paths = ["--config", str(config), "--image_path", str(image_path), "--save_dir", str(save_dir)]
    return main([*paths, "--cpu_threads", "1", "--engine", "onnxruntime", *flags])


@pytest.mark.parametrize("flags", [(), ("--batch_size", "3"), ("--video_out", "{}/own.avi")])
def test_every_frame_comes_back_in_order_and_at_its_rate(
    flags: tuple[str, ...], config: Path, movie: Path, tmp_path: Path
) -> None:
    flags = tuple(flag.format(tmp_path) for flag in flags)
    assert infer(config, movie, tmp_path, *flags) == 0
    target = tmp_path / ("own.avi" if "--video_out" in flags else "street.mp4")
    with open_video(str(target)) as opened:
        assert opened.rate == pytest.approx(RATE)
        frames = list(opened.frames())
    assert len(frames) == 8
    assert all(frame.shape == (40, 56, 3) for frame in frames)
    # 0.6 of the frame: each is 12 lighter than the one before, whatever class is painted on it.
    brightness = [float(frame[..., 1].mean()) for frame in frames]
    assert np.all(np.diff(brightness) > 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name], "no part is left"


def test_label_frames(config: Path, movie: Path, tmp_path: Path) -> None:
    assert infer(config, movie, tmp_path, "--label_frames", "True") == 0
    labels = sorted((tmp_path / "label" / "street").iterdir())
    assert [path.name for path in labels] == [f"{index:06d}.png" for index in range(1, 9)]
    images = tmp_path / "frames"
    images.mkdir()
    for index, frame in enumerate(frames_of(movie), 1):
        cv2.imwrite(str(images / f"{index:06d}.png"), frame)
    assert infer(config, images, tmp_path / "images") == 0
    for path in labels:
        assert path.read_bytes() == (tmp_path / "images" / "label" / path.name).read_bytes()


def test_the_colours_are_the_palettes(config: Path, tmp_path: Path, movie: Path) -> None:
    flags = ["--custom_color", *["255", "0", "0"] * 3, "--video_out", str(tmp_path / "red.avi")]
    assert infer(config, movie, tmp_path, *flags) == 0
    blue, green, red = frames_of(tmp_path / "red.avi")[0].reshape(-1, 3).mean(axis=0)
    assert abs(red - (0.6 * 10 + 0.4 * 255)) < 5, "0.6 of grey 10 and 0.4 of red"
    assert blue < 20
    assert green < 20


@pytest.mark.slow
def test_a_stream_of_frames_on_the_standard_output(
    config: Path, movie: Path, root_dir: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "deploy/python/infer.py", "--config", str(config), "--image_path", str(movie)]
    command += ["--video_out", "-", "--engine", "onnxruntime", "--save_dir", str(tmp_path / "unused")]
    done = subprocess.run(command, cwd=root_dir, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    header, _, rest = done.stdout.partition(b"\n")
    assert header == b"YUV4MPEG2 W56 H40 F25:2 Ip A1:1 C420jpeg"
    frame_bytes = len(b"FRAME\n") + 56 * 40 * 3 // 2
    assert len(rest) == 8 * frame_bytes
    assert all(rest[start:].startswith(b"FRAME\n") for start in range(0, len(rest), frame_bytes))
    assert b"[DONE] 8 frames" in done.stderr
    assert not (tmp_path / "unused").exists()
    (tmp_path / "piped.y4m").write_bytes(done.stdout)
    assert len(frames_of(tmp_path / "piped.y4m")) == 8, "OpenCV reads it too"


def test_odd_sizes(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with open_film("-", rate=25, output=stream) as sink:
        sink.write(np.zeros((41, 57, 3), np.uint8))
    assert stream.getvalue().startswith(b"YUV4MPEG2 W56 H40 F25:1 ")
    for name in ("odd.mp4", "odd.avi", "odd.y4m"):
        with open_film(str(tmp_path / name), rate=25, output=stream) as sink:
            for _ in range(3):
                sink.write(np.zeros((41, 57, 3), np.uint8))
        assert len(frames_of(tmp_path / name)) == 3


def test_damage_inside_is_passed_over(
    config: Path, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(movie.read_bytes())
    frames = [i for i in range(len(data) - 4) if data[i : i + 4] == b"00dc"]
    start, end = frames[3] + 8, frames[4]
    data[start:end] = bytes(end - start)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(data)
    assert infer(config, damaged, tmp_path / "out") == 0
    kept = len(frames_of(tmp_path / "out" / "damaged.mp4"))
    assert kept in (7, 8)
    assert f"[DONE] {kept} frames" in capsys.readouterr().out


def test_a_movie_that_is_cut_off_is_used_as_far_as_it_goes(config: Path, movie: Path, tmp_path: Path) -> None:
    data = movie.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: data.index(b"movi") + (len(data) - data.index(b"movi")) // 2])
    assert infer(config, cut, tmp_path / "out") == 0
    assert 2 <= len(frames_of(tmp_path / "out" / "cut.mp4")) < 8


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such video file"), (b"", "cannot be read"), (b"RIFFxxxx", "cannot be read")],
)
def test_what_is_no_video_is_reported(
    content: bytes | None, message: str, config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "x.avi", tmp_path / "out"
    if content is not None:
        path.write_bytes(content)
    assert infer(config, path, out) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1, "no messages of OpenCV's own"
    assert not out.exists()


def test_a_camera_that_is_not_there(config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if Path("/dev/video97").exists():
        pytest.skip("there is such a camera")
    assert infer(config, 97, tmp_path / "out") == 2
    error = capfd.readouterr().err
    assert (
        error
        == "error: --image_path 97: there is no such camera, or another program uses it; cameras are "
        + ("numbered from 0\n")
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.MP4", True),
        ("a/b.avi", True),
        ("0", True),
        ("rtsp://host/street", True),
        ("a.png", False),
        ("folder", False),
        ("images.avi", False),
        ("1", False),
    ],
)
def test_what_is_video(name: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images.avi").mkdir()
    Path("1").mkdir()
    assert is_video(name) is expected


class Source:
    """Stands in for OpenCV's reader: frames, and None for a read that fails."""

    def __init__(self, frames: list[Any], rate: float = 25.0, count: int = 0) -> None:
        self._frames, self._rate, self._count = iter(frames), rate, count

    def get(self, what: int) -> float:
        return self._rate if what == cv2.CAP_PROP_FPS else float(self._count)

    def read(self) -> tuple[bool, Any]:
        frame = next(self._frames, None)
        return frame is not None, frame


def test_a_read_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    frames = [frame_of(0), None, None, frame_of(1), *[None] * 9, frame_of(2), *[None] * 10, frame_of(3)]
    source: Any = Source(frames, count=5)
    assert len(list(Video("x.avi", source, is_live=False).frames())) == 3
    assert "3 of 5 frames could be read" in caplog.text
    nothing: Any = Source([])
    with pytest.raises(DataError, match="not one frame can be read"):
        list(Video("x.avi", nothing, is_live=False).frames())


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.0, 25.0), (float("nan"), 25.0), (1e9, 25.0), (29.97, 29.97)]
)
def test_rates_that_cannot_be(rate: float, expected: float) -> None:
    source: Any = Source([], rate)
    assert Video("x", source, is_live=True).rate == expected


def test_a_change_of_size_is_undone() -> None:
    source: Any = Source([frame_of(0), np.zeros((80, 112, 3), np.uint8)])
    assert [frame.shape for frame in Video("x", source, is_live=True).frames()] == [(40, 56, 3)] * 2


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("0", "camera_0"),
        ("rtsp://h/a/b?x=1", "b"),
        ("a/b.c.mp4", "b.c"),
        ("http://cam.local/", "cam"),
        ("rtsp://me:s3cr@t?@cam.local/", "cam"),
        ("a?b@c.mp4", "a?b@c"),
    ],
)
def test_names_of_results(name: str, stem: str) -> None:
    source: Any = Source([])
    assert Video(name, source, is_live=True).stem == stem


def test_passwords_are_not_shown() -> None:
    source: Any = Source([])
    assert Video("rtsp://me:s3cret@h/a?token=s3cret", source, is_live=True).name == "rtsp://h/a"
    with pytest.raises(UsageError, match="nothing that can be read") as caught:
        open_video("rtsp://me:s3cret@127.0.0.1:1/a").__enter__()
    assert "s3cret" not in str(caught.value)


def test_a_slow_model_does_not_make_a_camera_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10 frames a second, a frame that took 0.35 s is shown until then: four times in all."""
    now = [0.0]
    monkeypatch.setattr(film.time, "monotonic", lambda: now[0])
    source: Any = Source([], rate=10.0)
    model: Any = SimpleNamespace(finish=lambda output, prepared: np.zeros((40, 56), np.uint8))
    stopwatch = film.Stopwatch()
    written: list[Any] = []
    sink: Any = SimpleNamespace(write=written.append)
    prepared: Any = None
    for is_live, expected in ((True, [1, 4, 5]), (False, [1, 2, 3])):
        written.clear()
        now[0] = 0.0
        writer = film._Writer(
            model, Video("0", source, is_live=is_live), sink, np.zeros((256, 3), np.uint8), None, stopwatch
        )
        counts = []
        for moment in (0.0, 0.35, 0.36):
            now[0] = moment
            writer.write(frame_of(0), prepared, np.zeros(1))
            counts.append(len(written))
        assert counts == expected


def test_an_interrupted_film_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"

    def interrupted() -> None:
        with open_film(str(path), rate=25, output=io.BytesIO()) as sink:
            for index in range(3):
                sink.write(frame_of(index))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(frames_of(path)) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["x.mp4"]


@pytest.mark.parametrize("case", ["save_dir", "video_out", "link", "url", "part"])
def test_the_video_is_never_overwritten(
    case: str, config: Path, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / (".x.part.mp4" if case == "part" else "x.mp4")
    shutil.copy(movie, source)
    (tmp_path / "link.mp4").symlink_to(source)
    flags = {
        "video_out": ["--video_out", str(tmp_path / "deep" / ".." / "x.mp4")],
        "link": ["--video_out", str(tmp_path / "link.mp4")],
        "part": ["--video_out", str(tmp_path / "x.mp4")],
    }
    (tmp_path / "deep").mkdir()
    given = f"file://{source}" if case == "url" else source
    assert infer(config, given, tmp_path, *flags.get(case, [])) == 2
    assert "would take the place of the video of --image_path" in capsys.readouterr().err
    assert source.read_bytes() == movie.read_bytes()


@pytest.mark.parametrize("name", ["x.mp4", "x.y4m"])
def test_an_older_film_stays_where_no_frame_was_written(name: str, tmp_path: Path) -> None:
    path, stale = tmp_path / name, tmp_path / f".x.part{Path(name).suffix}"
    path.write_bytes(b"older film")
    stale.write_bytes(b"of a run that was killed")
    with pytest.raises(DataError), open_film(str(path), rate=25, output=io.BytesIO()):
        raise DataError("no frame")
    assert path.read_bytes() == b"older film"
    assert not stale.exists()


@contextmanager
def small_disk() -> Iterator[None]:
    """No file can grow beyond 30 000 bytes, the log of the tests itself included."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".y4m"])
def test_a_full_disk_is_noticed(suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"older film")
    noise = np.random.default_rng(0).integers(0, 256, (40, 120, 160, 3)).astype(np.uint8)

    def write() -> None:
        with open_film(str(path), rate=RATE, output=io.BytesIO()) as sink:
            for frame in noise:
                sink.write(frame)

    with pytest.raises(OutputError, match=r"is the disk full\?|File too large"), small_disk():
        write()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"older film"


def test_a_film_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a file ending in \.mp4"):
        open_film(str(tmp_path / "x.gif"), rate=25, output=io.BytesIO()).__enter__()
    (tmp_path / "file").write_bytes(b"")
    for name in ("x.mp4", "x.y4m"):
        with pytest.raises(OutputError, match="cannot be written"):
            open_film(str(tmp_path / "file" / name), rate=25, output=io.BytesIO()).__enter__()
    assert not list(tmp_path.glob("*.gif"))


def _heed_ctrl_c() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_ctrl_c_leaves_a_whole_film(config: Path, root_dir: Path, tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "long.avi", count=3_000)
    out = tmp_path / "out"
    command = [sys.executable, "deploy/python/infer.py", "--config", str(config), "--image_path", str(movie)]
    command += ["--save_dir", str(out), "--engine", "onnxruntime", "--label_frames", "True"]
    process = subprocess.Popen(
        command, cwd=root_dir, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c
    )
    deadline = time.monotonic() + 60
    while not (out / "label/long/000020.png").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == "interrupted\n"
    assert sorted(path.name for path in out.iterdir()) == ["label", "long.mp4"]
    assert len(frames_of(out / "long.mp4")) >= 20


def test_the_video_module_keeps_opencv_quiet() -> None:
    before = video.opencv_log.getLogLevel()
    with pytest.raises(UsageError), open_video("98"):
        pass
    assert video.opencv_log.getLogLevel() == before

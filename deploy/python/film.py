"""Video with the classes laid over it: frames out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from deploy.python.engines.base import Output
from deploy.python.exported_model import ExportedModel, Prepared
from deploy.python.stopwatch import Stopwatch
from deploy.python.video import Frame, Video, quiet
from paddleseg.data.transforms import Sample
from paddleseg.engine.pipeline import Behind, ahead
from paddleseg.errors import OutputError, UsageError
from paddleseg.files import write_whole
from paddleseg.visualise import overlay, png_of

__all__ = ["Film", "open_film", "predict_video", "refuse_overwriting_video"]

_CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}


class Film(Protocol):
    """Takes frames."""

    def write(self, frame: Frame) -> None:
        """Appends a frame (H×W×3, blue green red)."""


def predict_video(
    model: ExportedModel,
    video: Video,
    film: Film,
    *,
    palette: npt.NDArray[np.uint8],
    batch_size: int,
    label_folder: Path | None,
    progress: bool,
    stopwatch: Stopwatch,
) -> int:
    """Predicts a video and writes it with the classes laid over.

    Args:
        model: The model.
        video: Frames in.
        film: Frames out: as many, except that a live source's are repeated where the model is slower, so that
            the film runs at its pace.
        palette: Colours by class id, 256×3 uint8.
        batch_size: Frames that go through the model together; of a live source always one.
        label_folder: Where class ids of each frame go, ``000001.png`` and so on; None for nowhere.
        progress: Whether to draw a progress bar.
        stopwatch: Takes the times.

    Returns:
        How many frames there were.

    Raises:
        DataError: No frame can be read, or the model was exported for a smaller size.
        OutputError: The film cannot be written.
    """
    size = 1 if video.is_live else batch_size
    writer = _Writer(model, video, film, palette, label_folder, stopwatch)
    reading = ahead(_prepare_all(model, video, stopwatch), count=size + 1)
    bar = tqdm(total=video.frame_count or None, desc="infer", unit="frame", disable=not progress)
    # One worker keeps the frames' order.
    with bar, contextlib.closing(reading), Behind(workers=1) as writing:
        while batch := list(islice(reading, size)):
            with stopwatch.stage("inference", images=len(batch)):
                outputs = model.run([prepared for _, prepared in batch])
            for (frame, prepared), output in zip(batch, outputs, strict=True):
                writing.call(writer.write, frame, prepared, output)
            bar.update(len(batch))
    return writer.count


class _Writer:
    """What becomes of a predicted frame."""

    def __init__(
        self,
        model: ExportedModel,
        video: Video,
        film: Film,
        palette: npt.NDArray[np.uint8],
        label_folder: Path | None,
        stopwatch: Stopwatch,
    ) -> None:
        self.count = 0
        self._model, self._video, self._film = model, video, film
        self._palette, self._label_folder, self._stopwatch = palette, label_folder, stopwatch
        self._written = 0
        self._start = time.monotonic()

    def write(self, frame: Frame, prepared: Prepared, output: Output) -> None:
        with self._stopwatch.stage("postprocess"):
            label = self._model.finish(output, prepared)
            # The palette turned round: the frame is blue green red.
            picture = overlay(frame, label, self._palette[:, ::-1])
            self.count += 1
            for _ in range(self._repeats()):
                self._film.write(picture)
                self._written += 1
            if self._label_folder is not None:
                write_whole(self._label_folder / f"{self.count:06d}.png", png_of(label))

    def _repeats(self) -> int:
        if not self._video.is_live:
            return 1
        due = int((time.monotonic() - self._start) * self._video.rate) + 1
        return max(1, due - self._written)


def _prepare_all(
    model: ExportedModel, video: Video, stopwatch: Stopwatch
) -> Iterator[tuple[Frame, Prepared]]:
    code = cv2.COLOR_BGR2RGB if model.img_channels == 3 else cv2.COLOR_BGR2GRAY
    for frame in video.frames():
        with stopwatch.stage("preprocess"):
            pixels = cv2.cvtColor(frame, code).reshape(*frame.shape[:2], -1).astype(np.float32)
            prepared = model.prepare(Sample(pixels, image_path=video.name))
        yield frame, prepared


@contextlib.contextmanager
def open_film(target: str, *, rate: float, output: IO[bytes]) -> Iterator[Film]:
    """Opens the film; when the block is left, also by Ctrl-C, the file is complete up to its last frame.

    An older film of that name stays where not one frame was written, or where the disk is full.

    Args:
        target: A file, whose suffix says the format, or ``-`` for YUV4MPEG2 on ``output``.
        rate: Frames a second.
        output: The standard output.

    Raises:
        UsageError: The suffix is of no format that can be written.
        OutputError: The file cannot be written.
    """
    if target == "-":
        yield _Y4m(output, rate)
        return
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix not in (*_CODECS, ".y4m"):
        raise UsageError(f"--video_out {target}: expected a file ending in {', '.join(_CODECS)}, .y4m, or -")
    part = _part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # of a run that was killed
        film = _Y4m(part.open("wb"), rate) if suffix == ".y4m" else _Encoded(part, _CODECS[suffix], rate)
        try:
            yield film
        finally:
            if film.close():
                part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _part_of(path: Path) -> Path:
    """Where a film is until it is complete."""
    return path.with_name(f".{path.stem}.part{path.suffix.lower()}")


def refuse_overwriting_video(image_path: str, target: str) -> None:
    """Makes sure that the film does not take the place of the video that it is made from.

    Args:
        image_path: The video, as the user gave it.
        target: The film.

    Raises:
        UsageError: It would.
    """
    source, film = Path(image_path.removeprefix("file://")), Path(target)
    for path in (film, _part_of(film)):
        if source.is_file() and path.is_file() and path.samefile(source):
            raise UsageError(
                f"the film {target} would take the place of the video of --image_path; choose another "
                "--save_dir or --video_out"
            )


class _Encoded:
    """A file written by OpenCV's encoders, which is opened with the first frame."""

    def __init__(self, path: Path, codec: str, rate: float) -> None:
        self._path, self._codec, self._rate = path, codec, rate
        self._writer: cv2.VideoWriter | None = None
        self._count = 0

    def write(self, frame: Frame) -> None:
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*self._codec)
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, frame.shape[1::-1])
            if not self._writer.isOpened():
                raise OutputError(
                    f"{self._path}: the film cannot be written; is the folder writable, and the format known "
                    "here (.avi always is)?"
                )
        self._writer.write(frame)
        self._count += 1

    def close(self) -> bool:
        """Completes the file, and tells whether there is one. OpenCV keeps quiet about a full disk."""
        if self._writer is None:
            return False
        self._writer.release()
        with quiet():
            capture = cv2.VideoCapture(str(self._path))
            found = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) if capture.isOpened() else 0
            capture.release()
        if found < self._count - 1:  # some formats hold times instead of a count, which are rounded
            raise OutputError(
                f"{self._path.parent}: only {found} of the film's {self._count} frames could be written "
                "there; is the disk full?"
            )
        return self._count > 0


class _Y4m:
    """Uncompressed frames that players and encoders read from a pipe."""

    def __init__(self, stream: IO[bytes], rate: float) -> None:
        self._stream, self._rate = stream, Fraction(rate).limit_denominator(1001)
        self._is_open = self._is_whole = False

    def write(self, frame: Frame) -> None:
        # Colours are stored for pairs of rows and columns.
        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        if not self._is_open:
            rate = f"{self._rate.numerator}:{self._rate.denominator}"
            self._stream.write(f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C420jpeg\n".encode())
            self._is_open = True
        planes = cv2.cvtColor(np.ascontiguousarray(frame[:height, :width]), cv2.COLOR_BGR2YUV_I420)
        self._is_whole = False
        self._stream.write(b"FRAME\n")
        self._stream.write(planes.tobytes())
        self._stream.flush()
        self._is_whole = True

    def close(self) -> bool:
        """Tells whether there are frames, and all of them whole."""
        self._stream.close()
        return self._is_whole

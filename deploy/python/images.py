"""Image files through an exported model: read ahead, run in batches, written behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from deploy.python.description import DeployDescription
from deploy.python.engines.base import Floats, Output
from deploy.python.exported_model import ExportedModel, Prepared
from deploy.python.stopwatch import Stopwatch
from paddleseg.data.images import read_pixels
from paddleseg.data.transforms import Sample
from paddleseg.engine.image_files import is_large
from paddleseg.engine.pictures import all_or_none, write_pictures
from paddleseg.engine.pipeline import Behind, ahead
from paddleseg.engine.predictor import ImageFile, PredictionFolders, preprocess
from paddleseg.errors import DataError, UsageError
from paddleseg.files import replace_file
from paddleseg.log import get_logger
from paddleseg.runtime import available_cores

__all__ = ["first_inputs", "predict_files", "refuse_overwriting"]

_logger = get_logger(__name__)
_MOST_WRITERS = 4


@dataclass(frozen=True)
class _Read:
    """An image that is ready for the model."""

    file: ImageFile
    pixels: npt.NDArray[np.uint8]
    prepared: Prepared


class _Failures:
    """Images that could not be predicted; each is logged once."""

    def __init__(self) -> None:
        self.files: list[ImageFile] = []

    def add(self, files: Sequence[ImageFile], error: Exception) -> None:
        for file in files:
            reason = (
                str(error)
                if isinstance(error, DataError)
                else f"{file.path}: {str(error).strip() or 'out of memory'}"
            )
            _logger.error(f"skipped: {reason}")
            self.files.append(file)


def predict_files(
    model: ExportedModel,
    files: Sequence[ImageFile],
    folders: PredictionFolders,
    *,
    batch_size: int,
    palette: npt.NDArray[np.uint8],
    progress: bool,
    stopwatch: Stopwatch,
) -> list[ImageFile]:
    """Predicts images and writes four pictures for each; a bad image is reported and the rest go on.

    Images are read ahead; one of more than 8 million pixels is read when all before it is written, and goes
    alone.

    Args:
        model: The model.
        files: What to predict.
        folders: Where the pictures go: the three of ``predict.py``, and ``<save_dir>/<name>.png``.
        batch_size: Images of one transformed size that go through the model together, at most.
        palette: Colours by class id, 256×3 uint8.
        progress: Whether to draw a progress bar.
        stopwatch: Takes the times.

    Returns:
        The images that failed.

    Raises:
        OutputError: A picture cannot be written.
        WeightsError: The model's output is not numbers.
    """
    failures = _Failures()
    names = _top_names(files, folders)
    bar = tqdm(total=len(files), desc="infer", unit="image", disable=not progress)
    read = partial(_read, model, failures, stopwatch)
    reading = ahead(_read_small(files, read), count=2 * batch_size)
    with bar, contextlib.closing(reading), Behind(workers=min(_MOST_WRITERS, available_cores())) as writing:

        def read_alone(file: ImageFile) -> list[_Read]:
            writing.wait()
            return read(file)

        def predict(batch: list[_Read]) -> None:
            try:
                with stopwatch.stage("inference", images=len(batch)):
                    outputs = model.run([one.prepared for one in batch])
            except (DataError, MemoryError) as error:
                failures.add([one.file for one in batch], error)
            else:
                for one, output in zip(batch, outputs, strict=True):
                    writing.call(_write, model, one, output, palette, folders, names[one.file], stopwatch)

        for batch in _batches(reading, batch_size, read_alone):
            predict(batch)
            bar.update(len(batch))
            batch.clear()  # the next image may be large
    return failures.files


def first_inputs(description: DeployDescription, files: Sequence[ImageFile], *, count: int) -> list[Floats]:
    """Transforms the first images, for the trial of the engines.

    Args:
        description: The model.
        files: The images; those that cannot be read are left out, to be reported when their turn comes.
        count: How many.

    Returns:
        For each, 1×C×h×w.
    """
    inputs = []
    for file in files[:count]:
        with contextlib.suppress(DataError, MemoryError, cv2.error):
            pixels = read_pixels(str(file.path), description.input_shape[1])
            inputs.append(preprocess(Sample(pixels), description.transforms)[0][:])
    return inputs


def _read_small(
    files: Iterable[ImageFile], read: Callable[[ImageFile], list[_Read]]
) -> Iterator[_Read | ImageFile]:
    """The images, but for large ones their files alone."""
    for file in files:
        if is_large(file.path):
            yield file
        else:
            yield from read(file)


def _read(model: ExportedModel, failures: _Failures, stopwatch: Stopwatch, file: ImageFile) -> list[_Read]:
    """The image; none where it is bad."""
    try:
        with stopwatch.stage("preprocess"):
            pixels = read_pixels(str(file.path), model.img_channels)
            return [_Read(file, pixels, model.prepare(Sample(pixels, image_path=str(file.path))))]
    except (DataError, MemoryError, cv2.error) as error:
        failures.add([file], error)
        return []


def _batches(
    items: Iterable[_Read | ImageFile], size: int, read_alone: Callable[[ImageFile], list[_Read]]
) -> Iterator[list[_Read]]:
    """Groups images of one transformed size; one of a rare size waits for no more than ``size`` others.

    Whoever is given a group clears it; before an image that is read alone all others are given.
    """
    groups: dict[tuple[int, ...], list[_Read]] = {}
    for item in items:
        if isinstance(item, ImageFile):
            while groups:
                yield groups.pop(next(iter(groups)))
            yield from filter(None, [read_alone(item)])
            continue
        group = groups.setdefault(item.prepared.size, [])
        group.append(item)
        if len(group) == size:
            yield groups.pop(item.prepared.size)
        elif sum(map(len, groups.values())) > size:
            yield groups.pop(next(iter(groups)))
    yield from groups.values()


def _write(
    model: ExportedModel,
    one: _Read,
    output: Output,
    palette: npt.NDArray[np.uint8],
    folders: PredictionFolders,
    top_name: str,
    stopwatch: Stopwatch,
) -> None:
    with stopwatch.stage("postprocess"), all_or_none() as written:
        label = model.finish(output, one.prepared)
        written += write_pictures(one.pixels, label, palette, folders, name=one.file.name)
        painted = folders.pseudo_color / f"{one.file.name}.png"
        # Read inside, so that a disk that fails at it is told as one that cannot be written.
        replace_file(
            folders.save_dir / f"{top_name}.png", lambda part: part.write_bytes(painted.read_bytes())
        )


def _top_names(files: Sequence[ImageFile], folders: PredictionFolders) -> dict[ImageFile, str]:
    """Names directly below the folder of results; images in a folder called ``label`` keep out of ours."""
    ours = {folders.label.name, folders.pseudo_color.name, folders.added.name}
    firsts = {Path(file.name).parts[0] for file in files}
    renamed = {name: f"{name}_images" for name in ours & firsts}
    while set(renamed.values()) & firsts:
        renamed = {name: f"{new}_" for name, new in renamed.items()}
    names = {}
    for file in files:
        first, *rest = Path(file.name).parts
        names[file] = str(Path(renamed.get(first, first), *rest)) if rest else first
    return names


def refuse_overwriting(files: Sequence[ImageFile], folders: PredictionFolders) -> None:
    """Makes sure that no result takes the place of an image that is to be predicted.

    Args:
        files: The images.
        folders: Where the pictures go.

    Raises:
        UsageError: One would.
    """
    images = {file.path.resolve() for file in files}
    for file, name in _top_names(files, folders).items():
        targets = [folders.save_dir / name]
        targets += [folder / file.name for folder in (folders.label, folders.pseudo_color, folders.added)]
        for target in targets:
            picture = target.with_name(f"{target.name}.png")
            if picture.resolve() in images:
                raise UsageError(
                    f"--save_dir {folders.save_dir}: the result {picture} would take the place of an image "
                    "of --image_path; choose another folder"
                )

"""Predicts images: reads ahead, runs the model, writes three pictures for each behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from paddleseg.data.image_parts import ImageParts
from paddleseg.data.images import read_pixels
from paddleseg.data.transforms import Compose, Sample, Undo, refuse_training_transforms
from paddleseg.engine.image_files import ImageFile, find_images, is_large
from paddleseg.engine.pictures import PredictionFolders, pictures_of, write_pictures
from paddleseg.engine.pipeline import Behind, ahead
from paddleseg.errors import ConfigError, DataError
from paddleseg.inference import ImageSource, InferenceOptions, Labels, Predict, infer_labels
from paddleseg.log import get_logger
from paddleseg.runtime import available_cores

__all__ = [
    "ImageFile",
    "PredictionFolders",
    "PreparedImage",
    "find_images",
    "label_of_prepared",
    "pictures_of",
    "predict_images",
    "predict_label",
    "prepare_image",
    "preprocess",
    "takes_parts",
]

_MOST_WRITERS = 4
_logger = get_logger(__name__)


@dataclass(frozen=True)
class PreparedImage:
    """An image on its way to the model.

    Attributes:
        batch: 1×C×h×w, transformed.
        undo: The geometric steps to undo afterwards.
    """

    batch: ImageSource
    undo: list[Undo]


@dataclass(frozen=True)
class _Read:
    """An image that is ready for the model."""

    pixels: npt.NDArray[np.uint8]
    prepared: Any


@dataclass
class _Run:
    """What the steps of a prediction share; failures come from several threads."""

    folders: PredictionFolders
    img_channels: int
    palette: npt.NDArray[np.uint8]
    prepare: Callable[[Sample], Any]
    failed: set[ImageFile] = field(default_factory=set)

    @contextlib.contextmanager
    def skipping(self, file: ImageFile) -> Iterator[None]:
        """Reports what is wrong with an image, and goes on."""
        try:
            yield
        except DataError as error:
            _logger.error(f"skipped: {error}")
            self.failed.add(file)
        except (MemoryError, cv2.error) as error:
            _logger.error(f"skipped: {file.path}: {str(error).strip() or 'out of memory'}")
            self.failed.add(file)

    def read(self, file: ImageFile) -> _Read | None:
        with self.skipping(file):
            pixels = read_pixels(str(file.path), self.img_channels)
            return _Read(pixels, self.prepare(Sample(pixels, image_path=str(file.path))))
        return None

    def write(self, file: ImageFile, pixels: npt.NDArray[np.uint8], label: Labels) -> None:
        with self.skipping(file):
            write_pictures(pixels, label, self.palette, self.folders, name=file.name)


def predict_images(
    label_of: Callable[[Any], Labels],
    images: Sequence[ImageFile],
    folders: PredictionFolders,
    *,
    img_channels: int,
    palette: npt.NDArray[np.uint8],
    progress: bool,
    prepare: Callable[[Sample], Any] | None = None,
) -> list[ImageFile]:
    """Writes three pictures for each image; an image that cannot be read is reported and the rest go on.

    One thread reads and prepares the next image while the model has this one, others write. An image of more
    than 8 million pixels is read when all before it is written, and the image after it meanwhile if it is not
    as large.

    Args:
        label_of: From what ``prepare`` gives to class ids H×W.
        images: What to predict.
        folders: Where the pictures go.
        img_channels: 3 for colour, 1 for grey.
        palette: Colours by class id, 256×3 uint8.
        progress: Whether to draw a progress bar.
        prepare: What a sample (H×W×C uint8) goes through before ``label_of``; nothing by default.

    Returns:
        The images that failed, in their order.

    Raises:
        ConfigError: The transforms are those of training.
        OutputError: A picture cannot be written.
        WeightsError: The model's output is not numbers.
    """
    run = _Run(folders, img_channels, palette, prepare or (lambda sample: sample))
    # A large image is read when all before it is done.
    reading = ahead(_read_all(run, images), count=1)
    with contextlib.closing(reading), Behind(workers=min(_MOST_WRITERS, available_cores())) as writing:
        bar = tqdm(reading, total=len(images), desc="predict", unit="image", disable=not progress)
        for file, read in bar:
            if read is not None:
                with run.skipping(file):
                    writing.call(run.write, file, read.pixels, label_of(read.prepared))
            elif file not in run.failed:
                writing.wait()
                _predict_alone(run, file, label_of)
    return [image for image in images if image in run.failed]


def _read_all(run: _Run, images: Sequence[ImageFile]) -> Iterator[tuple[ImageFile, _Read | None]]:
    """Each image, read where it did not fail and is not large."""
    for file in images:
        yield file, None if is_large(file.path) else run.read(file)


def _predict_alone(run: _Run, file: ImageFile, label_of: Callable[[Any], Labels]) -> None:
    read = run.read(file)
    if read is not None:
        with run.skipping(file):
            label = label_of(read.prepared)
            run.write(file, read.pixels, label)


def predict_label(
    image: Sample, *, predict: Predict, transforms: Compose, options: InferenceOptions
) -> Labels:
    """Class ids of one image at its own size.

    Args:
        image: Pixels H×W×C, uint8 or float32, 0..255.
        predict: The model as a function on arrays.
        transforms: Those of evaluation.
        options: Sliding window, scales, flips.

    Returns:
        H×W uint8, or uint16 above 256 classes.
    """
    return label_of_prepared(prepare_image(image, transforms, options), predict=predict, options=options)


def prepare_image(image: Sample, transforms: Compose, options: InferenceOptions) -> PreparedImage:
    """The part of :func:`predict_label` before the model.

    Args:
        image: Pixels H×W×C, uint8 or float32, 0..255.
        transforms: Those of evaluation.
        options: Sliding window, scales, flips.
    """
    return PreparedImage(*preprocess(image, transforms, in_parts=takes_parts(options)))


def label_of_prepared(image: PreparedImage, *, predict: Predict, options: InferenceOptions) -> Labels:
    """The part of :func:`predict_label` from the model on.

    Args:
        image: Of :func:`prepare_image`.
        predict: The model as a function on arrays.
        options: Those that it was prepared for.

    Returns:
        H×W uint8, or uint16 above 256 classes.
    """
    return infer_labels(predict, image.batch, options, image.undo)


def takes_parts(options: InferenceOptions) -> bool:
    """Whether no more than a window of an image is needed at a time."""
    return options.is_slide and not options.is_augmented


def preprocess(
    image: Sample, transforms: Compose, *, in_parts: bool = False
) -> tuple[ImageSource, list[Undo]]:
    """Runs the transforms of evaluation.

    Args:
        image: Pixels H×W×C, uint8 or float32, 0..255.
        transforms: Without randomness.
        in_parts: Normalise a part when it is asked for; the whole is never held in float32, unless a
            transform other than the Normalize at the end needs it.

    Returns:
        1×C×h×w float32, and the geometric steps to undo afterwards.

    Raises:
        ConfigError: A prediction could not be brought back through them.
    """
    try:
        refuse_training_transforms(transforms, "in prediction")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    steps, last = transforms.split_normalize()
    # The generator is what the signature of transforms asks for; evaluation draws no random numbers.
    sample = steps(image, np.random.default_rng(0))
    parts = ImageParts.of(sample, last)
    return (parts if in_parts else parts[:]), sample.undo

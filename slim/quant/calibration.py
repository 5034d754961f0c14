"""Pictures as a network sees them, for the ranges of its activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onnxruntime.quantization import CalibrationDataReader

from deploy.python.description import DeployDescription
from deploy.python.engines.base import Floats, Output
from deploy.python.exported_model import ExportedModel
from paddleseg.data.images import read_image
from paddleseg.data.transforms import Sample
from paddleseg.engine.predictor import ImageFile, find_images
from paddleseg.errors import UsageError

__all__ = ["CalibrationPictures", "find_pictures", "spread"]


class CalibrationPictures(CalibrationDataReader):
    """Gives the batches that an engine would be given for the pictures, one picture in memory at a time.

    Args:
        description: The model: its transforms, and its input's size where that is fixed.
        images: The pictures.
        input_name: Name of the network's input.

    Raises:
        DataError: While reading: a picture is unreadable, or does not fit a model of a fixed size.
    """

    def __init__(
        self, description: DeployDescription, images: Sequence[ImageFile], *, input_name: str
    ) -> None:
        self._images = images
        self._input_name = input_name
        self._recorder = _Recorder(description.output_op)
        self._model = ExportedModel(description, self._recorder)
        self.set_range(0, len(images))

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Starts again with some of the pictures."""
        self._batches = self._read(self._images[start_index:end_index])

    def get_next(self) -> dict[str, Floats] | None:
        """Returns the next batch by the input's name, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {self._input_name: batch}

    def _read(self, images: Sequence[ImageFile]) -> Iterator[Floats]:
        for image in images:
            pixels = read_image(str(image.path), self._model.img_channels)
            self._model.run([self._model.prepare(Sample(pixels, image_path=str(image.path)))])
            yield from self._recorder.take()


class _Recorder:
    """An engine that keeps what it is given. So batches are padded and cut as they are in prediction."""

    name = "recorder"

    def __init__(self, output_op: str) -> None:
        self._classes = () if output_op == "argmax" else (1,)
        self._batches: list[Floats] = []

    def run(self, batch: Floats) -> Output:
        self._batches.append(batch)
        return np.ones((len(batch), *self._classes, *batch.shape[2:]), dtype=np.float32)

    def take(self) -> list[Floats]:
        """Returns what was given since the last call."""
        batches, self._batches = self._batches, []
        return batches


def find_pictures(calibration: str) -> list[ImageFile]:
    """Finds the calibration pictures.

    Args:
        calibration: A picture, a folder, a list file or a glob, as for ``--image_path`` of infer.py.

    Raises:
        UsageError: There is none.
    """
    try:
        return find_images(calibration)
    except UsageError as error:
        raise UsageError(str(error).replace("--image_path", "--calibration", 1)) from error


def spread(images: Sequence[ImageFile], count: int) -> tuple[list[ImageFile], list[ImageFile]]:
    """Picks pictures at equal distances: neighbours in a folder are often frames of one video.

    Args:
        images: In a stable order.
        count: How many at most.

    Returns:
        Those picked, and the others.
    """
    picked = set(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int).tolist())
    chosen = [image for index, image in enumerate(images) if index in picked]
    return chosen, [image for index, image in enumerate(images) if index not in picked]

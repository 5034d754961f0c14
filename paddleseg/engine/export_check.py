"""Whether exported files compute what the trained model computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import paddle
from paddle import nn

from paddleseg.build import build_dataset
from paddleseg.config.config import Config
from paddleseg.data.transforms import Compose
from paddleseg.data.transforms.functional import to_batch_of_one
from paddleseg.errors import ConfigError, PaddleSegError
from paddleseg.inference import softmax

__all__ = [
    "Agreement",
    "ExportError",
    "Floats",
    "Outcome",
    "OutputOp",
    "Probe",
    "Run",
    "compare",
    "first_pictures",
    "make_probes",
]

OutputOp = Literal["argmax", "softmax", "none"]
Floats = npt.NDArray[np.float32]

_RANDOM_SIZES = ((128, 192), (97, 161))
_LARGEST_SIDE = 512
_PICTURES = 3
# Of the largest output. A ResNet101 with random weights, whose activations grow, needs 3e-4.
_TOLERANCE = 5e-4
_EQUAL_LABELS = 0.9999


class ExportError(PaddleSegError):
    """A model cannot be exported, or the files do not agree with the trained model."""


@dataclass(frozen=True)
class Outcome:
    """What exported files compute for an image.

    Attributes:
        scores: N×K×H×W float32 logits; probabilities where the files end in softmax.
        labels: N×H×W class ids, the files' own where they end in argmax.
    """

    scores: Floats
    labels: npt.NDArray[np.integer]


Run = Callable[[Floats], Outcome]


@dataclass(frozen=True)
class Probe:
    """An image on which exported files are compared.

    Attributes:
        name: What it is, for the log.
        image: N×C×H×W float32, transformed.
        scores: What the trained model makes of it: N×K×H×W logits or probabilities.
    """

    name: str
    image: Floats
    scores: Floats

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.image.shape[2:]
        return height, width


@dataclass(frozen=True)
class Agreement:
    """How exported files compare with the trained model on one image.

    Attributes:
        format: ``"paddle"``, ``"legacy"`` or ``"onnx"``.
        image: What was compared: a random image or a picture.
        size: Its height and width in pixels.
        difference: Largest difference of logits; of probabilities where the files end in softmax.
        largest: Largest magnitude of the trained model's, which the difference is to be seen against.
        equal_labels: Share of pixels with the same class.
    """

    format: str
    image: str
    size: tuple[int, int]
    difference: float
    largest: float
    equal_labels: float


def make_probes(
    model: nn.Layer,
    shape: Sequence[int | None],
    *,
    output_op: OutputOp,
    pictures: Sequence[Floats] = (),
) -> list[Probe]:
    """Runs the trained model on random images and on pictures.

    Args:
        model: Trained network in evaluation mode.
        shape: N, C, H, W of the export; None for any.
        output_op: What the exported files return.
        pictures: C×H×W float32, transformed. The middle of a large one is enough; one for fixed sizes is cut
            or filled up with zeros.

    Raises:
        ExportError: The model's output is not numbers.
    """
    generator = np.random.default_rng(0)
    batch, channels, *sides = shape
    assert channels is not None, "convolutions have a fixed number of channels"
    images = [
        ("random image", generator.standard_normal((batch or 2, channels, *size), dtype=np.float32))
        for size in dict.fromkeys((sides[0] or high, sides[1] or wide) for high, wide in _RANDOM_SIZES)
    ]
    for number, picture in enumerate(pictures, 1):
        fitted = _fit(picture, sides)
        images.append((f"picture {number}", np.repeat(fitted[None], batch or 1, axis=0)))
    return [Probe(name, image, _expected(model, image, output_op)) for name, image in images]


def _fit(picture: Floats, sides: Sequence[int | None]) -> Floats:
    for axis, side in enumerate(sides, 1):
        length = picture.shape[axis]
        wanted = side or min(length, _LARGEST_SIDE)
        start = max(0, (length - wanted) // 2)
        picture = picture.take(range(start, min(length, start + wanted)), axis=axis)
        missing = [(0, wanted - picture.shape[axis] if i == axis else 0) for i in range(3)]
        picture = np.pad(picture, missing)
    return picture


def _expected(model: nn.Layer, image: Floats, output_op: OutputOp) -> Floats:
    with paddle.no_grad():
        scores: Floats = model(paddle.to_tensor(image))[0].numpy()
    if not np.isfinite(scores).all():
        raise ExportError(
            "the trained model's output is not numbers (nan or infinite): its weights are damaged, or its "
            "training diverged; export an earlier checkpoint (nothing was written)"
        )
    return softmax(scores) if output_op == "softmax" else scores


def compare(run: Run, probes: Sequence[Probe], *, file_format: str) -> list[Agreement]:
    """Compares exported files with the trained model.

    Args:
        run: The files as a function.
        probes: Images, and what the trained model makes of them.
        file_format: Name of the format, for messages.

    Raises:
        ExportError: They disagree on one of the images.
    """
    return [_agreement(run(probe.image), probe, file_format) for probe in probes]


def _agreement(outcome: Outcome, probe: Probe, file_format: str) -> Agreement:
    where = f"the exported model (format {file_format}) disagrees with the trained one on a {probe.name} of "
    where += f"{probe.size[0]}×{probe.size[1]}"
    labels = probe.scores.argmax(axis=1)
    if outcome.scores.shape != probe.scores.shape or outcome.labels.shape != labels.shape:
        raise ExportError(
            f"{where}: output shapes {outcome.scores.shape} and {outcome.labels.shape}, expected "
            f"{probe.scores.shape} and {labels.shape}; nothing was written"
        )
    difference = float(np.abs(outcome.scores - probe.scores).max())
    largest = float(np.abs(probe.scores).max())
    tolerance = _TOLERANCE * max(1.0, largest)
    equal = int(np.count_nonzero(outcome.labels == labels))
    # A near-tie may fall either way, so one pixel may differ in the smallest image too.
    enough = min(_EQUAL_LABELS * labels.size, labels.size - 1)
    share = equal / labels.size
    # Written so that a NaN counts as disagreement.
    if not (difference <= tolerance and equal >= enough):
        raise ExportError(
            f"{where}: largest difference {difference:.2g} (expected at most {tolerance:.2g}), equal labels "
            f"{share:.4%} (expected at least {_EQUAL_LABELS:.2%}); nothing was written"
        )
    return Agreement(file_format, probe.name, probe.size, difference, largest, share)


def first_pictures(config: Config, transforms: Compose) -> list[Floats]:
    """Reads the first pictures of ``val_dataset`` as the deployed model will get them.

    Args:
        config: Checked configuration.
        transforms: Those of the deployed model.

    Returns:
        Up to three, C×H×W float32.

    Raises:
        DataError: The data are not there, or a picture is damaged.
        ConfigError: There is no ``val_dataset``.
    """
    if config.tree.get("val_dataset") is None:
        raise ConfigError("there is no val_dataset")
    dataset: Any = build_dataset(config, "val")
    pictures = []
    for index in range(min(_PICTURES, len(dataset))):
        sample = transforms(replace(dataset.load(index), label=None), np.random.default_rng(0))
        pictures.append(to_batch_of_one(sample.image)[0])
    return pictures

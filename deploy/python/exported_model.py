"""From images to labels with an exported model, on any engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from deploy.python.description import DeployDescription
from deploy.python.engines.base import Engine, Floats, Output
from paddleseg.data.transforms import Sample, Undo
from paddleseg.engine.predictor import preprocess, takes_parts
from paddleseg.errors import DataError, UsageError
from paddleseg.inference import (
    ImageSource,
    InferenceOptions,
    infer_labels,
    infer_logits,
    to_labels,
    undo_labels,
    undo_transforms,
)

__all__ = ["ExportedModel", "Labels", "Prepared"]

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_OVERLAP = 4  # windows overlap by one part in so many


@dataclass(frozen=True)
class Prepared:
    """An image on its way to the model.

    Attributes:
        batch: 1×C×h×w float32, transformed; for sliding windows made window by window.
        undo: The geometric steps to undo afterwards.
        image_path: Where it came from, for messages.
    """

    batch: ImageSource
    undo: list[Undo]
    image_path: str = ""

    @property
    def size(self) -> tuple[int, ...]:
        """C, h and w: images that are equal in it can share a batch."""
        return self.batch.shape[1:]


class ExportedModel:
    """A model written by ``export.py``.

    Args:
        description: What deploy.yaml says.
        engine: Runs it.
        options: Sliding windows, scales and flips; they need a model that ends in logits or probabilities.

    Raises:
        UsageError: The options need more than class ids, and the model gives no more.
    """

    def __init__(
        self,
        description: DeployDescription,
        engine: Engine,
        *,
        options: InferenceOptions = InferenceOptions(),  # noqa: B008 (frozen)
    ) -> None:
        if description.output_op == "argmax" and (options.is_slide or options.is_augmented):
            raise _needs_scores(description)
        self.description = description
        self.engine = engine
        self._options = options
        self._shape = description.input_shape

    @property
    def img_channels(self) -> int:
        """Channels that the model takes: 3 (RGB) or 1 (grey)."""
        return self._shape[1]

    def label_of(self, image: Sample) -> Labels:
        """Class ids of one image: see :meth:`labels_of`."""
        return self.labels_of([image])[0]

    def labels_of(self, images: Sequence[Sample]) -> list[Labels]:
        """Class ids of images; those of equal size after the transforms go through the model together.

        Args:
            images: Pixels H×W×C, uint8 or float32, 0..255; as many as fit into memory at once.

        Returns:
            For each image, in their order, H×W uint8 (uint16 above 256 classes) at its own size.

        Raises:
            DataError: The model was exported for another size.
            WeightsError: The model's output is not numbers.
        """
        prepared = [self.prepare(image) for image in images]
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, one in enumerate(prepared):
            groups.setdefault(one.size, []).append(index)
        labels: dict[int, Labels] = {}
        for indices in groups.values():
            outputs = self.run([prepared[index] for index in indices])
            for index, output in zip(indices, outputs, strict=True):
                labels[index] = self.finish(output, prepared[index])
        return [labels[index] for index in range(len(images))]

    def prepare(self, image: Sample) -> Prepared:
        """Runs the transforms.

        Args:
            image: Pixels H×W×C, uint8 or float32, 0..255.

        Raises:
            DataError: The model was exported for a smaller size and gives class ids only.
        """
        batch, undo = preprocess(image, self.description.transforms, in_parts=True)
        prepared = Prepared(batch, undo, image.image_path)
        in_windows = _is_labelled_in_windows(prepared, self._options_for(prepared))
        return prepared if in_windows else replace(prepared, batch=batch[:])

    def run(self, prepared: Sequence[Prepared]) -> list[Output]:
        """Runs the model over transformed images of one size.

        Args:
            prepared: At least one.

        Returns:
            For each image, class ids (1×h×w) or scores (1×K×h×w) at its transformed size.
        """
        options = self._options_for(prepared[0])
        if all(_is_labelled_in_windows(one, options) for one in prepared):
            return [infer_labels(self._scores, one.batch, options)[np.newaxis] for one in prepared]
        batches = [one.batch[:] for one in prepared]
        batch = np.concatenate(batches) if len(batches) > 1 else batches[0]
        if options.is_slide or options.is_augmented:
            output: Output = infer_logits(self._scores, batch, options)
        else:
            output = self._run_any(batch)
            if self._are_probabilities(output) and any(
                step.kind == "resize" for one in prepared for step in one.undo
            ):
                output = _logarithms(output)
        return np.split(output, len(prepared))

    def finish(self, output: Output, prepared: Prepared) -> Labels:
        """Brings an output back to the image's own size.

        Args:
            output: One of :meth:`run`.
            prepared: The image that it belongs to.

        Returns:
            H×W class ids.
        """
        if output.ndim == 4:
            return to_labels(undo_transforms(output, prepared.undo))
        classes = self.description.num_classes or int(output.max()) + 1
        label = output[0].astype(np.uint8 if classes <= 256 else np.uint16)
        return cast(Labels, undo_labels(label, prepared.undo))

    def _options_for(self, prepared: Prepared) -> InferenceOptions:
        """Windows of the model's size for an image that is larger, as given or scaled up."""
        options, size = self._options, prepared.size[1:]
        largest = [int(length * max(options.scales) + 0.5) for length in size]
        fixed = self._fixed(largest)
        if options.is_slide or all(have <= most for have, most in zip(largest, fixed, strict=True)):
            return options
        height, width = fixed
        if self.description.output_op == "argmax":
            raise DataError(
                f"{prepared.image_path}: after the transforms it has {size[1]}×{size[0]} pixels, the model "
                f"was exported for {width}×{height}; export it with --output_op none for sliding windows, or "
                "without --input_shape for any size, or add a Resize to the transforms in "
                f"{self.description.path}"
            )
        stride = [length - length // _OVERLAP for length in (width, height)]
        return replace(options, is_slide=True, crop_size=(width, height), stride=stride)

    def _fixed(self, size: Sequence[int]) -> list[int]:
        """Height and width that the model takes for an image."""
        return [n if n != -1 else length for n, length in zip(self._shape[2:], size, strict=True)]

    def _scores(self, batch: Floats) -> Floats:
        """The model as a function that windows, scales and flips can average over."""
        output = self._run_any(batch)
        if output.ndim == 3:
            raise _needs_scores(self.description)
        # Up to a number for each pixel, logarithms of probabilities are the logits.
        return _logarithms(output) if self._are_probabilities(output) else output

    def _are_probabilities(self, output: Output) -> bool:
        return output.ndim == 4 and self.description.output_op == "softmax"

    def _run_any(self, batch: Floats) -> Output:
        """Runs a batch of any number of images, padded to the model's size where it has one."""
        count, _, height, width = batch.shape
        fixed_count = count if self._shape[0] == -1 else self._shape[0]
        wanted = self._fixed((height, width))
        if wanted[0] < height or wanted[1] < width:
            raise UsageError(
                f"windows of {width}×{height}: the model was exported for {wanted[1]}×{wanted[0]}; use "
                f"--crop_size {wanted[1]} {wanted[0]}"
            )
        outputs = []
        for start in range(0, count, fixed_count):
            part = batch[start : start + fixed_count]
            padding = [fixed_count - len(part), 0, wanted[0] - height, wanted[1] - width]
            if any(padding):
                value = self.description.padding_value
                part = np.pad(part, [(0, n) for n in padding], constant_values=value)
            outputs.append(self.engine.run(np.ascontiguousarray(part))[..., :height, :width])
        output = np.concatenate(outputs) if len(outputs) > 1 else outputs[0]
        return output[:count]


def _is_labelled_in_windows(prepared: Prepared, options: InferenceOptions) -> bool:
    """Whether labels come out of the windows, because no step needs the scores of the whole image."""
    return takes_parts(options) and not any(step.kind == "resize" for step in prepared.undo)


def _needs_scores(description: DeployDescription) -> UsageError:
    return UsageError(
        f"{description.path}: the model ends in argmax, but sliding windows, scales and flips average "
        "scores; export it with --output_op none"
    )


def _logarithms(probabilities: Output) -> Floats:
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))

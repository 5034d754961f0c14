"""Batches for training and single items for evaluation, the same for any number of worker processes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import paddle

from paddleseg.data.batch_reader import BatchReader, Keys
from paddleseg.data.datasets.base import SampleKey, SegmentationDataset
from paddleseg.data.image_parts import ImageParts
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.data.transforms import functional
from paddleseg.data.transforms.photometric import Normalize
from paddleseg.data.transforms.sample import ByteImage, LabelArray, PixelArray, Sample, Undo
from paddleseg.errors import DataError

__all__ = [
    "EvalItem",
    "EvalLoader",
    "TrainBatch",
    "TrainBatchSampler",
    "TrainLoader",
    "make_eval_loader",
    "make_train_loader",
]


@dataclass(frozen=True)
class TrainBatch:
    """One micro-step's input on the current device.

    Attributes:
        images: [N, C, H, W] float32.
        labels: [N, H, W] int64.
        paths: The image files, for messages.
        skipped: One message a bad sample that another took the place of.
    """

    images: paddle.Tensor
    labels: paddle.Tensor
    paths: list[str]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvalItem:
    """One image to evaluate or predict.

    Attributes:
        image: [1, C, H, W] float32, transformed; it is held as bytes and normalised where it is asked for:
            ``image[:]`` is all of it.
        label: [H, W] class ids at the original size, uint8 where the file has 8 bits, else int32; None where
            there is none.
        undo: The geometric steps that the image went through.
        image_path: The image file.
        index: Its place in the data set.
    """

    image: ImageParts
    label: LabelArray | None
    undo: list[Undo]
    image_path: str
    index: int


class TrainLoader:
    """Iterates over :class:`TrainBatch`; made by :func:`make_train_loader`."""

    def __init__(
        self, sampler: TrainBatchSampler, reader: BatchReader[_TrainArrays], normalize: Normalize | None
    ) -> None:
        self._sampler = sampler
        self._reader = reader
        self._normalize = None if normalize is None else BatchNormalize(normalize)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[TrainBatch]:
        with contextlib.closing(self._reader.read(self._sampler)) as batches:
            for arrays, skipped in batches:
                images = _images_of(arrays, self._normalize)
                # Labels travel as bytes where these hold them, at an eighth of the cost.
                labels = paddle.to_tensor(arrays.labels).astype("int64")
                yield TrainBatch(images, labels, arrays.paths, skipped)


class EvalLoader:
    """Iterates over :class:`EvalItem` in order; made by :func:`make_eval_loader`."""

    def __init__(self, indices: Sequence[int], reader: BatchReader[EvalItem]) -> None:
        self._indices = indices
        self._reader = reader

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[EvalItem]:
        keys = ([SampleKey(index, (0, index))] for index in self._indices)
        with contextlib.closing(self._reader.read(keys)) as items:
            for item, _ in items:
                yield item


def make_train_loader(
    dataset: SegmentationDataset,
    sampler: TrainBatchSampler,
    num_workers: int = 0,
    *,
    on_bad_sample: Literal["stop", "skip"] = "stop",
    worker_timeout: float = 300.0,
) -> TrainLoader:
    """Loads the sampler's batches, in its order.

    Args:
        dataset: In mode train; its transforms must bring all images to one size.
        sampler: Says which samples.
        num_workers: Processes that load; 0 loads in this one, where a crash or standstill cannot be helped.
        on_bad_sample: ``"stop"`` raises; ``"skip"`` takes the data set's next good sample (by rank, the
            rank's next) instead of one that has a wrong file, or that kills or blocks its worker. Errors of
            another kind, such as a bug in a transform, are always raised.
        worker_timeout: Seconds at one sample after which a worker counts as hung.

    Raises:
        DataError: While iterating: a file is wrong, a worker died or hangs, too many samples in a row are
            bad, or the images of a batch differ in size.
    """
    unnormalised, normalize = dataset.split_normalize()
    reader = BatchReader(
        unnormalised,
        functools.partial(_collate_train, normalize=normalize),
        num_workers=num_workers,
        worker_timeout=worker_timeout,
        skip_bad=on_bad_sample == "skip",
        stride=sampler.world_size if sampler.by_rank else 1,
    )
    return TrainLoader(sampler, reader, normalize)


def make_eval_loader(
    dataset: SegmentationDataset,
    num_workers: int = 0,
    indices: Sequence[int] | None = None,
    *,
    worker_timeout: float = 300.0,
) -> EvalLoader:
    """Loads single items in order, into host memory; none is ever skipped.

    Args:
        dataset: In mode val or test.
        num_workers: Processes that load; 0 loads in this one.
        indices: Which samples; all by default.
        worker_timeout: Seconds at one sample after which a worker counts as hung.

    Raises:
        DataError: While iterating: a file is wrong, or a worker died or hangs.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    unnormalised, normalize = dataset.split_normalize()
    reader = BatchReader(
        unnormalised,
        functools.partial(_collate_eval, normalize=normalize),
        num_workers=num_workers,
        worker_timeout=worker_timeout,
        skip_bad=False,
    )
    return EvalLoader(chosen, reader)


@dataclass(frozen=True)
class _TrainArrays:
    """A batch as it comes from a worker.

    Attributes:
        images: [N, H, W, C] uint8, yet to be normalised; or [N, C, H, W] float32, final.
        labels: [N, H, W].
        paths: The image files.
    """

    images: PixelArray
    labels: LabelArray
    paths: list[str]


def _collate_train(keys: Keys, samples: list[Sample], normalize: Normalize | None) -> _TrainArrays:
    for sample in samples[1:]:
        if sample.image.shape != samples[0].image.shape:
            raise DataError(
                f"the images of a batch differ in size: {_describe(samples[0])}, {_describe(sample)}; "
                "add RandomPaddingCrop or Resize to the training transforms, or use batch_size 1"
            )
    stacked: npt.NDArray[Any] = np.stack([_label_of(sample) for sample in samples])
    labels = stacked if stacked.dtype == np.uint8 else stacked.astype(np.int32, copy=False)
    paths = [sample.image_path for sample in samples]
    return _TrainArrays(_stack_images(samples, normalize), labels, paths)


def _stack_images(samples: list[Sample], normalize: Normalize | None) -> PixelArray:
    images: list[npt.NDArray[Any]] = [sample.image for sample in samples]
    if normalize is not None:
        for sample in samples:
            normalize.check(sample)
        if all(image.dtype == np.uint8 for image in images):
            pixels: ByteImage = np.stack(images)
            return pixels
        images = [functional.normalize(image, normalize.mean, normalize.std) for image in images]
    return np.stack([image.transpose(2, 0, 1) for image in images]).astype(np.float32, copy=False)


def _images_of(arrays: _TrainArrays, normalize: BatchNormalize | None) -> paddle.Tensor:
    """[N, C, H, W] float32 on the current device."""
    if arrays.images.dtype != np.uint8:
        return paddle.to_tensor(arrays.images)
    assert normalize is not None, "workers leave bytes only to be normalised"
    return normalize(arrays.images.view(np.uint8))


class BatchNormalize:
    """Normalises batches of bytes on the current device.

    On the CPU a table gives bit by bit what :class:`Normalize` does. Elsewhere Paddle's operators give it
    within 1e-6; that has been seen of the operators on the CPU, they have not been run on a GPU.

    Args:
        normalize: What to do.
    """

    def __init__(self, normalize: Normalize) -> None:
        self._normalize = normalize
        # Divided by tensors: by a number, Paddle multiplies with the reciprocal, which rounds otherwise.
        self._level, self._mean, self._std = (
            paddle.to_tensor(values, dtype="float32").reshape([1, -1, 1, 1])
            for values in ([255.0], normalize.mean, normalize.std)
        )

    def __call__(self, images: ByteImage) -> paddle.Tensor:
        """[N, H, W, C] → [N, C, H, W] float32 on the current device."""
        if paddle.get_device() == "cpu":
            # Paddle's broadcasting takes ten times as long there.
            return paddle.to_tensor(
                functional.normalize_bytes(images, self._normalize.mean, self._normalize.std)
            )
        return self.on_device(images)

    def on_device(self, images: ByteImage) -> paddle.Tensor:
        """The same by Paddle's operators."""
        pixels = paddle.to_tensor(images).transpose([0, 3, 1, 2]).astype("float32")
        return (pixels / self._level - self._mean) / self._std


def _label_of(sample: Sample) -> LabelArray:
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no label; training needs a data set of mode train")
    return sample.label


def _describe(sample: Sample) -> str:
    height, width = sample.size
    return f"{sample.image_path} {width}×{height}"


def _collate_eval(keys: Keys, samples: list[Sample], normalize: Normalize | None) -> EvalItem:
    (key,), (sample,) = keys, samples
    image = ImageParts.of(sample, normalize)
    return EvalItem(image, sample.label, sample.undo, sample.image_path, key.index)

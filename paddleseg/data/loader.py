"""Batches for training and single items for evaluation, the same for any number of worker processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import paddle

from paddleseg.data.batch_reader import BatchReader, Keys
from paddleseg.data.datasets.base import SampleKey, SegmentationDataset
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.data.transforms.functional import to_batch_of_one
from paddleseg.data.transforms.sample import ImageArray, LabelArray, Sample, Undo
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
        image: [1, C, H, W] float32, transformed.
        label: [H, W] int32 at the original size; None where there is none.
        undo: The geometric steps that the image went through.
        image_path: The image file.
        index: Its place in the data set.
    """

    image: ImageArray
    label: LabelArray | None
    undo: list[Undo]
    image_path: str
    index: int


class TrainLoader:
    """Iterates over :class:`TrainBatch`; made by :func:`make_train_loader`."""

    def __init__(self, sampler: TrainBatchSampler, reader: BatchReader[_TrainArrays]) -> None:
        self._sampler = sampler
        self._reader = reader

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[TrainBatch]:
        with contextlib.closing(self._reader.read(self._sampler)) as batches:
            for arrays, skipped in batches:
                images = paddle.to_tensor(arrays.images)
                # Labels travel as int32, at half the cost, and are widened on the device.
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
        on_bad_sample: ``"stop"`` raises; ``"skip"`` takes the data set's next good sample instead of one that
            has a wrong file, or that kills or blocks its worker. Errors of another kind, such as a bug in a
            transform, are always raised.
        worker_timeout: Seconds at one sample after which a worker counts as hung.

    Raises:
        DataError: While iterating: a file is wrong, a worker died or hangs, too many samples in a row are
            bad, or the images of a batch differ in size.
    """
    reader = BatchReader(
        dataset,
        _collate_train,
        num_workers=num_workers,
        worker_timeout=worker_timeout,
        skip_bad=on_bad_sample == "skip",
    )
    return TrainLoader(sampler, reader)


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
    reader = BatchReader(
        dataset, _collate_eval, num_workers=num_workers, worker_timeout=worker_timeout, skip_bad=False
    )
    return EvalLoader(chosen, reader)


@dataclass(frozen=True)
class _TrainArrays:
    images: ImageArray
    labels: npt.NDArray[np.int32]
    paths: list[str]


def _collate_train(keys: Keys, samples: list[Sample]) -> _TrainArrays:
    for sample in samples[1:]:
        if sample.image.shape != samples[0].image.shape:
            raise DataError(
                f"the images of a batch differ in size: {_describe(samples[0])}, {_describe(sample)}; "
                "add RandomPaddingCrop or Resize to the training transforms, or use batch_size 1"
            )
    images = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
    labels = np.stack([_label_of(sample) for sample in samples])
    paths = [sample.image_path for sample in samples]
    return _TrainArrays(images.astype(np.float32, copy=False), labels.astype(np.int32, copy=False), paths)


def _label_of(sample: Sample) -> LabelArray:
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no label; training needs a data set of mode train")
    return sample.label


def _describe(sample: Sample) -> str:
    height, width = sample.size
    return f"{sample.image_path} {width}×{height}"


def _collate_eval(keys: Keys, samples: list[Sample]) -> EvalItem:
    (key,), (sample,) = keys, samples
    image = to_batch_of_one(sample.image).astype(np.float32, copy=False)
    return EvalItem(image, sample.label, sample.undo, sample.image_path, key.index)

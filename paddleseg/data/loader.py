"""Batches for training and single items for evaluation, the same for any number of worker processes."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import paddle

from paddleseg.data.datasets.base import SampleKey, SegmentationDataset
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.data.transforms.functional import to_batch_of_one
from paddleseg.data.transforms.sample import ImageArray, LabelArray, Sample, Undo
from paddleseg.errors import DataError, PaddleSegError

__all__ = [
    "EvalItem",
    "EvalLoader",
    "TrainBatch",
    "TrainBatchSampler",
    "TrainLoader",
    "make_eval_loader",
    "make_train_loader",
]


_PATIENCE = 3.0  # seconds for a worker process to end by itself


@dataclass(frozen=True)
class TrainBatch:
    """One step's input on the current device.

    Attributes:
        images: [N, C, H, W] float32.
        labels: [N, H, W] int64.
        paths: The image files, for messages.
    """

    images: paddle.Tensor
    labels: paddle.Tensor
    paths: list[str]


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

    def __init__(self, loader: paddle.io.DataLoader) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[TrainBatch]:
        for images, labels, meta in _checked(self._loader):
            yield TrainBatch(images, labels.astype("int64"), meta.paths)


class EvalLoader:
    """Iterates over :class:`EvalItem` in order; made by :func:`make_eval_loader`."""

    def __init__(self, loader: paddle.io.DataLoader) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[EvalItem]:
        for image, *label, meta in _checked(self._loader):
            yield EvalItem(
                image.numpy(), label[0].numpy() if label else None, meta.undo, meta.paths[0], meta.index
            )


def make_train_loader(
    dataset: SegmentationDataset, sampler: TrainBatchSampler, num_workers: int = 0
) -> TrainLoader:
    """Loads the sampler's batches, in its order.

    Args:
        dataset: In mode train; its transforms must bring all images to one size.
        sampler: Says which samples.
        num_workers: Processes that load; 0 loads in this one.

    Raises:
        DataError: While iterating: a file is wrong, or the images of a batch differ in size.
    """
    return TrainLoader(_data_loader(dataset, sampler, _collate_train, num_workers))


def make_eval_loader(
    dataset: SegmentationDataset, num_workers: int = 0, indices: Sequence[int] | None = None
) -> EvalLoader:
    """Loads single items in order, into host memory.

    Args:
        dataset: In mode val or test.
        num_workers: Processes that load; 0 loads in this one.
        indices: Which samples; all by default.

    Raises:
        DataError: While iterating: a file is wrong.
    """
    chosen = list(range(len(dataset)) if indices is None else indices)
    batches = [[SampleKey(index, (0, index))] for index in chosen]
    return EvalLoader(_data_loader(dataset, batches, _collate_eval, num_workers, places=paddle.CPUPlace()))


@dataclass(frozen=True)
class _Failure:
    """An error that travels as a value: raised in a worker, it would arrive as a bare SystemError."""

    kind: type[Exception]
    message: str


@dataclass(frozen=True)
class _Meta:
    """What accompanies the arrays of a batch; the loader passes it through as it is."""

    paths: list[str]
    undo: list[Undo]
    index: int = -1
    failure: _Failure | None = None


def _checked(loader: paddle.io.DataLoader) -> Iterator[list[Any]]:
    """The loader's batches; a failure among them is raised. However it ends, the worker processes end too."""
    batches = iter(loader)
    try:
        for batch in batches:
            failure = batch[-1].failure
            if failure is not None:
                raise failure.kind(failure.message)
            yield batch
    finally:
        _end_workers(batches)


def _end_workers(batches: Any) -> None:
    """Ends the processes of an iterator: its own thread holds it, so that no garbage collection would."""
    if batches._shutdown:  # at its end it does so itself
        return
    if not hasattr(batches, "_workers"):
        batches._try_shutdown_all()
        return
    # Its thread must be done before its pipes close: it might read from a later loader's of the same number.
    batches._exit_thread_expectedly()
    batches._thread.join(_PATIENCE)
    batches._try_shutdown_all(_PATIENCE)  # without a limit, it would wait for a worker that hangs
    for worker in batches._workers:
        if worker.is_alive():
            worker.kill()


Loaded = tuple[int, Sample] | _Failure


class _GuardedDataset(paddle.io.Dataset):
    """Turns the errors of a data set into values."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        super().__init__()
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey) -> Loaded:
        try:
            return key.index, self.dataset[key]
        except Exception as error:
            return _as_failure(error, self.dataset.files[key.index].image)


def _as_failure(error: Exception, what: str) -> _Failure:
    if isinstance(error, PaddleSegError):
        return _Failure(type(error), str(error))
    return _Failure(RuntimeError, f"{what}: loading failed:\n{''.join(traceback.format_exception(error))}")


def _guarded_collate(collate: Any, loaded: list[Loaded]) -> list[Any]:
    failure = next((item for item in loaded if isinstance(item, _Failure)), None)
    try:
        if failure is None:
            return collate(loaded)
    except Exception as error:
        failure = _as_failure(error, "a batch")
    nothing = np.zeros(1, dtype=np.float32)
    return [nothing, nothing, _Meta([], [], failure=failure)]


def _collate_train(loaded: list[tuple[int, Sample]]) -> list[Any]:
    samples = [sample for _, sample in loaded]
    for sample in samples[1:]:
        if sample.image.shape != samples[0].image.shape:
            raise DataError(
                f"the images of a batch differ in size: {_describe(samples[0])}, {_describe(sample)}; "
                "add RandomPaddingCrop or Resize to the training transforms, or use batch_size 1"
            )
    images = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
    labels = np.stack([_label_of(sample) for sample in samples])
    paths = [sample.image_path for sample in samples]
    # Labels travel as int32, at half the cost, and are widened on the device.
    return [images.astype(np.float32, copy=False), labels.astype(np.int32, copy=False), _Meta(paths, [])]


def _label_of(sample: Sample) -> LabelArray:
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no label; training needs a data set of mode train")
    return sample.label


def _describe(sample: Sample) -> str:
    height, width = sample.size
    return f"{sample.image_path} {width}×{height}"


def _collate_eval(loaded: list[tuple[int, Sample]]) -> list[Any]:
    ((index, sample),) = loaded
    meta = _Meta([sample.image_path], sample.undo, index)
    image = to_batch_of_one(sample.image).astype(np.float32, copy=False)
    return [image, meta] if sample.label is None else [image, sample.label, meta]


def _data_loader(
    dataset: SegmentationDataset,
    batches: TrainBatchSampler | list[list[SampleKey]],
    collate: Any,
    num_workers: int,
    places: Any = None,
) -> paddle.io.DataLoader:
    return paddle.io.DataLoader(
        _GuardedDataset(dataset),
        batch_sampler=batches,
        collate_fn=functools.partial(_guarded_collate, collate),
        num_workers=num_workers,
        places=places,
        # Paddle 3.3's shared memory can hang a worker: its allocator has a lock that another thread may hold
        # at the fork. It also leaks when a run fails, and needs room that containers often lack.
        use_shared_memory=False,
        worker_init_fn=_set_up_worker,
    )


def _set_up_worker(worker: int) -> None:
    # The workers are the parallelism; OpenCV's own threads would only fight over the same cores.
    cv2.setNumThreads(0)

"""Batches and items: equal for any number of workers, with errors that arrive as they were raised."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from PIL import Image

from paddleseg.data.datasets import Dataset, SampleKey
from paddleseg.data.loader import BatchNormalize, make_eval_loader, make_train_loader
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.data.transforms import (
    LimitLong,
    Normalize,
    RandomDistort,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    ResizeStepScaling,
    Undo,
)
from paddleseg.data.transforms.functional import normalize_bytes
from paddleseg.errors import DataError

AUGMENTATION = [
    ResizeStepScaling(0.5, 2.0),
    RandomPaddingCrop([9, 8]),
    RandomHorizontalFlip(),
    RandomDistort(),
    Normalize(),
]


def open_train(root: Path, transforms: list[Any] = AUGMENTATION, num_classes: int = 3) -> Dataset:
    return Dataset("train", str(root), transforms, num_classes, train_path=str(root / "list.txt"))


def open_val(root: Path, transforms: list[Any]) -> Dataset:
    return Dataset("val", str(root), transforms, 3, val_path=str(root / "list.txt"))


def sampler_of(length: int, iterations: int = 5, batch_size: int = 2) -> TrainBatchSampler:
    return TrainBatchSampler(length, batch_size=batch_size, seed=3, iterations=iterations)


def train_batches(dataset: Dataset, workers: int) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:
    loader = make_train_loader(dataset, sampler_of(len(dataset)), workers)
    assert len(loader) == 5
    return [(batch.images.numpy(), batch.labels.numpy(), batch.paths) for batch in loader]


def test_batches_are_the_samples_of_the_sampler(make_pairs) -> None:
    dataset = open_train(make_pairs(5))
    batches = train_batches(dataset, 0)
    assert len(batches) == 5
    for (images, labels, paths), keys in zip(batches, sampler_of(5), strict=True):
        samples = [dataset[key] for key in keys]
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        assert images.shape == (2, 3, 8, 9)
        assert paths == [sample.image_path for sample in samples]
        for place, sample in enumerate(samples):
            assert (images[place].transpose(1, 2, 0) == sample.image).all()
            assert (labels[place] == sample.label).all()


NORMALIZATIONS = [Normalize(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]


def all_bytes() -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 30, 3)).astype(np.uint8)
    pixels[0].flat[:256] = np.arange(256)
    return pixels


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_the_operators_for_devices_normalise_within_a_millionth(normalize: Normalize) -> None:
    """On the CPU, where they are not used."""
    got = BatchNormalize(normalize).on_device(all_bytes())
    assert got.dtype == paddle.float32
    wanted = normalize_bytes(all_bytes(), normalize.mean, normalize.std)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(paddle.device.cuda.device_count() == 0, reason="needs a GPU")
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_a_gpu_normalises_within_a_millionth(normalize: Normalize) -> None:
    before = paddle.get_device()
    paddle.set_device("gpu:0")
    try:
        got = BatchNormalize(normalize)(all_bytes())
    finally:
        paddle.set_device(before)
    assert got.place.is_gpu_place()
    wanted = normalize_bytes(all_bytes(), normalize.mean, normalize.std)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "gpu:0"])
def test_images_are_normalised_where_they_are_used(
    make_pairs, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """What workers send is bytes, and so are labels; the second device is said, not there.

    A batch takes two tensors to the device, its images and labels; constants are there.
    """
    dataset, sent, moved = open_train(make_pairs(5)), [], []
    to_tensor = paddle.to_tensor
    monkeypatch.setattr(paddle, "get_device", lambda: device)
    loader = make_train_loader(dataset, sampler_of(5))
    read = loader._reader.read
    monkeypatch.setattr(
        loader._reader, "read", lambda keys: (sent.append(batch[0]) or batch for batch in read(keys))
    )
    monkeypatch.setattr(paddle, "to_tensor", lambda data: moved.append(data) or to_tensor(data))
    for batch, keys in zip(loader, sampler_of(5), strict=True):
        assert len(moved) == 2 * len(sent)
        assert (sent[-1].images.dtype, sent[-1].labels.dtype) == (np.uint8, np.uint8)
        assert sent[-1].images.shape == (2, 8, 9, 3)
        wanted = np.stack([dataset[key].image.transpose(2, 0, 1) for key in keys])
        np.testing.assert_allclose(batch.images.numpy(), wanted, rtol=0, atol=1e-6)
    assert len(sent) == 5


@pytest.mark.parametrize(
    "transforms",
    [
        AUGMENTATION[:3],
        AUGMENTATION[:4],
        [*AUGMENTATION[:3], Normalize()],
        [RandomPaddingCrop([14, 14]), Normalize()],
        [Normalize(), RandomPaddingCrop([9, 8])],
    ],
)
def test_other_transforms_give_final_images(make_pairs, transforms: list[Any]) -> None:
    dataset = open_train(make_pairs(5), transforms)
    for (images, _, _), keys in zip(train_batches(dataset, 0), sampler_of(5), strict=True):
        assert images.dtype == np.float32
        assert (images == np.stack([dataset[key].image.transpose(2, 0, 1) for key in keys])).all()


def test_a_label_value_beyond_bytes_travels_too(make_pairs) -> None:
    crop = RandomPaddingCrop([20, 20], label_padding_value=-1)
    root = make_pairs(5)
    dataset = Dataset("train", str(root), [crop], 3, train_path=str(root / "list.txt"), ignore_index=-1)
    for _, labels, _ in train_batches(dataset, 0):
        assert set(np.unique(labels)) == {-1, 0, 1, 2}


def test_normalisation_that_does_not_fit_names_the_image(make_pairs) -> None:
    root = make_pairs(3)
    dataset = Dataset(
        "train", str(root), [Normalize([0.5] * 3)], 3, img_channels=1, train_path=str(root / "list.txt")
    )
    with pytest.raises(DataError, match=r"\d\.png: Normalize: mean and std have 3 values .* 1 channel"):
        next(iter(make_train_loader(dataset, sampler_of(3))))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(make_pairs, workers: int) -> None:
    dataset = open_train(make_pairs(5))
    for wanted, got in zip(train_batches(dataset, 0), train_batches(dataset, workers), strict=True):
        assert wanted[0].tobytes() == got[0].tobytes()
        assert wanted[1].tobytes() == got[1].tobytes()
        assert wanted[2] == got[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_eval_items_in_order(make_pairs, workers: int) -> None:
    dataset = open_val(make_pairs(4), [LimitLong(8), Normalize()])
    for indices in (None, [3, 1]):
        loader = make_eval_loader(dataset, workers, indices)
        items = list(loader)
        assert [item.index for item in items] == (indices or [0, 1, 2, 3])
        assert len(loader) == len(items)
        for item in items:
            sample = dataset[SampleKey(item.index, (0, item.index))]
            assert item.image[:].dtype == np.float32
            assert (item.image[:][0].transpose(1, 2, 0) == sample.image).all()
            assert item.image.shape == item.image[:].shape
            assert (item.label == sample.label).all()
            assert item.undo == [Undo("resize", (12, 16))]
            assert item.image_path == dataset.files[item.index].image


@pytest.mark.parametrize("workers", [0, 1])
def test_eval_items_hold_bytes_until_they_are_used(make_pairs, workers: int) -> None:
    for item in make_eval_loader(open_val(make_pairs(2), [Normalize()]), workers):
        assert item.image.pixels.dtype == item.label.dtype == np.uint8
        assert item.image[:].dtype == np.float32


@pytest.mark.parametrize("workers", [0, 1])
def test_eval_items_without_label(make_pairs, workers: int) -> None:
    root = make_pairs(2)
    dataset = Dataset("test", str(root), [Normalize()], 3, test_path=str(root / "list.txt"))
    assert [item.label for item in make_eval_loader(dataset, workers)] == [None, None]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_error_arrives_with_the_workers_name(make_pairs, workers: int) -> None:
    root = make_pairs(5)
    Image.fromarray(np.full((12, 16), 77, np.uint8)).save(root / "labels/003.png")
    dataset = open_train(root)
    with pytest.raises(DataError) as direct:
        dataset.load(3)
    with pytest.raises(DataError) as in_training:
        train_batches(dataset, workers)
    name = r"data worker \d: " if workers else ""
    assert re.fullmatch(name + re.escape(str(direct.value)), str(in_training.value))
    evaluation = make_eval_loader(open_val(root, []), workers)
    with pytest.raises(DataError) as in_evaluation:
        list(evaluation)
    assert re.fullmatch(name + re.escape(str(direct.value)), str(in_evaluation.value))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_transform_arrives_with_its_traceback(make_pairs, workers: int) -> None:
    def broken(sample: Any, rng: np.random.Generator) -> Any:
        return 1 // 0

    with pytest.raises(RuntimeError, match=r"(?s)\.png: loading failed.*ZeroDivisionError"):
        train_batches(open_train(make_pairs(5), [broken]), workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_labels_that_do_not_stack_end_the_run_too(make_pairs, workers: int) -> None:
    def cut(sample: Any, rng: np.random.Generator) -> Any:
        return replace(sample, label=sample.label[: rng.integers(1, 12)])

    with pytest.raises(RuntimeError, match=r"(?s)a batch: loading failed.*same shape"):
        train_batches(open_train(make_pairs(5), [cut]), workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_sizes_in_a_batch(make_pairs, workers: int) -> None:
    transforms = [ResizeStepScaling(0.5, 2.0), Normalize()]
    with pytest.raises(DataError, match=r"differ in size: .*\.png \d+×\d+, .*RandomPaddingCrop"):
        train_batches(open_train(make_pairs(5), transforms), workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_replaced_and_reported(make_pairs, workers: int) -> None:
    root = make_pairs(5)
    healthy = train_batches(open_train(root), 0)
    (root / "images/003.png").write_bytes(b"no picture")
    dataset = open_train(root)
    with pytest.raises(DataError) as reason:
        dataset.load(3)
    loader = make_train_loader(dataset, sampler_of(5), workers, on_bad_sample="skip")
    replaced = 0
    for batch, (images, labels, paths), keys in zip(loader, healthy, sampler_of(5), strict=True):
        for place, key in enumerate(keys):
            if key.index == 3:
                replaced += 1
                assert batch.paths[place].endswith("004.png")
                sample = dataset[SampleKey(4, (*key.entropy, 1))]
                assert (batch.images[place].numpy().transpose(1, 2, 0) == sample.image).all()
            else:
                assert batch.paths[place] == paths[place]
                assert (batch.images[place].numpy() == images[place]).all()
                assert (batch.labels[place].numpy() == labels[place]).all()
        assert len(batch.skipped) == [key.index for key in keys].count(3)
        assert all(message.endswith(str(reason.value)) for message in batch.skipped)
    assert replaced == 2  # in two epochs and a half


@pytest.mark.parametrize("rank", [0, 1])
def test_by_rank_a_bad_sample_is_replaced_by_one_of_the_rank(make_pairs, rank: int) -> None:
    root = make_pairs(8)
    for bad in (2, 5):
        (root / f"images/{bad:03d}.png").write_bytes(b"no picture")
    sampler = TrainBatchSampler(8, batch_size=2, seed=3, iterations=4, rank=rank, world_size=2, by_rank=True)
    batches = list(make_train_loader(open_train(root), sampler, on_bad_sample="skip"))
    seen = {int(Path(path).stem) for batch in batches for path in batch.paths}
    assert seen == [{0, 4, 6}, {1, 3, 7}][rank]
    assert sum(len(batch.skipped) for batch in batches) == 2  # in two epochs


def test_nothing_skipped_is_the_rule(make_pairs) -> None:
    assert [batch.skipped for batch in make_train_loader(open_train(make_pairs(4)), sampler_of(4))] == [
        ()
    ] * 5


@pytest.mark.parametrize("done", [1, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_later_start_gives_the_same_batches(make_pairs, workers: int, done: int) -> None:
    root = make_pairs(7)
    (root / "labels/002.png").write_bytes(b"no picture")
    options = {"batch_size": 1, "seed": 4, "iterations": 8, "accumulate": 3}

    def run(start: int) -> list[tuple[bytes, bytes, list[str], int]]:
        sampler = TrainBatchSampler(7, **options, start_iteration=start)
        loader = make_train_loader(open_train(root), sampler, workers, on_bad_sample="skip")
        assert len(loader) == 3 * (8 - start)
        return [
            (b.images.numpy().tobytes(), b.labels.numpy().tobytes(), b.paths, len(b.skipped)) for b in loader
        ]

    whole = run(0)
    assert len(whole) == 24
    assert run(done) == whole[3 * done :]


def test_evaluation_never_skips(make_pairs) -> None:
    def die(sample: Any, rng: np.random.Generator) -> Any:
        if sample.image_path.endswith("001.png"):
            os.kill(os.getpid(), signal.SIGKILL)
        return sample

    items = iter(make_eval_loader(open_val(make_pairs(3), [die]), 1))
    assert next(items).index == 0
    with pytest.raises(DataError, match=r"data worker 0 .*SIGKILL.* while it loaded .*001\.png"):
        next(items)


@pytest.mark.parametrize("kind", ["train", "eval"])
def test_a_hung_worker_ends_the_loop(make_pairs, kind: str) -> None:
    def hang(sample: Any, rng: np.random.Generator) -> Any:
        time.sleep(60)

    root = make_pairs(3)
    loader = (
        make_train_loader(open_train(root, [hang]), sampler_of(3), 1, worker_timeout=0.3)
        if kind == "train"
        else make_eval_loader(open_val(root, [hang]), 1, worker_timeout=0.3)
    )
    with pytest.raises(DataError, match=r"data worker 0 .* has not moved for 0\.3 s while it loaded .*\.png"):
        next(iter(loader))


@pytest.mark.parametrize("how", ["break", "error", "end"])
@pytest.mark.parametrize("kind", ["train", "eval"])
def test_the_workers_end_with_the_loop(make_pairs, kind: str, how: str) -> None:
    root = make_pairs(5)
    before = set(multiprocessing.active_children())

    def look() -> None:
        loader = (
            make_train_loader(open_train(root), sampler_of(5), 2)
            if kind == "train"
            else make_eval_loader(open_val(root, []), 2)
        )
        for _ in loader:
            assert len(set(multiprocessing.active_children()) - before) == 2
            if how == "error":
                raise KeyboardInterrupt
            if how == "break":
                break

    with contextlib.suppress(KeyboardInterrupt):
        look()
    assert set(multiprocessing.active_children()) <= before


def test_training_needs_labels(make_pairs) -> None:
    root = make_pairs(2)
    dataset = Dataset("test", str(root), [], 3, test_path=str(root / "list.txt"))
    with pytest.raises(DataError, match="has no label"):
        next(iter(make_train_loader(dataset, sampler_of(2))))

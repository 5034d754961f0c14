"""Evaluation against a loop over pixels."""

from __future__ import annotations

import json
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from launch import Job
from paddle import nn
from small_task import TinySegmenter, write_dataset

from paddleseg.data.datasets.file_list import Dataset
from paddleseg.data.loader import EvalItem
from paddleseg.data.transforms import Normalize, Padding, Resize, Sample
from paddleseg.engine.evaluator import EvaluationStopped, ImageResult, Labels, evaluate
from paddleseg.engine.group import Group
from paddleseg.engine.results import WorstImages
from paddleseg.errors import DataError
from paddleseg.inference import InferenceOptions


@pytest.fixture
def model() -> TinySegmenter:
    paddle.seed(4)
    return TinySegmenter(4)


# Two processes share seven images, then one image, then are told to stop.
SHARED = """
import json, sys, time
from test_evaluator import evaluate_fully, make_model, open_dataset
from paddleseg.engine.evaluator import EvaluationStopped, evaluate
from paddleseg.engine.group import Group

with Group.start() as group:
    found = {count: evaluate_fully(sys.argv[1], int(count), group) for count in ("7", "1")}
    seen = []

    def see(item, prediction, result):
        seen.append(item.index)
        time.sleep(0.0 if group.rank else 2.0)

    try:
        evaluate(make_model(), open_dataset(sys.argv[1], 8), on_image=see, group=group,
                 should_stop=lambda: group.rank == 1)
    except EvaluationStopped:
        found["seen"] = seen
    print("FOUND", json.dumps(found), flush=True)
"""


def make_model() -> TinySegmenter:
    paddle.seed(4)
    return TinySegmenter(4)


def open_dataset(root: str, count: int) -> Dataset:
    """The first images of the small task's eight."""
    return Dataset("val", root, [Normalize()], 4, val_path=f"{root}/list{count}.txt")


def evaluate_fully(root: str, count: int, group: Group | None) -> dict[str, Any]:
    """All that an evaluation finds, as JSON holds it."""
    worst = WorstImages(3)
    result = evaluate(
        make_model(),
        open_dataset(root, count),
        with_boundary=True,
        with_auc=True,
        on_image=worst,
        group=group,
    )
    worst.join(group or Group())
    return {
        "report": result.report.to_dict(),
        "matrix": result.matrix.tolist(),
        "images": [[image.index, image.path, image.miou] for image in result.images],
        "worst": [[kept.index, int(prediction.sum())] for kept, prediction in worst.kept],
    }


def naive_matrix(model: nn.Layer, root: Path) -> np.ndarray:
    """Pixel by pixel, without the toolkit's readers, loaders and metrics."""
    matrix = np.zeros((4, 4), dtype=np.int64)
    model.eval()
    for line in (root / "list.txt").read_text("utf-8").split("\n")[:-1]:
        image_name, label_name = line.split(" ")
        image = cv2.imread(str(root / image_name))[:, :, ::-1].astype(np.float32)
        label = cv2.imread(str(root / label_name), cv2.IMREAD_GRAYSCALE)
        batch = ((image / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]
        predicted = model(paddle.to_tensor(batch))[0].numpy()[0].argmax(axis=0)
        for truth, guess in zip(label.ravel(), predicted.ravel(), strict=True):
            if truth != 255:
                matrix[truth, guess] += 1
    return matrix


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_it_equals_a_loop_over_pixels(
    model: TinySegmenter, val_set: Dataset, data_root: Path, num_workers: int
) -> None:
    expected = naive_matrix(model, data_root)
    assert expected[3].sum() == 0
    result = evaluate(model, val_set, num_workers=num_workers)
    np.testing.assert_array_equal(result.matrix, expected)
    iou = [
        expected[c, c] / union
        for c in range(4)
        if (union := expected[c].sum() + expected[:, c].sum() - expected[c, c])
    ]
    assert result.report.miou == pytest.approx(np.mean(iou), abs=1e-12)
    assert [image.index for image in result.images] == list(range(8))
    assert result.images[2].path.endswith("images/2.png")


def test_a_class_that_is_nowhere_takes_no_part(val_set: Dataset) -> None:
    class Constant(nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            scores = paddle.to_tensor([0.0, 1.0, 0.0, 0.0]).reshape([1, 4, 1, 1])
            return [scores.expand([x.shape[0], 4, *x.shape[2:]])]

    result = evaluate(Constant(), val_set)
    labels = np.concatenate([val_set.load_label(i).ravel() for i in range(len(val_set))])
    share = np.mean(labels[labels != 255] == 1)
    assert result.report.absent == ("class 3",)
    assert result.report.miou == pytest.approx(share / 3, abs=1e-12)
    assert result.report.accuracy == pytest.approx(share, abs=1e-12)


def test_an_image_without_a_labelled_pixel_has_no_miou(
    model: TinySegmenter, tmp_path: Path, data_root: Path
) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((48, 64), 255, dtype=np.uint8))
    (tmp_path / "list.txt").write_text(f"{data_root}/images/0.png empty.png\n", encoding="utf-8")
    dataset = Dataset("val", str(tmp_path), [Normalize()], 4, val_path=str(tmp_path / "list.txt"))
    result = evaluate(model, dataset)
    assert np.isnan(result.images[0].miou)
    assert np.isnan(result.report.miou)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode(model: TinySegmenter, val_set: Dataset, training: bool) -> None:
    def seen(item: EvalItem, prediction: Labels, result: ImageResult) -> None:
        assert not model.training
        if item.index == 1:
            raise RuntimeError("stop")

    model.train() if training else model.eval()
    evaluate(model, val_set)
    assert model.training == model.norm.training == training
    with pytest.raises(RuntimeError, match="stop"):
        evaluate(model, val_set, on_image=seen)
    assert model.training == training


def test_a_layer_that_is_frozen_by_its_mode_stays_so(model: TinySegmenter, val_set: Dataset) -> None:
    model.train()
    model.norm.eval()
    evaluate(model, val_set)
    assert model.training
    assert model.dropout.training
    assert not model.norm.training


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("machines", [1, 2])
def test_two_processes_find_what_one_finds(tmp_path: Path, machines: int) -> None:
    root = write_dataset(tmp_path / "data")
    lines = (root / "list.txt").read_text("utf-8").splitlines(keepends=True)
    for count in (1, 7, 8):
        (root / f"list{count}.txt").write_text("".join(lines[:count]), encoding="utf-8")
    options = {"args": [str(root)], "imports": [Path(__file__).parent]}
    with Job(tmp_path / "job", SHARED, processes=2 // machines, machines=machines, **options) as job:
        assert job.wait(120) == [0] * machines, job.everything()
    for rank in (0, 1):
        line = next(line for line in job.log(rank).splitlines() if line.startswith("FOUND "))
        found = json.loads(line.removeprefix("FOUND "))
        for count in (7, 1):
            alone = json.loads(json.dumps(evaluate_fully(str(root), count, None)))
            np.testing.assert_equal(found[str(count)], alone)  # knows that NaN equals NaN
        # Rank 0 has four images and 8 seconds to go when rank 1 stops after its first.
        assert found["seen"] == [1] if rank else len(found["seen"]) in (1, 2, 3)


def test_a_worker_that_hangs_is_given_up_in_time(model: TinySegmenter, data_root: Path) -> None:
    class Hanging(Normalize):
        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            time.sleep(600)
            return sample

    dataset = Dataset("val", str(data_root), [Hanging()], 4, val_path=str(data_root / "list.txt"))
    with pytest.raises(DataError, match=r"0\.png.*worker_timeout"):
        evaluate(model, dataset, num_workers=1, worker_timeout=1.0)


def test_an_evaluation_of_one_process_stops_when_asked(model: TinySegmenter, val_set: Dataset) -> None:
    seen: list[int] = []
    model.train()
    with pytest.raises(EvaluationStopped):
        evaluate(
            model,
            val_set,
            on_image=lambda item, prediction, result: seen.append(item.index),
            should_stop=lambda: len(seen) == 3,
        )
    assert seen == [0, 1, 2]
    assert model.training


@pytest.mark.parametrize("transform", [Padding([100, 70]), Resize([40, 56])])
def test_predictions_have_the_size_of_the_label(
    model: TinySegmenter, data_root: Path, transform: object
) -> None:
    dataset = Dataset(
        "val", str(data_root), [transform, Normalize()], 4, val_path=str(data_root / "list.txt")
    )
    shapes: list[tuple[int, ...]] = []
    result = evaluate(model, dataset, on_image=lambda item, prediction, _: shapes.append(prediction.shape))
    assert shapes == [(48, 64)] * 8
    assert result.matrix.sum() == 8 * (48 * 64 - 10)


def test_windows_scales_and_extra_figures(model: TinySegmenter, val_set: Dataset) -> None:
    whole = evaluate(model, val_set, with_auc=True, with_boundary=True)
    one_window = InferenceOptions(is_slide=True, crop_size=(64, 48), stride=(64, 48))
    np.testing.assert_array_equal(evaluate(model, val_set, options=one_window).matrix, whole.matrix)
    flipped = evaluate(model, val_set, options=InferenceOptions(flip_horizontal=True), with_auc=True)
    for report in (whole.report, flipped.report):
        assert report.auc_roc is not None
        assert 0 < report.auc_roc < 1
    assert whole.report.mean_boundary_iou is not None
    assert flipped.report.mean_boundary_iou is None
    assert (flipped.matrix != whole.matrix).any()


def test_auc_comes_from_probabilities(val_set: Dataset) -> None:
    """A model that knows the answer has AUC 1, however large its logits."""

    class Oracle(nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            red, blue = x[:, 0], x[:, 2]
            middle, never = paddle.full_like(red, 0.6), paddle.full_like(red, -9.0)
            scores = [red - blue, middle, blue - red, never]
            return [50 * paddle.stack(scores, axis=1)]

    report = evaluate(Oracle(), val_set, with_auc=True).report
    assert report.auc_roc is not None
    assert report.auc_roc > 0.99
    assert report.miou > 0.9


def test_images_without_labels_are_refused(model: TinySegmenter, data_root: Path) -> None:
    dataset = Dataset("test", str(data_root), [Normalize()], 4, test_path=str(data_root / "list.txt"))
    with pytest.raises(DataError, match=r"0\.png: there is no label"):
        evaluate(model, dataset)


def test_the_next_image_is_read_while_the_model_has_this_one(model: TinySegmenter, data_root: Path) -> None:
    threads, second_is_read = threading.active_count(), threading.Event()

    class Watching(Normalize):
        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            if sample.image_path.endswith("1.png"):
                second_is_read.set()
            return super().__call__(sample, rng)

    dataset = Dataset("val", str(data_root), [Watching()], 4, val_path=str(data_root / "list.txt"))
    seen: list[int] = []

    def wait(item: EvalItem, prediction: Labels, result: ImageResult) -> None:
        assert item.index or second_is_read.wait(30)
        seen.append(item.index)

    evaluate(model, dataset, on_image=wait, should_stop=lambda: False)
    assert seen == list(range(8))
    with pytest.raises(EvaluationStopped):
        evaluate(model, dataset, should_stop=lambda: True)
    assert threading.active_count() == threads


def test_large_images_are_not_read_ahead(
    model: TinySegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_dataset(tmp_path)
    for index in (2, 5, 6):
        for folder in ("images", "labels"):
            path = root / folder / f"{index}.png"
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(path), cv2.resize(image, (128, 96), interpolation=cv2.INTER_NEAREST))
    monkeypatch.setattr("paddleseg.engine.image_files.LARGE", 64 * 48)
    events: list[str] = []
    held: list[int] = []
    kept: dict[int, weakref.ref[EvalItem]] = {}

    class Watching(Normalize):
        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            events.append(f"read {Path(sample.image_path).stem}")
            if events[-1] in ("read 2", "read 5", "read 6"):
                held.extend(index for index, item in kept.items() if item() is not None)
            return super().__call__(sample, rng)

    def seen(item: EvalItem, prediction: Labels, result: ImageResult) -> None:
        events.append(f"done {item.index}")
        kept[item.index] = weakref.ref(item)

    dataset = Dataset("val", str(root), [Watching()], 4, val_path=str(root / "list.txt"))
    evaluate(model, dataset, on_image=seen)
    assert [event for event in events if event.startswith("done")] == [f"done {index}" for index in range(8)]
    for index in (2, 5, 6):
        assert events.index(f"done {index - 1}") < events.index(f"read {index}")
    assert held == [], "nothing is held while a large image is read"


def test_a_bad_file_is_reported_when_its_turn_comes(model: TinySegmenter, tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    (root / "images/2.png").write_text("no picture")
    seen: list[int] = []
    dataset = Dataset("val", str(root), [Normalize()], 4, val_path=str(root / "list.txt"))
    with pytest.raises(DataError, match=r"2\.png"):
        evaluate(model, dataset, on_image=lambda item, prediction, result: seen.append(item.index))
    assert seen == [0, 1]

"""From images to labels with an exported model: batches, sizes, windows and flips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_task import TinySegmenter

from deploy.python.description import read_description
from deploy.python.engines import make_engine
from deploy.python.exported_model import ExportedModel
from paddleseg.data.transforms import Compose, Normalize, Resize, Sample
from paddleseg.engine.model_function import as_predict
from paddleseg.engine.predictor import predict_label
from paddleseg.errors import DataError, UsageError
from paddleseg.inference import InferenceOptions

Export = Callable[..., Path]
SIZES = [(40, 56), (33, 47), (40, 56), (21, 70), (40, 56)]
IMAGES = [
    Sample(
        np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.float32), image_path=f"{seed}.png"
    )
    for seed, size in enumerate(SIZES)
]
WINDOWS = InferenceOptions(is_slide=True, crop_size=(24, 20), stride=(16, 12))
FLIPS = InferenceOptions(scales=(0.75, 1.0), flip_horizontal=True, flip_vertical=True)


def load(
    path: Path, *, options: InferenceOptions | None = None, engine: str = "onnxruntime", resize: Any = None
) -> ExportedModel:
    description = read_description(path)
    if resize:
        description = replace(description, transforms=Compose([Resize(resize), Normalize()]))
    made = make_engine(description, engine=engine, threads=1)
    return ExportedModel(description, made, options=options or InferenceOptions())


def trained_label(
    model: TinySegmenter, image: Sample, *, options: InferenceOptions | None = None, resize: Any = None
) -> Any:
    """What predict.py makes of an image."""
    steps = [*([Resize(resize)] if resize else []), Normalize()]
    return predict_label(
        image, predict=as_predict(model), transforms=Compose(steps), options=options or InferenceOptions()
    )


class Recorder:
    """Keeps the shapes of what an engine gets."""

    name = "recorder"

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Any) -> Any:
        self.shapes.append(batch.shape)
        return self._inner.run(batch)


@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax"])
@pytest.mark.parametrize("resize", [None, (40, 32)])
def test_labels_are_those_of_predict(
    output_op: str, resize: Any, tiny: TinySegmenter, export: Export
) -> None:
    model = load(export(output_op), resize=resize)
    labels = model.labels_of(IMAGES)
    for image, label in zip(IMAGES, labels, strict=True):
        expected = trained_label(tiny, image, resize=resize)
        assert label.shape == image.size
        assert label.dtype == np.uint8
        assert len(np.unique(expected)) > 1, "a comparison worth making"
        if output_op == "argmax" and resize:
            # Class ids are brought back to the nearest pixel, scores bilinearly: borders may differ.
            assert np.mean(label == expected) > 0.7
        else:
            assert np.mean(label == expected) >= 0.9999


@pytest.mark.parametrize("output_op", ["none", "softmax"])
@pytest.mark.parametrize("options", [WINDOWS, FLIPS, replace(WINDOWS, flip_horizontal=True)])
@pytest.mark.parametrize("resize", [None, (40, 32)])
def test_windows_and_flips_are_those_of_predict(
    output_op: str, options: InferenceOptions, resize: Any, tiny: TinySegmenter, export: Export
) -> None:
    """Probabilities give the same labels as logits, also where they are averaged or resized."""
    model = load(export(output_op), options=options, resize=resize)
    for image in IMAGES[:2]:
        expected = trained_label(tiny, image, options=options, resize=resize)
        assert np.mean(model.label_of(image) == expected) >= 0.9999


@pytest.mark.parametrize(
    ("options", "resize", "in_windows"),
    [(WINDOWS, None, True), (WINDOWS, (40, 32), False), (FLIPS, None, False)],
)
def test_windows_alone_need_neither_the_whole_image_nor_its_scores(
    options: InferenceOptions, resize: Any, in_windows: bool, export: Export
) -> None:
    model = load(export("none"), options=options, resize=resize)
    prepared = model.prepare(IMAGES[0])
    assert isinstance(prepared.batch, np.ndarray) != in_windows
    assert model.run([prepared])[0].ndim == (3 if in_windows else 4)


def test_images_of_one_size_share_a_batch(export: Export) -> None:
    model = load(export("argmax"))
    alone = [model.label_of(image) for image in IMAGES]
    model.engine = Recorder(model.engine)
    together = model.labels_of(IMAGES)
    assert sorted(model.engine.shapes) == [(1, 3, 21, 70), (1, 3, 33, 47), (3, 3, 40, 56)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.labels_of([]) == []


@pytest.mark.parametrize("options", [WINDOWS, FLIPS])
def test_batches_with_windows_and_flips(options: InferenceOptions, export: Export) -> None:
    model = load(export("none"), options=options)
    for label, image in zip(model.labels_of(IMAGES), IMAGES, strict=True):
        np.testing.assert_array_equal(label, model.label_of(image))


@pytest.mark.parametrize("options", [WINDOWS, FLIPS])
def test_a_model_that_ends_in_argmax_has_no_windows_and_flips(
    options: InferenceOptions, export: Export
) -> None:
    with pytest.raises(UsageError, match="export it with --output_op none"):
        load(export("argmax"), options=options)


def test_also_where_its_description_does_not_say_so(export: Export) -> None:
    """As those that PaddleSeg wrote before it knew output_op."""
    description = read_description(export("argmax"))
    engine = make_engine(description, engine="onnxruntime", threads=1)
    unsaid = replace(description, output_op="none", num_classes=None)
    with pytest.raises(UsageError, match="export it with --output_op none"):
        ExportedModel(unsaid, engine, options=WINDOWS).label_of(IMAGES[0])
    expected = ExportedModel(description, engine).label_of(IMAGES[0])
    np.testing.assert_array_equal(ExportedModel(unsaid, engine).label_of(IMAGES[0]), expected)


@pytest.mark.parametrize("output_op", ["none", "argmax"])
def test_smaller_images_are_padded_to_a_fixed_size(
    output_op: str, tiny: TinySegmenter, export: Export
) -> None:
    model = load(export(output_op, shape=(2, 3, 48, 72), file_format="onnx"))
    recorder = model.engine = Recorder(model.engine)
    labels = model.labels_of(IMAGES)
    assert set(recorder.shapes) == {(2, 3, 48, 72)}
    assert len(recorder.shapes) == 4, "three images of one size take two runs of two"
    for image, label in zip(IMAGES, labels, strict=True):
        # The mean colour around the image is 0 after Normalize, whose mean is 0.5.
        canvas = np.full((48, 72, 3), 127.5, dtype=np.float32)
        height, width = image.size
        canvas[:height, :width] = image.image
        expected = trained_label(tiny, Sample(canvas))[:height, :width]
        assert np.mean(label == expected) >= 0.9999


def test_the_padding_has_the_value_of_the_description(export: Export) -> None:
    class Echo:
        name = "echo"

        def run(self, batch: Any) -> Any:
            self.batch = batch
            return batch

    description = replace(
        read_description(export("none", shape=(2, 3, 48, 72), file_format="onnx")), padding_value=9.0
    )
    echo = Echo()
    ExportedModel(description, echo).label_of(IMAGES[0])
    assert echo.batch.shape == (2, 3, 48, 72)
    assert np.all(echo.batch[:, :, 40:] == 9)
    assert np.all(echo.batch[:, :, :, 56:] == 9)
    assert np.all(echo.batch[1] == 9), "the second image is padding too"
    assert np.abs(echo.batch[0, :, :40, :56]).max() <= 1


def test_larger_images_go_through_a_fixed_size_in_windows(tiny: TinySegmenter, export: Export) -> None:
    model = load(export("none", shape=(1, 3, 20, 24), file_format="onnx"))
    recorder = model.engine = Recorder(model.engine)
    label = model.label_of(IMAGES[0])
    assert set(recorder.shapes) == {(1, 3, 20, 24)}
    windows = InferenceOptions(is_slide=True, crop_size=(24, 20), stride=(18, 15))
    assert np.mean(label == trained_label(tiny, IMAGES[0], options=windows)) >= 0.9999


def test_larger_images_and_class_ids(export: Export) -> None:
    model = load(export("argmax", shape=(1, 3, 20, 24), file_format="onnx"))
    message = r"0\.png: after the transforms it has 56×40 pixels, the model was exported for 24×20; export"
    with pytest.raises(DataError, match=message):
        model.label_of(IMAGES[0])


def test_windows_larger_than_the_fixed_size(export: Export) -> None:
    options = InferenceOptions(is_slide=True, crop_size=(32, 20), stride=(16, 12))
    model = load(export("none", shape=(1, 3, 20, 24), file_format="onnx"), options=options)
    with pytest.raises(UsageError, match="windows of 32×20: the model was exported for 24×20"):
        model.label_of(IMAGES[0])


def test_scales_beyond_a_fixed_size_go_through_it_in_windows(tiny: TinySegmenter, export: Export) -> None:
    path = export("none", shape=(2, 3, 48, 72), file_format="onnx")
    model = load(path, options=InferenceOptions(scales=(1.5,)))
    windows = InferenceOptions(scales=(1.5,), is_slide=True, crop_size=(72, 48), stride=(54, 36))
    assert np.mean(model.label_of(IMAGES[0]) == trained_label(tiny, IMAGES[0], options=windows)) >= 0.9999


@pytest.mark.parametrize(("classes", "dtype"), [(256, np.uint8), (257, np.uint16), (None, np.uint16)])
def test_many_classes_need_two_bytes(classes: int | None, dtype: Any, export: Export) -> None:
    class Ids:
        name = "ids"

        def run(self, batch: Any) -> Any:
            ids = np.zeros((len(batch), *batch.shape[2:]), dtype=np.int32)
            ids[:, 0, 0] = 256 if classes != 256 else 255
            return ids

    description = replace(read_description(export("argmax")), num_classes=classes)
    label = ExportedModel(description, Ids()).label_of(IMAGES[0])
    assert label.dtype == dtype
    assert label.max() == (255 if classes == 256 else 256)


@pytest.mark.parametrize("engine", ["openvino", "paddle"])
def test_other_engines(engine: str, tiny: TinySegmenter, export: Export) -> None:
    for output_op in ("none", "argmax"):
        model = load(export(output_op), engine=engine)
        for image, label in zip(IMAGES, model.labels_of(IMAGES), strict=True):
            assert np.mean(label == trained_label(tiny, image)) >= 0.9999

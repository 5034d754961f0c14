"""A model as a function on arrays, against the model itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from small_task import TinySegmenter

from paddleseg.engine import model_function
from paddleseg.engine.model_function import as_predict
from paddleseg.errors import WeightsError
from paddleseg.models.backbones.base import Backbone, Stage
from paddleseg.models.base import SegmentationModel


def test_predict_is_the_main_output_without_gradients() -> None:
    model = TinySegmenter(4)
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 10), dtype=np.float32)
    model.eval()
    np.testing.assert_array_equal(as_predict(model)(image), model(paddle.to_tensor(image))[0].numpy())


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3, 33, 47), dtype=np.float32)


class Stride4(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.in_channels, self.stages = 3, [Stage(8, 4)] * 2
        self.conv = nn.Conv2D(3, 8, 5, stride=4, padding=2)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [F.relu(self.conv(x))] * 2


def make_model(kind: type[SegmentationModel] = SegmentationModel, *, align_corners: bool = False) -> nn.Layer:
    paddle.seed(3)
    model = kind(
        num_classes=5,
        backbone=Stride4(),
        head=nn.Conv2D(8, 5, 1),
        aux_head=None,
        backbone_indices=(0, 1),
        align_corners=align_corners,
    )
    model.eval()
    return model


@pytest.mark.parametrize("align_corners", [False, True])
def test_logits_enlarged_here_are_the_model_s(align_corners: bool, images: np.ndarray) -> None:
    model = make_model(align_corners=align_corners)
    expected = model(paddle.to_tensor(images))[0].numpy()
    found = as_predict(model)(images)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(as_predict(model).labels(images), found.argmax(axis=1))


def test_labels_of_any_other_model_are_the_best_of_its_logits(images: np.ndarray) -> None:
    model = TinySegmenter(5)
    model.eval()
    np.testing.assert_array_equal(
        as_predict(model).labels(images), model(paddle.to_tensor(images))[0].numpy().argmax(axis=1)
    )


def test_a_forward_of_its_own_is_not_passed_by(images: np.ndarray) -> None:
    class Turned(SegmentationModel):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [-logits for logits in super().forward(x)]

    model = make_model(Turned)
    expected = model(paddle.to_tensor(images))[0].numpy()
    np.testing.assert_array_equal(as_predict(model)(images), expected)
    np.testing.assert_array_equal(as_predict(model).labels(images), expected.argmax(axis=1))


def turn(layer: nn.Layer, inputs: object, outputs: list[paddle.Tensor]) -> list[paddle.Tensor]:
    return [-logits for logits in outputs]


def with_hook_after(model: nn.Layer) -> None:
    model.register_forward_post_hook(turn)


def with_hook_before(model: nn.Layer) -> None:
    model.register_forward_pre_hook(lambda layer, inputs: tuple(-x for x in inputs))


def with_another_forward(model: nn.Layer) -> None:
    own = model.forward
    model.forward = lambda x: turn(model, x, own(x))


@pytest.mark.parametrize("change", [with_hook_after, with_hook_before, with_another_forward])
def test_what_was_hung_on_a_model_is_not_passed_by(
    change: Callable[[nn.Layer], None], images: np.ndarray
) -> None:
    model = make_model()
    predict = as_predict(model)
    change(model)
    expected = model(paddle.to_tensor(images))[0].numpy()
    np.testing.assert_array_equal(predict(images), expected)
    np.testing.assert_array_equal(predict.labels(images), expected.argmax(axis=1))


class Function(nn.Layer):
    def __init__(self, function: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self._function(x)]


@pytest.mark.parametrize(
    "function", [lambda x: x[:, :, ::2, ::2], lambda x: x[:1], lambda x: x[:, 0], lambda x: x.mean([2, 3])]
)
def test_labels_of_another_size_are_refused(
    function: Callable[[paddle.Tensor], paddle.Tensor], images: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"the model returned shape \(.*33, 47\): expected N×classes×H×W"):
        as_predict(Function(function)).labels(images)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_logits_become_float32(dtype: str, images: np.ndarray) -> None:
    predict = as_predict(Function(lambda x: x.astype(dtype)))
    expected = paddle.to_tensor(images).astype(dtype).astype("float32").numpy()
    assert predict(images).dtype == np.float32
    np.testing.assert_array_equal(predict(images), expected)
    np.testing.assert_array_equal(predict.labels(images), expected.argmax(axis=1))


@pytest.mark.parametrize(("classes", "dtype"), [(5, np.uint8), (300, np.uint16)])
def test_labels_picked_on_the_device_are_those_picked_here(classes: int, dtype: type) -> None:
    """A GPU is not needed to try what would run there."""
    logits = np.random.default_rng(0).normal(size=(2, classes, 7, 9)).astype(np.float32)
    labels = model_function._labels_on_device(paddle.to_tensor(logits))
    assert labels.dtype == dtype
    np.testing.assert_array_equal(labels, logits.argmax(axis=1))
    logits[1, 3, 2, 2] = np.nan
    with pytest.raises(WeightsError, match="not numbers"):
        model_function._labels_on_device(paddle.to_tensor(logits))

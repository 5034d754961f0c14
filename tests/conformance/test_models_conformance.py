"""What every registered model and backbone promises; a new one joins by registering.

Models run on the smallest backbone. The backbones are built once each and run on tiny images.
"""

from __future__ import annotations

import inspect

import numpy as np
import paddle
import pytest

import paddleseg.models  # noqa: F401 - registers
from paddleseg.models.backbones.base import Backbone
from paddleseg.models.base import SegmentationModel
from paddleseg.registry import BACKBONES, MODELS

CLASSES = 3

# Required parameters besides the class count and the backbone; a model without a line needs none.
EXAMPLES: dict[str, dict] = {"CCNet": {"recurrence": 2}}

# Parameters that have no gradient at the start: with gamma = 0 nothing flows into the attention.
SILENT_AT_FIRST = (".cca.q_conv.", ".cca.k_conv.", ".cca.v_conv.")


def names_of(registry: object) -> list[str]:
    return sorted(name for name in registry if registry.get(name).__module__.startswith("paddleseg."))


def image(height: int, width: int, channels: int = 3, batch: int = 1) -> paddle.Tensor:
    values = np.random.default_rng(3).normal(size=(batch, channels, height, width))
    return paddle.to_tensor(values.astype("float32"))


def build_model(name: str, *, in_channels: int = 3, output_stride: int = 8) -> SegmentationModel:
    paddle.seed(1)
    backbone = BACKBONES.get("ResNet18_vd")(in_channels=in_channels, output_stride=output_stride)
    return MODELS.get(name)(num_classes=CLASSES, backbone=backbone, **EXAMPLES.get(name, {}))


def run(model: SegmentationModel, x: paddle.Tensor) -> list[np.ndarray]:
    with paddle.no_grad():
        return [logits.numpy() for logits in model(x)]


@pytest.fixture(scope="module", params=names_of(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> Backbone:
    built = BACKBONES.get(request.param)()
    built.eval()
    return built


@pytest.fixture(scope="module", params=names_of(MODELS))
def model_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(model_name: str) -> SegmentationModel:
    return build_model(model_name)


def test_what_is_registered() -> None:
    assert {"CCNet"} <= set(names_of(MODELS))
    assert {f"ResNet{depth}_vd" for depth in (18, 34, 50, 101, 152)} <= set(names_of(BACKBONES))


@pytest.mark.parametrize(
    "component", [*map(MODELS.get, names_of(MODELS)), *map(BACKBONES.get, names_of(BACKBONES))]
)
def test_is_documented(component: object) -> None:
    assert len(inspect.getdoc(component) or "") > 30


@pytest.mark.parametrize("size", [(33, 47), (1, 5)])
def test_backbone_returns_the_features_it_declares(backbone: Backbone, size: tuple[int, int]) -> None:
    with paddle.no_grad():
        features = backbone(image(*size, batch=2))
    assert len(features) == len(backbone.stages)
    for feature, stage in zip(features, backbone.stages, strict=True):
        sides = [-(-side // stage.stride) for side in size]
        assert feature.shape == [2, stage.channels, *sides]
        assert np.isfinite(feature.numpy()).all()


def test_backbone_declares_strides_that_grow(backbone: Backbone) -> None:
    strides = [stage.stride for stage in backbone.stages]
    assert strides == sorted(strides)
    assert strides[-1] == 8
    assert backbone.in_channels == 3


@pytest.mark.parametrize("name", names_of(BACKBONES))
@pytest.mark.parametrize(("output_stride", "in_channels"), [(16, 1), (32, 4)])
def test_backbone_options(name: str, output_stride: int, in_channels: int) -> None:
    with paddle.LazyGuard():
        backbone = BACKBONES.get(name)(output_stride=output_stride, in_channels=in_channels)
    assert backbone.stages[-1].stride == output_stride
    assert backbone.in_channels == in_channels
    assert backbone.parameters()[0].shape[1] == in_channels


@pytest.mark.parametrize("name", names_of(BACKBONES))
@pytest.mark.parametrize("options", [{"output_stride": 12}, {"in_channels": 0}])
def test_backbone_refuses_options_out_of_range(name: str, options: dict) -> None:
    with pytest.raises(ValueError, match=rf"^{next(iter(options))} must be .*, got "):
        BACKBONES.get(name)(**options)


@pytest.mark.parametrize("size", [(33, 47), (16, 16), (1, 1)])
def test_one_output_of_the_images_size_in_evaluation(model: SegmentationModel, size: tuple[int, int]) -> None:
    model.eval()
    outputs = run(model, image(*size, batch=2))
    assert [logits.shape for logits in outputs] == [(2, CLASSES, *size)]
    assert np.isfinite(outputs[0]).all()


def test_as_many_outputs_in_training_as_counted(model: SegmentationModel, model_name: str) -> None:
    outputs = run(model, image(33, 47, batch=2))
    assert isinstance(outputs, list)
    assert len(outputs) == type(model).count_outputs(EXAMPLES.get(model_name, {}))
    assert {logits.shape for logits in outputs} == {(2, CLASSES, 33, 47)}


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("output_stride", [16, 32])
def test_channels_and_strides(model_name: str, channels: int, output_stride: int) -> None:
    model = build_model(model_name, in_channels=channels, output_stride=output_stride)
    model.eval()
    assert model.in_channels == channels
    assert run(model, image(33, 47, channels))[0].shape == (1, CLASSES, 33, 47)


def test_knows_its_classes(model: SegmentationModel) -> None:
    assert model.num_classes == CLASSES


def test_images_of_a_batch_do_not_mix_in_evaluation(model: SegmentationModel) -> None:
    model.eval()
    x = image(17, 25, batch=2)
    together = run(model, x)[0]
    alone = np.concatenate([run(model, x[i : i + 1])[0] for i in range(2)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4 * np.abs(alone).max())


def test_the_image_is_not_written_to(model: SegmentationModel) -> None:
    x = image(17, 25, batch=2)
    before = x.numpy().copy()
    run(model, x)
    np.testing.assert_array_equal(x.numpy(), before)


def test_every_parameter_learns(model: SegmentationModel) -> None:
    # A linear probe: a mean over the pixels would leave nothing for layers before a batch norm.
    outputs = model(image(33, 47, batch=2))
    probe = np.random.default_rng(4).normal(size=outputs[0].shape).astype("float32")
    sum((logits * paddle.to_tensor(probe)).sum() for logits in outputs).backward()
    for name, parameter in model.named_parameters():
        if parameter.stop_gradient:  # running statistics
            continue
        gradient = parameter.grad
        assert gradient is not None, name
        assert np.isfinite(gradient.numpy()).all(), name
        # A bias before a batch norm has no influence.
        if not name.endswith("bias") and not any(part in name for part in SILENT_AT_FIRST):
            assert np.abs(gradient.numpy()).max() > 0, name


def test_a_state_dict_carries_the_whole_model(model: SegmentationModel, model_name: str) -> None:
    model(image(17, 25, batch=2))  # moves the running statistics
    paddle.seed(2)
    other = build_model(model_name)
    missing, unexpected = other.set_state_dict(model.state_dict())
    assert (missing, unexpected) == ([], [])
    model.eval()
    other.eval()
    x = image(17, 25)
    np.testing.assert_array_equal(run(other, x)[0], run(model, x)[0])


def test_one_seed_gives_one_model(model_name: str) -> None:
    first, second = (build_model(model_name).state_dict() for _ in range(2))
    assert list(first) == list(second)
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[name].numpy(), err_msg=name)


@pytest.mark.parametrize("num_classes", [0, 1])
def test_fewer_than_two_classes_are_refused(model_name: str, num_classes: int) -> None:
    with paddle.LazyGuard():
        backbone = BACKBONES.get("ResNet18_vd")()
    with pytest.raises(ValueError, match=f"^num_classes must be at least 2, got {num_classes}$"):
        MODELS.get(model_name)(num_classes=num_classes, backbone=backbone, **EXAMPLES.get(model_name, {}))

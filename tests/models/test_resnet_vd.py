"""ResNet-vd against the same network in NumPy, and its table of shapes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from numpy_network import pool_average, randomise, resnet_vd

from paddleseg.models.backbones import ResNet18_vd, ResNet50_vd
from paddleseg.models.backbones.resnet_vd import ResNetVd

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
BUILDERS = {18: ResNet18_vd, 50: ResNet50_vd}

# depth, output stride, multi grid, stride of every stage, dilation of every stage's blocks
VARIANTS = [
    (18, 8, (1, 1, 1), (1, 2, 1, 1), ((1, 1), (1, 1), (2, 2), (4, 4))),
    (18, 16, (1, 1, 1), (1, 2, 2, 1), ((1, 1), (1, 1), (1, 1), (2, 2))),
    (18, 32, (1, 1), (1, 2, 2, 2), ((1, 1), (1, 1), (1, 1), (1, 1))),
    (18, 8, (1, 2), (1, 2, 1, 1), ((1, 1), (1, 1), (2, 2), (4, 8))),
    (50, 8, (1, 1, 1), (1, 2, 1, 1), ((1,) * 3, (1,) * 4, (2,) * 6, (4,) * 3)),
    (50, 16, (1, 2, 4), (1, 2, 2, 1), ((1,) * 3, (1,) * 4, (1,) * 6, (2, 4, 8))),
    (50, 32, (1, 1, 1), (1, 2, 2, 2), ((1,) * 3, (1,) * 4, (1,) * 6, (1,) * 3)),
]


@pytest.mark.parametrize(("depth", "output_stride", "multi_grid", "strides", "dilations"), VARIANTS)
def test_features_equal_numpy(
    depth: int,
    output_stride: int,
    multi_grid: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[tuple[int, ...], ...],
) -> None:
    backbone = BUILDERS[depth](output_stride=output_stride, multi_grid=multi_grid)
    state = randomise(backbone, seed=depth + output_stride)
    backbone.eval()
    x = np.random.default_rng(1).normal(size=(1, 3, 41, 71)).astype("float32")  # odd sides at each halving
    with paddle.no_grad():
        features = backbone(paddle.to_tensor(x))
    expected = resnet_vd(
        x.astype("float64"), state, depths=DEPTHS[depth], strides=strides, dilations=dilations
    )
    assert len(features) == len(expected) == 4
    for feature, wanted in zip(features, expected, strict=True):
        assert feature.shape == list(wanted.shape)
        np.testing.assert_allclose(feature.numpy(), wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_the_average_over_the_edge_counts_what_is_there() -> None:
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(pool_average(x)[0, 0], [[2.0, 3.5], [6.5, 8.0]])


@pytest.mark.parametrize(
    ("output_stride", "strides"), [(8, (4, 8, 8, 8)), (16, (4, 8, 16, 16)), (32, (4, 8, 16, 32))]
)
@pytest.mark.parametrize(
    ("build", "channels"), [(ResNet18_vd, (64, 128, 256, 512)), (ResNet50_vd, (256, 512, 1024, 2048))]
)
def test_declared_stages(
    build: type[ResNetVd], channels: tuple[int, ...], output_stride: int, strides: tuple[int, ...]
) -> None:
    with paddle.LazyGuard():  # no memory for weights that are not looked at
        backbone = build(output_stride=output_stride)
    assert tuple(stage.channels for stage in backbone.stages) == channels
    assert tuple(stage.stride for stage in backbone.stages) == strides


@pytest.mark.parametrize(
    ("output_stride", "sides"),
    # 769 px give 385 (stem), 193 (pool), then halves rounded up.
    [(8, (193, 97, 97, 97)), (16, (193, 97, 49, 49)), (32, (193, 97, 49, 25))],
)
def test_sides_of_the_published_crop(output_stride: int, sides: tuple[int, ...]) -> None:
    backbone = ResNet18_vd(output_stride=output_stride, in_channels=1)
    backbone.eval()
    with paddle.no_grad():
        features = backbone(paddle.zeros([1, 1, 769, 9]))
    assert tuple(feature.shape[2] for feature in features) == sides


def test_shortcuts_project_in_each_stages_first_block_only() -> None:
    with paddle.LazyGuard():
        names = ResNet18_vd().state_dict()
    projected = {name.split(".")[0] for name in names if ".short." in name}
    assert projected == {"bb_0_0", "bb_1_0", "bb_2_0", "bb_3_0"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
        ({"output_stride": "8"}, "output_stride must be 8, 16 or 32, got '8'"),
        ({"multi_grid": (1,)}, "multi_grid must hold 2 positive integers, got (1,)"),
        ({"multi_grid": (1, 0)}, "multi_grid must hold 2 positive integers, got (1, 0)"),
        ({"num_stages": 0}, "num_stages must be from 1 to 4, got 0"),
        ({"num_stages": 5}, "num_stages must be from 1 to 4, got 5"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"data_format": "NHWC"}, "data_format must be 'NCHW'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        ResNet18_vd(**options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("num_stages", [1, 2, 3])
def test_fewer_stages_are_the_first_ones(num_stages: int) -> None:
    whole, part = ResNet18_vd(output_stride=16), ResNet18_vd(output_stride=16, num_stages=num_stages)
    assert part.stages == whole.stages[:num_stages]
    dropped = tuple(f"bb_{stage}_" for stage in range(num_stages, 4))
    assert set(part.state_dict()) == {key for key in whole.state_dict() if not key.startswith(dropped)}
    part.set_state_dict({key: value for key, value in whole.state_dict().items() if key in part.state_dict()})
    whole.eval()
    part.eval()
    x = paddle.to_tensor(np.random.default_rng(1).normal(size=(1, 3, 33, 47)).astype("float32"))
    with paddle.no_grad():
        features, expected = part(x), whole(x)[:num_stages]
    assert len(features) == num_stages
    for feature, wanted in zip(features, expected, strict=True):
        np.testing.assert_array_equal(feature.numpy(), wanted.numpy())

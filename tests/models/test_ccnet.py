"""CCNet: published layout of its weights, the whole network against NumPy, options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest
from numpy_network import enlarge, fcn_head, randomise, rcca_head, resnet_vd
from paddle import nn

from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet18_vd, ResNet101_vd
from paddleseg.models.weights import load_weights

Shapes = dict[str, tuple[int, ...]]


def published_layout() -> Shapes:
    """Keys and shapes of the published CCNet with ResNet101-vd and 19 classes."""
    shapes: Shapes = {}

    def add_conv(name: str, out: int, into: int, side: int, *, bias: bool = False) -> None:
        shapes[f"{name}.weight"] = (out, into, side, side)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def add_unit(name: str, out: int, into: int, side: int, *, bias: bool = False) -> None:
        add_conv(f"{name}._conv", out, into, side, bias=bias)
        for part in ("weight", "bias", "_mean", "_variance"):
            shapes[f"{name}._batch_norm.{part}"] = (out,)

    add_unit("backbone.conv1_1", 32, 3, 3)
    add_unit("backbone.conv1_2", 32, 32, 3)
    add_unit("backbone.conv1_3", 64, 32, 3)
    into = 64
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (23, 256), (3, 512)]):
        for i in range(blocks):
            name = f"backbone.bb_{stage}_{i}"
            add_unit(f"{name}.conv0", width, into, 1)
            add_unit(f"{name}.conv1", width, width, 3)
            add_unit(f"{name}.conv2", 4 * width, width, 1)
            if i == 0:
                add_unit(f"{name}.short", 4 * width, into, 1)
            into = 4 * width
    add_unit("aux_head.conv_bn_relu", 512, 1024, 3, bias=True)
    add_conv("aux_head.conv", 19, 512, 1, bias=True)
    add_unit("head.conva", 512, 2048, 3)
    add_conv("head.cca.q_conv", 64, 512, 1, bias=True)
    add_conv("head.cca.k_conv", 64, 512, 1, bias=True)
    add_conv("head.cca.v_conv", 512, 512, 1, bias=True)
    shapes["head.cca.gamma"] = (1,)
    add_unit("head.convb", 512, 512, 3)
    add_unit("head.out.conv_bn_relu", 512, 2560, 3, bias=True)
    add_conv("head.out.conv", 19, 512, 1, bias=True)
    return shapes


def count(shapes: Shapes) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())


def state_shapes(layer: nn.Layer) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}


@pytest.fixture(scope="module")
def lazy_reference() -> CCNet:
    """The published network without memory for its weights."""
    with paddle.LazyGuard():
        return CCNet(19, ResNet101_vd(), dropout_prob=0.1, recurrence=2)


def make_model(num_classes: int = 4, in_channels: int = 3, **options: object) -> CCNet:
    return CCNet(num_classes, ResNet18_vd(in_channels=in_channels), **options)


def image(height: int, width: int, channels: int = 3, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(batch, channels, height, width)).astype("float32")


def run(model: CCNet, x: np.ndarray) -> list[np.ndarray]:
    with paddle.no_grad():
        return [logits.numpy() for logits in model(paddle.to_tensor(x))]


def test_the_layout_written_here_has_the_published_figures() -> None:
    layout = published_layout()
    assert len(layout) == 563
    assert sum(name.startswith("backbone.") for name in layout) == 530
    assert count(layout) == 71_293_447


def test_state_dict_has_the_published_keys_and_shapes(lazy_reference: CCNet) -> None:
    assert state_shapes(lazy_reference) == published_layout()


def test_trainable_scalars(lazy_reference: CCNet) -> None:
    trainable = [p for p in lazy_reference.parameters() if not p.stop_gradient]
    assert sum(int(np.prod(p.shape)) for p in trainable) == 71_183_879


@pytest.fixture
def published_file(tmp_path: Path) -> Iterator[Path]:
    """A file in the published layout, as PaddleSeg writes it; every tensor holds its own number."""
    path = tmp_path / "model.pdparams"
    layout = published_layout()
    paddle.save(
        {name: paddle.full(shape, float(i)) for i, (name, shape) in enumerate(layout.items())}, str(path)
    )
    yield path
    path.unlink()  # 285 MB


@pytest.mark.slow
def test_a_file_in_the_published_layout_loads_strictly(published_file: Path) -> None:
    model = CCNet(19, ResNet101_vd(), dropout_prob=0.1, recurrence=2)
    report = load_weights(model, str(published_file), strict=True)
    assert len(report.loaded) == 563
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    state = model.state_dict()
    for i, name in enumerate(published_layout()):
        assert state[name].min().item() == state[name].max().item() == i, name


@pytest.fixture(scope="module")
def eighteen() -> tuple[CCNet, dict[str, np.ndarray]]:
    """A CCNet with random weights and statistics, in evaluation mode, and its state."""
    model = make_model(recurrence=2)
    state = randomise(model, seed=5)
    model.eval()
    return model, state


def expected_logits(
    x: np.ndarray, state: dict[str, np.ndarray], *, recurrence: int, align_corners: bool
) -> list[np.ndarray]:
    features = resnet_vd(
        x.astype("float64"),
        state,
        depths=(2, 2, 2, 2),
        strides=(1, 2, 1, 1),
        dilations=((1, 1), (1, 1), (2, 2), (4, 4)),
        prefix="backbone.",
    )
    main = rcca_head(features[3], state, "head", recurrence)
    auxiliary = fcn_head(features[2], state, "aux_head")
    return [enlarge(logits, x.shape[2:], align_corners=align_corners) for logits in (main, auxiliary)]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("recurrence", [0, 1, 3])
def test_the_network_equals_numpy(
    eighteen: tuple[CCNet, dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
    recurrence: int,
    align_corners: bool,
) -> None:
    model, state = eighteen
    monkeypatch.setattr(model, "align_corners", align_corners)
    monkeypatch.setattr(model.head, "recurrence", recurrence)
    # The frame alone in training mode: auxiliary logits, but running statistics.
    monkeypatch.setattr(model, "training", True)
    x = image(33, 47, batch=2)
    got = run(model, x)
    expected = expected_logits(x, state, recurrence=recurrence, align_corners=align_corners)
    assert len(got) == 2
    for logits, wanted in zip(got, expected, strict=True):
        assert logits.shape == (2, 4, 33, 47)
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=5e-5 * np.abs(wanted).max())


def test_enlarging_by_hand() -> None:
    row = np.array([0.0, 4.0]).reshape(1, 1, 1, 2)
    assert enlarge(row, (1, 4), align_corners=False).ravel().tolist() == [0.0, 1.0, 3.0, 4.0]
    np.testing.assert_allclose(enlarge(row, (1, 4), align_corners=True).ravel(), [0, 4 / 3, 8 / 3, 4])


def test_options_reach_the_parts() -> None:
    with paddle.LazyGuard():
        model = make_model(dropout_prob=0.25, recurrence=3, align_corners=True)
    assert model.align_corners is True
    assert model.head.recurrence == 3
    assert model.head.out.dropout.p == 0.25
    assert model.aux_head.dropout.p == 0.25


def test_defaults() -> None:
    with paddle.LazyGuard():
        model = make_model()
    assert model.align_corners is False
    assert model.head.recurrence == 1
    assert model.head.out.dropout.p == 0.0
    assert model.aux_head is not None


def test_recurrence_shares_its_weights() -> None:
    with paddle.LazyGuard():
        once, thrice = make_model(recurrence=1), make_model(recurrence=3)
    assert state_shapes(once) == state_shapes(thrice)


def test_no_recurrence_means_no_attention() -> None:
    with paddle.LazyGuard():
        without, once = make_model(recurrence=0), make_model(recurrence=1)
    attention = {name for name in state_shapes(once) if name.startswith("head.cca.")}
    assert len(attention) == 7
    assert set(state_shapes(without)) == set(state_shapes(once)) - attention


def test_while_gamma_is_0_recurrence_changes_nothing() -> None:
    model = make_model(recurrence=2)
    model.eval()
    x = image(33, 47)
    attended = run(model, x)[0]
    model.head.recurrence = 0
    np.testing.assert_array_equal(run(model, x)[0], attended)


def test_auxiliary_logits_in_training_only() -> None:
    model = make_model()
    x = image(33, 33, batch=2)
    assert len(run(model, x)) == 2
    model.eval()
    assert len(run(model, x)) == 1


def test_auxiliary_head_is_optional() -> None:
    with paddle.LazyGuard():
        names = state_shapes(make_model(enable_auxiliary_loss=False))
    assert not [name for name in names if name.startswith("aux_head")]


def test_feature_maps_are_chosen_by_backbone_indices() -> None:
    with paddle.LazyGuard():
        shapes = state_shapes(make_model(backbone_indices=(0, 1)))
    assert shapes["aux_head.conv_bn_relu._conv.weight"] == (512, 64, 3, 3)
    assert shapes["head.conva._conv.weight"] == (32, 128, 3, 3)


def test_on_a_backbone_of_three_stages() -> None:
    with paddle.LazyGuard():
        backbone = ResNet18_vd(num_stages=3)
        shapes = state_shapes(CCNet(4, backbone, backbone_indices=(1, 2)))
        with pytest.raises(
            ValueError, match=r"backbone_indices must be two numbers from 0 to 2, got \[2, 3\]"
        ):
            CCNet(4, backbone)
    assert shapes["aux_head.conv_bn_relu._conv.weight"] == (512, 128, 3, 3)
    assert shapes["head.conva._conv.weight"] == (64, 256, 3, 3)


def test_dropout_is_for_training() -> None:
    x = image(17, 17, batch=2)
    model = make_model(dropout_prob=0.5)
    first, second = run(model, x), run(model, x)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(first, second, strict=True))
    model.eval()
    np.testing.assert_array_equal(run(model, x)[0], run(model, x)[0])


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("size", [(33, 47), (8, 8), (1, 1), (5, 64)])
def test_any_size_and_channel_count(channels: int, size: tuple[int, int]) -> None:
    model = make_model(in_channels=channels)
    model.eval()
    assert model.in_channels == channels
    (logits,) = run(model, image(*size, channels=channels))
    assert logits.shape == (1, 4, *size)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"backbone_indices": (2, 4)}, "backbone_indices must be two numbers from 0 to 3, got [2, 4]"),
        ({"backbone_indices": (-1, 3)}, "backbone_indices must be two numbers from 0 to 3, got [-1, 3]"),
        ({"backbone_indices": [3]}, "backbone_indices must be two numbers from 0 to 3, got [3]"),
        ({"dropout_prob": 1.0}, "dropout_prob must be in [0, 1), got 1.0"),
        ({"dropout_prob": -0.1}, "dropout_prob must be in [0, 1), got -0.1"),
        ({"recurrence": -1}, "recurrence must be 0 or more, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with paddle.LazyGuard(), pytest.raises(ValueError) as caught:  # noqa: PT011 - all of it is compared
        make_model(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("params", "outputs"),
    [({}, 2), ({"enable_auxiliary_loss": True}, 2), ({"enable_auxiliary_loss": False}, 1)],
)
def test_count_outputs(params: dict, outputs: int) -> None:
    assert CCNet.count_outputs(params) == outputs


def test_logits_are_float32_when_the_heads_are_not() -> None:
    model = CCNet(3, ResNet18_vd(num_stages=2, output_stride=32), backbone_indices=(0, 1), recurrence=0)
    for head in (model.head, model.aux_head):
        head.register_forward_post_hook(lambda _, __, logits: logits.astype("bfloat16"))
    assert [logits.dtype for logits in model(paddle.ones([1, 3, 16, 16]))] == [paddle.float32] * 2

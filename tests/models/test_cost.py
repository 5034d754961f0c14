"""The counter against the paper's figure, Paddle's own counter on the published network, and sums by hand."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet101_vd
from paddleseg.models.cost import Cost, measure_cost
from paddleseg.models.layers import CrissCrossAttention

# What paddle.flops says of the published network at 1×3×769×769, and its parameters without auxiliary
# head and gamma (which it does not see).
PUBLISHED_OPERATIONS = 639_287_862_195
PUBLISHED_SCALARS = 66_562_547


class _Twice(nn.Layer):
    """The same module two times, as R = 2 has it."""

    def __init__(self, layer: nn.Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.layer(self.layer(x))


def test_recurrent_attention_costs_what_the_paper_says() -> None:
    cost = measure_cost(_Twice(CrissCrossAttention(512)), [1, 512, 97, 97])
    assert round(cost.flops / 1e9, 2) == 16.52
    # 97² pixels: convolutions 512→64 (twice) and 512→512; then 97 + 97 − 1 keys of 64 and values of 512.
    assert cost.convolution == 2 * 97**2 * (2 * 512 * 64 + 512 * 512)
    assert cost.attention == 2 * 97**2 * 193 * (64 + 512)
    assert cost.trainable == 2 * (512 * 64 + 64) + 512 * 512 + 512 + 1
    assert cost.buffers == 0


def test_layers_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2D(4, 6, 3, stride=2, padding=1, groups=2),  # 5×7 → 3×4 pixels; 6 · 2 · 9 weights
        nn.BatchNorm2D(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )
    cost = measure_cost(model, [2, 4, 5, 7])
    assert cost.convolution == 2 * (3 * 4 * 6 * 2 * 9 + 6 * 10)
    assert cost.attention == 0
    assert cost.trainable == (6 * 2 * 9 + 6) + (6 + 6) + (60 + 10)
    assert cost.buffers == 12


def test_a_multiply_add_is_two_operations() -> None:
    cost = Cost(convolution=5, attention=3, trainable=0, buffers=0)
    assert cost.multiply_adds == 8
    assert cost.flops == 16


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    model = nn.Sequential(nn.Conv2D(2, 3, 1), nn.BatchNorm2D(3))
    model.training = training
    for layer in model:
        layer.training = training
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    first, second = (measure_cost(model, [1, 2, 4, 4]) for _ in range(2))
    assert first == second
    assert [layer.training for layer in model.sublayers(include_self=True)] == [training] * 3
    assert not any(layer._forward_post_hooks for layer in model.sublayers())
    for name, value in model.state_dict().items():
        assert (value.numpy() == before[name]).all(), name


def test_hooks_go_when_the_model_fails() -> None:
    model = nn.Sequential(nn.Conv2D(2, 3, 1))
    with pytest.raises(ValueError, match="channel"):
        measure_cost(model, [1, 5, 4, 4])
    assert model.training
    assert not model[0]._forward_post_hooks


class _Tally:
    """Multiply-adds, biases and normalised values of the published network's convolutions, written out."""

    def __init__(self, stem: int, first: int, rest: int, recurrence: int) -> None:
        """Args: sides, in pixels, of the stem's, the first stage's and all later feature maps."""
        self.multiply_adds = self.bias_adds = self.normalised = 0
        self._unit(stem, 3, 32, 3)
        self._unit(stem, 32, 32, 3)
        self._unit(stem, 32, 64, 3)
        channels, side = 64, first
        for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (23, 256), (3, 512)]):
            for i in range(blocks):
                self._unit(side, channels, width, 1)  # before the stride
                side = first if stage == 0 else rest
                self._unit(side, width, width, 3)
                self._unit(side, width, 4 * width, 1)
                if i == 0:
                    self._unit(side, channels, 4 * width, 1)  # behind the average
                channels = 4 * width
        self._unit(rest, 2048, 512, 3)
        for _ in range(recurrence):
            for out in (64, 64, 512):
                self._conv(rest, 512, out, 1, bias=True)
        self._unit(rest, 512, 512, 3)
        self._unit(rest, 2560, 512, 3, bias=True)
        self._conv(rest, 512, 19, 1, bias=True)

    def _conv(self, side: int, into: int, out: int, kernel: int, *, bias: bool = False) -> None:
        self.multiply_adds += side**2 * into * out * kernel**2
        self.bias_adds += side**2 * out * bias

    def _unit(self, side: int, into: int, out: int, kernel: int, *, bias: bool = False) -> None:
        self._conv(side, into, out, kernel, bias=bias)
        self.normalised += side**2 * out


# k → image of 8k+1 pixels a side, whose feature maps have 4k+1, 2k+1 and k+1
def _sides(k: int) -> tuple[int, int, int]:
    return 4 * k + 1, 2 * k + 1, k + 1


@pytest.fixture(scope="module")
def reference() -> CCNet:
    return CCNet(19, ResNet101_vd(), recurrence=2, enable_auxiliary_loss=False)


def test_published_network_on_small_images(reference: CCNet) -> None:
    for k in (1, 2, 4):
        cost = measure_cost(reference, [1, 3, 8 * k + 1, 8 * k + 1])
        assert cost.convolution == _Tally(*_sides(k), recurrence=2).multiply_adds
        assert cost.attention == 2 * (k + 1) ** 2 * (2 * k + 1) * (64 + 512)


def test_published_network_at_769(reference: CCNet) -> None:
    # Counts of convolutions are quadratic in k, so that three small images tell that of k = 96.
    one, two, three = (measure_cost(reference, [1, 3, 8 * k + 1, 8 * k + 1]).convolution for k in (1, 2, 3))
    first, second = two - one, three - 2 * two + one
    convolution = one + 95 * first + 95 * 94 // 2 * second
    tally = _Tally(385, 193, 97, recurrence=2)
    assert convolution == tally.multiply_adds == 638_116_427_104
    # paddle.flops also counts a bias as one operation, batch norm as two a value, and the one average
    # pool (256 channels, 97×97) as five; it does not see the attention's products.
    extra = tally.bias_adds + 2 * tally.normalised + 5 * 256 * 97**2
    assert convolution + extra == PUBLISHED_OPERATIONS


def test_published_network_has_the_published_scalars(reference: CCNet) -> None:
    cost = measure_cost(reference, [1, 3, 9, 9])
    gamma = 1
    assert cost.trainable + cost.buffers - gamma == PUBLISHED_SCALARS
    assert cost.trainable == 66_454_004

from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import contrast_of_pixels, unit

from paddleseg.errors import ConfigError
from paddleseg.losses import CombinedLoss, CrossEntropyLoss, PixelContrastCrossEntropyLoss


def make_output(height: int = 4, width: int = 6) -> dict[str, paddle.Tensor]:
    rng = np.random.default_rng(2)
    shapes = {"seg": (2, 3, height, width), "embed": (2, 5, height, width)}
    return {
        name: paddle.to_tensor(rng.normal(size=shape).astype("float32"), stop_gradient=False)
        for name, shape in shapes.items()
    }


def test_the_whole_loss_with_every_pixel_of_a_class() -> None:
    """Views just below the classes' size: only one pixel of each class can be missing."""
    output = make_output()
    labels = np.full((2, 8, 12), 255)
    labels[0, :4], labels[1, 4:] = 0, 1  # 2×6 pixels each after the resize
    options = {"temperature": 0.3, "base_temperature": 0.1, "max_views": 11}
    paddle.seed(0)
    value = PixelContrastCrossEntropyLoss(**options)(output, paddle.to_tensor(labels))
    value.backward()
    rows = unit(output["embed"].numpy().astype("float64").transpose(0, 2, 3, 1).reshape(-1, 5))
    possible = [
        3
        * contrast_of_pixels(
            rows[[*(i for i in range(12) if i != a), *(i for i in range(36, 48) if i != b)]],
            [0] * 11 + [1] * 11,
            0.3,
        )
        for a in range(12)
        for b in range(36, 48)
    ]
    assert min(abs(value.item() - one) for one in possible) < 1e-5
    assert output["seg"].grad is None
    touched = np.abs(output["embed"].grad.numpy()).max(axis=1) > 0
    assert touched[0, :2].sum() == 11
    assert touched[1, 2:].sum() == 11
    assert not touched[0, 2:].any()
    assert not touched[1, :2].any()


def test_draws_follow_paddles_seed() -> None:
    output, labels = make_output(), paddle.zeros([2, 4, 6], dtype="int64")
    labels[0] = 1
    loss = PixelContrastCrossEntropyLoss(max_views=4)
    values = []
    for seed in (0, 0, 1):
        paddle.seed(seed)
        values.append(loss(output, labels).item())
    assert values[0] == values[1] != values[2]


def test_no_class_is_large_enough() -> None:
    output = make_output()
    value = PixelContrastCrossEntropyLoss()(output, paddle.zeros([2, 4, 6], dtype="int64"))
    value.backward()
    assert value.item() == 0.0
    np.testing.assert_array_equal(output["embed"].grad.numpy(), np.zeros([2, 5, 4, 6]))


def test_an_embedding_of_zeros_has_a_finite_slope() -> None:
    output = {name: paddle.zeros_like(one) for name, one in make_output().items()}
    output["embed"].stop_gradient = False
    labels = paddle.zeros([2, 4, 6], dtype="int64")
    labels[0] = 1
    PixelContrastCrossEntropyLoss(max_views=4)(output, labels).backward()
    assert np.isfinite(output["embed"].grad.numpy()).all()


def test_beside_cross_entropy_on_another_output() -> None:
    output, labels = make_output(), paddle.zeros([2, 4, 6], dtype="int64")
    labels[0] = 1
    both = CombinedLoss([CrossEntropyLoss(), PixelContrastCrossEntropyLoss(max_views=4)], [1, 0.1])
    values = both([output["seg"], output], labels)
    assert list(values.parts) == ["CrossEntropyLoss", "PixelContrastCrossEntropyLoss"]
    assert values.total.item() == pytest.approx(sum(part.item() for part in values.parts.values()), rel=1e-6)


@pytest.mark.parametrize(
    ("output", "got"),
    [(paddle.zeros([1, 2, 4, 4]), "a Tensor"), ({"seg": None}, r"a mapping with \['seg'\]")],
)
def test_logits_alone_are_refused(output: object, got: str) -> None:
    with pytest.raises(ConfigError, match=f"got {got} as the model's output"):
        PixelContrastCrossEntropyLoss()(output, paddle.zeros([1, 4, 4], dtype="int64"))


def test_shapes() -> None:
    output = make_output()
    with pytest.raises(ValueError, match=r"'seg' of shape \[2, 3, 2, 6\]"):
        PixelContrastCrossEntropyLoss()(
            {**output, "seg": output["seg"][:, :, :2]}, paddle.zeros([2, 4, 6], dtype="int64")
        )


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"base_temperature": -1.0}, {"max_samples": 0}, {"max_views": 0}]
)
def test_refusals(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PixelContrastCrossEntropyLoss(**options)

from __future__ import annotations

import numpy as np
import paddle
import pytest
from loss_oracles import cross_entropy, dice, make_case, ohem

from paddleseg.errors import ConfigError
from paddleseg.losses import CombinedLoss, CrossEntropyLoss, DiceLoss, MixedLoss, OhemCrossEntropyLoss


def outputs() -> tuple[list[np.ndarray], np.ndarray]:
    main, labels = make_case(seed=0)
    auxiliary, _ = make_case(seed=1)
    return [main, auxiliary], labels


def tensors(arrays: list[np.ndarray]) -> list[paddle.Tensor]:
    return [paddle.to_tensor(array.astype("float32"), stop_gradient=False) for array in arrays]


def test_total_and_parts() -> None:
    (main, auxiliary), labels = outputs()
    loss = CombinedLoss([OhemCrossEntropyLoss(min_kept=5), CrossEntropyLoss()], [1, 0.4])
    logits = tensors([main, auxiliary])
    values = loss(logits, paddle.to_tensor(labels))
    first = ohem(main, labels, thresh=0.7, min_kept=5)
    second = 0.4 * cross_entropy(auxiliary, labels)
    assert list(values.parts) == ["OhemCrossEntropyLoss", "CrossEntropyLoss"]
    assert [part.item() for part in values.parts.values()] == pytest.approx([first, second], rel=1e-6)
    assert values.total.item() == pytest.approx(first + second, rel=1e-6)
    assert values.total.shape == []
    values.total.backward()
    assert all(np.abs(tensor.grad.numpy()).sum() > 0 for tensor in logits)
    assert all(part.stop_gradient for part in values.parts.values())


def test_mixed_losses_count_every_part() -> None:
    arrays, labels = outputs()
    mixed = MixedLoss([CrossEntropyLoss(), DiceLoss()], [0.8, 0.2])
    values = CombinedLoss([mixed, mixed], [1.0, 0.5])(tensors(arrays), paddle.to_tensor(labels))
    expected = {
        "CrossEntropyLoss_0": 0.8 * cross_entropy(arrays[0], labels),
        "DiceLoss_0": 0.2 * dice(arrays[0], labels),
        "CrossEntropyLoss_1": 0.4 * cross_entropy(arrays[1], labels),
        "DiceLoss_1": 0.1 * dice(arrays[1], labels),
    }
    assert {name: part.item() for name, part in values.parts.items()} == pytest.approx(expected, rel=1e-5)
    assert values.total.item() == pytest.approx(sum(expected.values()), rel=1e-5)


@pytest.mark.parametrize(
    ("losses", "names", "expected"),
    [
        ([CrossEntropyLoss()], None, ["CrossEntropyLoss"]),
        ([CrossEntropyLoss(), CrossEntropyLoss()], None, ["CrossEntropyLoss_0", "CrossEntropyLoss_1"]),
        (
            [MixedLoss([CrossEntropyLoss(), CrossEntropyLoss(), DiceLoss()], [1, 1, 1]), CrossEntropyLoss()],
            None,
            ["CrossEntropyLoss_0_0", "CrossEntropyLoss_0_1", "DiceLoss", "CrossEntropyLoss_1"],
        ),
        ([CrossEntropyLoss(), CrossEntropyLoss()], ["main", "auxiliary"], ["main", "auxiliary"]),
        (
            [MixedLoss([CrossEntropyLoss(), DiceLoss()], [1, 1]), DiceLoss()],
            ["main", "auxiliary"],
            ["main.CrossEntropyLoss", "main.DiceLoss", "auxiliary"],
        ),
    ],
)
def test_names(losses: list, names: list[str] | None, expected: list[str]) -> None:
    assert list(CombinedLoss(losses, [1.0] * len(losses), names).names) == expected


def test_a_function_is_a_loss_too() -> None:
    def squared(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        return (logits**2).mean()

    loss = CombinedLoss([squared], [2.0])
    assert loss.names == ("squared",)
    assert loss([paddle.full([1, 2, 1, 1], 3.0)], paddle.zeros([1, 1, 1], dtype="int64")).total.item() == 18.0


def test_number_of_outputs() -> None:
    arrays, labels = outputs()
    with pytest.raises(ConfigError, match="1 losses for 2 outputs"):
        CombinedLoss([CrossEntropyLoss()], [1.0])(tensors(arrays), paddle.to_tensor(labels))


@pytest.mark.parametrize(
    ("losses", "coefs", "names"),
    [([], [], None), ([CrossEntropyLoss()], [1.0, 0.4], None), ([CrossEntropyLoss()], [1.0], ["a", "b"])],
)
def test_lengths(losses: list, coefs: list[float], names: list[str] | None) -> None:
    with pytest.raises(ValueError, match="got"):
        CombinedLoss(losses, coefs, names)

from __future__ import annotations

import paddle
import pytest
from loss_oracles import cross_entropy, dice, lovasz, make_case, run

from paddleseg.losses import CrossEntropyLoss, DiceLoss, LovaszSoftmaxLoss, MixedLoss
from paddleseg.losses.mixed import loss_terms, term_names


def test_sum_with_factors() -> None:
    logits, labels = make_case()
    loss = MixedLoss([DiceLoss(), CrossEntropyLoss()], [0.25, 2.0])
    expected = 0.25 * dice(logits, labels) + 2.0 * cross_entropy(logits, labels)
    assert run(loss, logits, labels)[0] == pytest.approx(expected, rel=1e-6)


def test_terms_of_nested_losses() -> None:
    logits, labels = make_case()
    inner = MixedLoss([LovaszSoftmaxLoss(), DiceLoss()], [3.0, 1.0])
    outer = MixedLoss([CrossEntropyLoss(), inner], [1.0, 0.5])
    assert term_names(outer) == ["CrossEntropyLoss", "LovaszSoftmaxLoss", "DiceLoss"]
    terms = loss_terms(outer, paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels))
    expected = [cross_entropy(logits, labels), 1.5 * lovasz(logits, labels), 0.5 * dice(logits, labels)]
    assert [term.item() for term in terms] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("losses", "coef"), [([], []), ([CrossEntropyLoss()], [1.0, 2.0])])
def test_lengths(losses: list, coef: list[float]) -> None:
    with pytest.raises(ValueError, match="coef"):
        MixedLoss(losses, coef)

"""Gradients of two processes against those of one; synchronised batch norm without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
import pytest
from launch import Job
from paddle import nn
from small_task import TinySegmenter

from paddleseg.engine import gradients
from paddleseg.engine.gradients import GradientSync, synchronise_batch_norm
from paddleseg.engine.group import Group
from paddleseg.losses import CombinedLoss, CrossEntropyLoss, OhemCrossEntropyLoss

Gradients = dict[str, np.ndarray]

# Two processes with two micro-batches of one image each.
SCRIPT = """
import sys
import numpy as np
import paddle
from test_gradients import Branches, Turned, make_batch, make_loss, make_model, read_gradients
from paddleseg.engine import gradients
from paddleseg.engine.group import Group

gradients._MESSAGE_VALUES = 100  # so that this small model sends several, and cuts tensors
with Group.start() as group:
    for loss_name in ("plain", "ohem"):
        images, labels = make_batch(loss_name)
        for accumulate in (1, 2):
            for overlap in (False, True):
                model, loss = make_model(seed=group.rank), make_loss(loss_name)
                sync = gradients.GradientSync(model, group, overlap=overlap)
                for micro in range(accumulate):
                    mine = micro * group.size + group.rank
                    with sync.micro_step(last=micro == accumulate - 1):
                        logits = sync.model(images[mine : mine + 1])
                        (loss(logits, labels[mine : mine + 1]).total / accumulate).backward()
                sync.finish()
                name = f"{loss_name} {accumulate} {overlap} {group.rank}.npz"
                np.savez(name, **read_gradients(model))
                np.savez("state " + name, **{k: v.numpy() for k, v in sync.model.state_dict().items()})
    for overlap in (False, True):
        model = Branches()
        sync = gradients.GradientSync(model, group, overlap=overlap)
        sync.model(paddle.to_tensor([[1.0, 2.0], [3.0, 4.0]]), group.rank == 1).backward()
        sync.finish()
        found = {k: v.grad.numpy() for k, v in model.named_parameters() if v.grad is not None}
        np.savez(f"branches {overlap} {group.rank}.npz", **found)
    turned = Turned()
    sync = gradients.GradientSync(turned, group, overlap=False)
    sync.model(group.rank + 1.0).backward()
    assert not turned.weight.grad.is_contiguous(), "the test has lost its subject"
    sync.finish()
    np.save(f"turned {group.rank}.npy", turned.weight.grad.numpy())
"""


class Branches(nn.Layer):
    """Not every image uses every parameter, and none uses the last."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.branch, self.unused = (nn.Linear(2, 1, bias_attr=False) for _ in range(3))

    def forward(self, x: paddle.Tensor, with_branch: bool) -> paddle.Tensor:
        return (self.trunk(x) + self.branch(x) if with_branch else self.trunk(x)).sum()


class Turned(nn.Layer):
    """Has a weight whose gradient, factor·[[0, 2, 4], [1, 3, 5]], is made as its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([2, 3])

    def forward(self, factor: float) -> paddle.Tensor:
        return (self.weight.t() * paddle.arange(6, dtype="float32").reshape([3, 2])).sum() * factor


def make_model(*, seed: int) -> TinySegmenter:
    """In training mode, with what differs between images of one batch and single ones held still."""
    paddle.seed(seed)
    model = TinySegmenter(4, dropout_prob=0.0)
    model.norm._mean.set_value(paddle.rand([8]))
    model.train()
    model.norm.eval()
    return model


def make_batch(loss_name: str) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Four images; those for the OHEM loss have 10 %, 20 %… of their pixels unlabelled."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, (4, 24, 32))
    if loss_name == "ohem":
        for index, label in enumerate(labels, start=1):
            label[rng.random(label.shape) < index / 10] = 255
    return paddle.to_tensor(rng.standard_normal((4, 3, 24, 32)).astype("float32")), paddle.to_tensor(labels)


def make_loss(loss_name: str) -> CombinedLoss:
    parts = [CrossEntropyLoss(), CrossEntropyLoss()]
    if loss_name == "ohem":
        parts = [OhemCrossEntropyLoss(min_kept=50), OhemCrossEntropyLoss(min_kept=50)]
    return CombinedLoss(parts, [1.0, 0.4])


def read_gradients(model: nn.Layer) -> Gradients:
    trained = [pair for pair in model.named_parameters() if not pair[1].stop_gradient]
    return {name: value.grad.numpy() for name, value in trained}


def gradients_of(loss_name: str, shares: Sequence[slice]) -> Gradients:
    """The mean of the gradients of some shares of the batch, one after the other, in this process."""
    images, labels = make_batch(loss_name)
    found = []
    for share in shares:
        model = make_model(seed=0)
        make_loss(loss_name)(model(images[share]), labels[share]).total.backward()
        found.append(read_gradients(model))
    return {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}


@pytest.fixture(scope="module", params=[1, 2], ids=["one machine", "two machines"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have found."""
    folder, machines = tmp_path_factory.mktemp("gradients"), request.param
    imports = [Path(__file__).parent]
    with Job(folder, SCRIPT, processes=2 // machines, machines=machines, imports=imports) as job:
        assert job.wait(120) == [0] * machines, job.everything()
    return folder


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("loss_name", ["plain", "ohem"])
def test_two_processes_equal_one(folder: Path, loss_name: str, accumulate: int, overlap: bool) -> None:
    images = 2 * accumulate
    if loss_name == "plain":
        expected = gradients_of(loss_name, [slice(0, images)])
    else:
        expected = gradients_of(loss_name, [slice(i, i + 1) for i in range(images)])
    for rank in (0, 1):
        found = np.load(folder / f"{loss_name} {accumulate} {overlap} {rank}.npz")
        assert set(found) == set(expected)
        for name, gradient in expected.items():
            assert np.abs(gradient).max() > 1e-4, f"{name}: a gradient worth comparing"
            np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("overlap", [False, True])
def test_all_have_rank_0s_parameters_and_buffers_under_their_names(folder: Path, overlap: bool) -> None:
    expected = make_model(seed=0).state_dict()
    assert np.abs(expected["norm._mean"].numpy() - make_model(seed=1).norm._mean.numpy()).max() > 0.1
    for rank in (0, 1):
        found = np.load(folder / f"state plain 1 {overlap} {rank}.npz")
        assert list(found) == list(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value.numpy(), err_msg=name)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("overlap", [False, True])
def test_a_gradient_that_some_lack_counts_as_zero_there(folder: Path, overlap: bool) -> None:
    """That of a sum of products with (1, 2) and (3, 4) is (4, 6)."""
    for rank in (0, 1):
        found = np.load(folder / f"branches {overlap} {rank}.npz")
        assert {name: found[name].ravel().tolist() for name in found} == {
            "trunk.weight": [4, 6],
            "branch.weight": [2, 3],  # the mean of (4, 6) and nothing
        }


@pytest.mark.slow
@pytest.mark.distributed
def test_a_gradient_that_lies_crosswise_in_memory_is_averaged_in_its_place(folder: Path) -> None:
    """The factors are 1 and 2, their mean is 1.5."""
    for rank in (0, 1):
        assert np.load(folder / f"turned {rank}.npy").tolist() == [[0, 3, 6], [1.5, 4.5, 7.5]]


def test_gradients_of_every_shape_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process with three times the gradients; the message of 4 values cuts the last tensor."""
    monkeypatch.setattr(gradients, "_MESSAGE_VALUES", 4)
    monkeypatch.setattr(gradients.framework, "all_reduce", lambda message: message.scale_(4.0))
    tensors = [paddle.full(shape, 1.5) for shape in ([], [1], [2, 1, 3])]
    gradients._average(tensors, Group(0, 2))
    for tensor in tensors:
        np.testing.assert_array_equal(tensor.numpy(), np.full(tensor.shape, 3.0))


def test_the_losses_tell_means_of_shares_from_whole_batches() -> None:
    """Otherwise the comparison above would say nothing about the OHEM loss."""
    whole = gradients_of("ohem", [slice(0, 2)])
    shares = gradients_of("ohem", [slice(0, 1), slice(1, 2)])
    assert np.abs(whole["conv.weight"] - shares["conv.weight"]).max() > 1e-4


@pytest.mark.parametrize("overlap", [False, True])
def test_a_group_of_one_leaves_all_as_it_is(overlap: bool) -> None:
    model = make_model(seed=0)
    sync = GradientSync(model, Group(), overlap=overlap)
    images, labels = make_batch("plain")
    with sync.micro_step(last=True):
        make_loss("plain")(sync.model(images[:2]), labels[:2]).total.backward()
    sync.finish()
    assert sync.model is model
    for name, gradient in gradients_of("plain", [slice(0, 2)]).items():
        np.testing.assert_array_equal(read_gradients(model)[name], gradient)


def test_batch_norm_stays_plain_on_cpu_which_rank_0_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    for group in (Group(0, 1), Group(0, 2), Group(1, 2)):
        model = make_model(seed=0)
        assert synchronise_batch_norm(model, group) is model
        assert type(model.norm) is nn.BatchNorm2D
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["Batch norm"]


def test_synchronised_batch_norm_keeps_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    model = make_model(seed=0)
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    names = [parameter.name for parameter in model.parameters()]
    converted = synchronise_batch_norm(model, Group(0, 2))
    assert type(converted.norm) is nn.SyncBatchNorm
    assert [parameter.name for parameter in converted.parameters()] == names
    assert list(converted.state_dict()) == list(before)
    for name, value in converted.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)

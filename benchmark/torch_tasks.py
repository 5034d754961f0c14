"""One measured process over plain PyTorch: see benchmark/own_tasks.py. It needs PyTorch and NumPy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import task_inputs as inputs
import torch
from measuring import Memory, report, run_task, time_calls
from torch import Tensor
from torch.nn import functional as F
from torch_network import CCNet, CrissCross, load_weights

_LEAST_KEPT, _THRESHOLD = 10_000, 0.7


def attention(parameters: dict[str, Any]) -> None:
    """Criss-cross attention, forward and backward."""
    torch.set_num_threads(parameters["threads"])
    x, gradient, weights = inputs.attention_arrays(parameters["channels"], parameters["size"])
    layer = CrissCross(parameters["channels"])
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    source, upstream = torch.from_numpy(x).requires_grad_(), torch.from_numpy(gradient)
    memory = Memory()

    def call() -> None:
        source.grad = None
        layer.zero_grad()
        layer(source).backward(upstream)

    seconds = time_calls(call, times=parameters["times"])
    assert source.grad is not None
    report(seconds, memory, result=float(source.grad.abs().mean()))


def step(parameters: dict[str, Any]) -> None:
    """A training step on one batch in memory: forward, OHEM and cross-entropy, backward, momentum."""
    torch.set_num_threads(parameters["threads"])
    torch.manual_seed(0)
    network = CCNet(parameters["backbone"], inputs.CLASSES, inputs.align_corners(parameters["size"])).train()
    load_weights(network, Path(parameters["weights"] + ".npz"))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5)
    images, labels = map(torch.from_numpy, inputs.training_batch(parameters))
    totals: list[float] = []
    memory = Memory()

    def one_step() -> None:
        main, auxiliary = network(images)
        total = _ohem(main, labels) + 0.4 * F.cross_entropy(auxiliary, labels, ignore_index=inputs.IGNORE)
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        totals.append(float(total.detach()))

    report(time_calls(one_step, times=parameters["times"]), memory, result=totals[0])


def _ohem(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the pixels whose true class has a probability below the threshold."""
    losses = F.cross_entropy(logits, labels, ignore_index=inputs.IGNORE, reduction="none").flatten()
    kept = labels.flatten() != inputs.IGNORE
    if int(kept.sum()) > _LEAST_KEPT:
        # The loss is −log of the probability; pixels that do not count must not be among the smallest.
        probabilities = torch.where(kept, torch.exp(-losses.detach()), torch.inf)
        smallest = float(torch.kthvalue(probabilities, _LEAST_KEPT).values)
        kept = kept & (probabilities < max(_THRESHOLD, smallest))
    return losses[kept].sum() / (kept.sum() + 1e-5 * len(losses))


TASKS = {"attention": attention, "step": step}

if __name__ == "__main__":
    run_task(TASKS, __doc__ or "")

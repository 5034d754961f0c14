"""One measured process over a checkout of CCNet_paddle or PaddleSeg: see benchmark/own_tasks.py.

Each task calls the checkout's own functions in the order in which its ``train.py`` and ``val.py`` do.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import task_inputs as inputs
from measuring import Memory, report, run_task, time_calls
from peer_entry import enter_packages, modernise

CLASSES = inputs.CLASSES


def enter(parameters: dict[str, Any]) -> None:
    """Imports Paddle and makes ``paddleseg`` the checkout."""
    enter_packages(Path(parameters["peer"]))
    import paddle

    paddle.seed(0)
    modernise()


def reader(parameters: dict[str, Any]) -> None:
    """Batches of the reference recipe from the checkout's data set, as its training loop gets them."""
    if parameters.get("cores"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: parameters["cores"]])
    enter(parameters)
    import paddle
    from paddleseg.datasets.cityscapes import Cityscapes
    from paddleseg.transforms import transforms

    recipe = [
        transforms.ResizeStepScaling(0.5, 2.0, 0.25),
        transforms.RandomPaddingCrop(crop_size=tuple(parameters["crop"])),
        transforms.RandomHorizontalFlip(),
        transforms.RandomDistort(brightness_range=0.4, contrast_range=0.4, saturation_range=0.4),
        transforms.Normalize(),
    ]
    dataset = Cityscapes(recipe, parameters["data"], mode="train")
    batch, batches, warm_up = parameters["batch"], parameters["batches"], parameters["warm_up"]
    wanted = batch * (batches + warm_up)
    dataset.file_list = (dataset.file_list * wanted)[:wanted]
    sampler = paddle.io.DistributedBatchSampler(dataset, batch_size=batch, shuffle=True, drop_last=True)
    loader = paddle.io.DataLoader(
        dataset, batch_sampler=sampler, num_workers=parameters["workers"], return_list=True
    )
    inputs.report_batches((_images_and_labels(data) for data in loader), parameters)


def _images_and_labels(data: Any) -> tuple[Any, Any]:
    """What a training loop takes out of a batch: PaddleSeg's is a mapping, CCNet_paddle's a list."""
    images, labels = (data["img"], data["label"]) if isinstance(data, dict) else data[:2]
    return images, labels.astype("int64")


def attention(parameters: dict[str, Any]) -> None:
    """The checkout's criss-cross attention, forward and backward."""
    enter(parameters)
    layer_type = import_module("paddleseg.models.ccnet").CrissCrossAttention
    inputs.time_paddle_attention(layer_type, parameters)


def loss(parameters: dict[str, Any]) -> None:
    """OHEM on the main logits and 0.4 times cross-entropy on the auxiliary ones, forward and backward."""
    enter(parameters)
    losses, compute = _losses()
    inputs.time_paddle_loss(
        lambda logits, labels: sum(compute(logits_list=logits, labels=labels, losses=losses, edges=None)),
        parameters,
    )


def _losses() -> tuple[dict[str, Any], Any]:
    from paddleseg.core.train import loss_computation
    from paddleseg.models.losses.cross_entropy_loss import CrossEntropyLoss
    from paddleseg.models.losses.ohem_cross_entropy_loss import OhemCrossEntropyLoss

    return {"types": [OhemCrossEntropyLoss(), CrossEntropyLoss()], "coef": [1, 0.4]}, loss_computation


def _network(parameters: dict[str, Any]) -> Any:
    import paddle

    from paddleseg.models import ccnet
    from paddleseg.models.backbones import resnet_vd

    network = ccnet.CCNet(
        CLASSES,
        getattr(resnet_vd, parameters["backbone"])(output_stride=8),
        recurrence=2,
        dropout_prob=0.1,
        align_corners=inputs.align_corners(parameters["size"]),
    )
    missing, unexpected = network.set_state_dict(paddle.load(parameters["weights"] + ".pdparams"))
    if missing or unexpected:
        raise SystemExit(f"{parameters['weights']}: missing {missing}, unexpected {unexpected}")
    return network


def step(parameters: dict[str, Any]) -> None:
    """The checkout's training step on one batch in memory: forward, loss, backward, momentum, schedule."""
    enter(parameters)
    import paddle

    network = _network(parameters)
    network.train()
    schedule = paddle.optimizer.lr.PolynomialDecay(0.01, decay_steps=60000, end_lr=1e-4, power=0.9)
    optimizer = paddle.optimizer.Momentum(
        schedule, parameters=network.parameters(), momentum=0.9, weight_decay=4e-5
    )
    losses, compute = _losses()
    images, labels = map(paddle.to_tensor, inputs.training_batch(parameters))
    figures: list[float] = []
    memory = Memory()

    def one_step() -> None:
        total = sum(
            compute(logits_list=network(images), labels=labels.astype("int64"), losses=losses, edges=None)
        )
        total.backward()
        optimizer.step()
        schedule.step()
        network.clear_gradients()
        figures.append(float(total.numpy()[0]))

    report(time_calls(one_step, times=parameters["times"]), memory, result=figures[0])


def confusion(parameters: dict[str, Any]) -> None:
    """``calculate_area`` on one image."""
    enter(parameters)
    import paddle
    from paddleseg.utils.metrics import calculate_area

    prediction, label = inputs.label_pair(parameters["size"])
    predicted = paddle.to_tensor(prediction[None, None].astype(np.int32))
    truth = paddle.to_tensor(label[None].astype(np.int64))
    areas: list[Any] = []
    memory = Memory()
    seconds = time_calls(
        lambda: areas.append(calculate_area(predicted, truth, CLASSES)[0].numpy()), times=parameters["times"]
    )
    report(seconds, memory, result=float(areas[-1].sum()))


def evaluation(parameters: dict[str, Any]) -> None:
    """The checkout's whole validation."""
    enter(parameters)
    from paddleseg.core.val import evaluate
    from paddleseg.datasets.cityscapes import Cityscapes
    from paddleseg.transforms import transforms

    width, height = parameters["padded"]
    dataset = Cityscapes(
        [transforms.Padding(target_size=[width, height]), transforms.Normalize()],
        parameters["data"],
        mode="val",
    )
    network = _network(parameters)
    memory = Memory()
    began = time.perf_counter()
    accuracy = evaluate(network, dataset, num_workers=0, print_detail=False)[1]
    seconds = (time.perf_counter() - began) / len(dataset)
    report([seconds], memory, result=float(accuracy))


def windows(parameters: dict[str, Any]) -> None:
    """The checkout's sliding window over a large image with a small network."""
    enter(parameters)
    import paddle
    from paddleseg.core import infer

    network = inputs.small_paddle_network()
    image = inputs.large_image(parameters["size"])
    crop, stride = (inputs.WINDOW, inputs.WINDOW), (inputs.STRIDE, inputs.STRIDE)
    memory = Memory()
    began = time.perf_counter()
    tensor = paddle.to_tensor(inputs.normalise(image))
    with paddle.no_grad():
        logits = infer.inference(network, tensor, is_slide=True, stride=stride, crop_size=crop)
        labels = paddle.argmax(logits, axis=1, keepdim=True, dtype="int32").numpy()
    report([time.perf_counter() - began], memory, result=float(labels.sum(dtype=np.int64)))


TASKS = {
    "attention": attention,
    "confusion": confusion,
    "evaluation": evaluation,
    "loss": loss,
    "reader": reader,
    "step": step,
    "windows": windows,
}

if __name__ == "__main__":
    run_task(TASKS, __doc__ or "")

"""One measured process over this project: ``python benchmark/own_tasks.py TASK PARAMETERS``.

It prints one line of JSON (see benchmark/measuring.py). What it runs is what the programs run: the config is
checked and built, and trainer, loader and evaluator are those of ``train.py`` and ``val.py``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import task_inputs as inputs
from measuring import Memory, report, run_task, time_calls

from paddleseg import runtime

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml"
CLASSES = inputs.CLASSES


def start() -> None:
    """Sets the process up as the programs do and imports Paddle."""
    runtime.configure()
    runtime.import_framework()
    import paddle

    paddle.seed(0)


def make_config(parameters: dict[str, Any], overrides: Sequence[str] = ()) -> Any:
    """The reference recipe with the task's network, sizes and folders."""
    from paddleseg.build import load_config

    chosen = [f"train_dataset.dataset_root={parameters['data']}"] if "data" in parameters else []
    chosen += [f"val_dataset.dataset_root={parameters['data']}"] if "data" in parameters else []
    if "backbone" in parameters:
        corners = "true" if inputs.align_corners(parameters["size"]) else "false"
        chosen += [f"model.backbone.type={parameters['backbone']}", f"model.align_corners={corners}"]
    chosen += ["model.backbone.pretrained=null", *overrides, *parameters.get("overrides", [])]
    return load_config(REFERENCE, chosen)


def prepare(parameters: dict[str, Any]) -> None:
    """Writes random weights for every system (``.pdparams``, ``.npz``) and prints the FLOPs of one image."""
    start()
    import paddle

    from paddleseg.build import build_model
    from paddleseg.models.cost import measure_cost

    model = build_model(make_config(parameters))
    model.head.cca.gamma.set_value(paddle.to_tensor([0.5]))
    state = model.state_dict()
    paddle.save(state, parameters["weights"] + ".pdparams")
    np.savez(parameters["weights"] + ".npz", **{name: value.numpy() for name, value in state.items()})
    print(json.dumps({"flops": measure_cost(model, [1, 3, *parameters["size"]]).flops}))


def reader(parameters: dict[str, Any]) -> None:
    """Batches of the reference recipe, from PNG files or from a pack, as the trainer gets them."""
    if parameters.get("cores"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: parameters["cores"]])
    start()
    from paddleseg.build import build_dataset
    from paddleseg.data.loader import TrainBatchSampler, make_train_loader

    crop = "[{}, {}]".format(*parameters["crop"])
    dataset = build_dataset(
        make_config(parameters, [f"train_dataset.transforms.1.crop_size={crop}"]), "train"
    )
    batch, batches, warm_up = parameters["batch"], parameters["batches"], parameters["warm_up"]
    sampler = TrainBatchSampler(
        len(dataset), batch_size=batch, seed=0, rank=0, world_size=1, iterations=batches + warm_up
    )
    loader = make_train_loader(dataset, sampler, num_workers=parameters["workers"])
    inputs.report_batches(loader, parameters)


def attention(parameters: dict[str, Any]) -> None:
    """Criss-cross attention, forward and backward."""
    start()
    from paddleseg.models.layers import CrissCrossAttention

    inputs.time_paddle_attention(CrissCrossAttention, parameters)


def loss(parameters: dict[str, Any]) -> None:
    """The recipe's loss, forward and backward."""
    start()
    from paddleseg.build import build_loss

    compute = build_loss(make_config(parameters))
    inputs.time_paddle_loss(lambda logits, labels: compute(logits, labels).total, parameters)


def _model(config: Any, parameters: dict[str, Any]) -> Any:
    from paddleseg.build import build_model
    from paddleseg.models.weights import load_weights

    model = build_model(config)
    load_weights(model, parameters["weights"] + ".pdparams")
    return model


def step(parameters: dict[str, Any]) -> None:
    """The trainer's step on one batch in memory, with its look for numbers that are not finite."""
    start()
    import paddle

    from paddleseg.build import build_loss, build_optimizer, build_schedule
    from paddleseg.data.loader import TrainBatch
    from paddleseg.engine.checkpoint import TrainState
    from paddleseg.engine.guard import StepGuard
    from paddleseg.engine.trainer import StepParts, Trainer

    config = make_config(parameters)
    model = _model(config, parameters)
    images, labels = map(paddle.to_tensor, inputs.training_batch(parameters))
    batches: Iterator[TrainBatch] = repeat(TrainBatch(images, labels, ["memory"] * parameters["batch"]))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        trainer = Trainer(
            model=model,
            loss=build_loss(config),
            optimizer=build_optimizer(config, model),
            schedule=build_schedule(config),
            batches=batches,
            iterations=config.settings.iters,
            state=TrainState(seed=0),
            parts=StepParts(guard=StepGuard(model, policy="stop", folder=Path(folder), config_text="")),
        )
        model.train()
        totals: list[float] = []
        memory = Memory()

        def one_step() -> None:
            trainer.step(batches)
            assert trainer.losses is not None
            totals.append(trainer.losses.total.item())

        report(time_calls(one_step, times=parameters["times"]), memory, result=totals[0])


def confusion(parameters: dict[str, Any]) -> None:
    """The confusion matrix of one image."""
    start()
    from paddleseg.metrics.confusion import confusion_matrix

    prediction, label = inputs.label_pair(parameters["size"])
    truth = label.astype(np.int32)  # as the data set gives it
    matrices: list[Any] = []
    memory = Memory()
    seconds = time_calls(
        lambda: matrices.append(confusion_matrix(prediction, truth, CLASSES)), times=parameters["times"]
    )
    report(seconds, memory, result=float(np.trace(matrices[-1])))


def evaluation(parameters: dict[str, Any]) -> None:
    """A whole validation: reading, network, labels at the original size, counting."""
    start()
    from paddleseg.build import build_dataset
    from paddleseg.engine.evaluator import evaluate

    padded = "[{}, {}]".format(*parameters["padded"])
    config = make_config(parameters, [f"val_dataset.transforms.0.target_size={padded}"])
    dataset, model = build_dataset(config, "val"), _model(config, parameters)
    memory = Memory()
    began = time.perf_counter()
    outcome = evaluate(model, dataset)
    seconds = (time.perf_counter() - began) / len(dataset)
    report([seconds], memory, result=float(outcome.report.accuracy))


def windows(parameters: dict[str, Any]) -> None:
    """The sliding window over a large image with a small network."""
    start()
    from paddleseg.data.transforms import Compose, Normalize, Sample
    from paddleseg.engine.model_function import as_predict
    from paddleseg.engine.predictor import predict_label
    from paddleseg.inference import InferenceOptions

    predict = as_predict(inputs.small_paddle_network())
    image = inputs.large_image(parameters["size"])
    options = InferenceOptions(
        is_slide=True, crop_size=(inputs.WINDOW, inputs.WINDOW), stride=(inputs.STRIDE, inputs.STRIDE)
    )
    memory = Memory()
    began = time.perf_counter()
    labels = predict_label(Sample(image), predict=predict, transforms=Compose([Normalize()]), options=options)
    report([time.perf_counter() - began], memory, result=float(labels.sum(dtype=np.int64)))


TASKS = {
    "attention": attention,
    "confusion": confusion,
    "evaluation": evaluation,
    "loss": loss,
    "prepare": prepare,
    "reader": reader,
    "step": step,
    "windows": windows,
}

if __name__ == "__main__":
    run_task(TASKS, __doc__ or "")

"""Processes of benchmark/inference.py that run the toolkit itself; each command below is one.

- ``prepare``: random but sane weights, an image, the labels of our trained (dygraph) model, the cost.
- ``engine``: the exported model on one engine.
- ``peak``: the float32 matrix product of one library, the machine's practical limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import add_measuring_flags, measure

from paddleseg import runtime

CALIBRATION_SIZE = (193, 257)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    prepare_flags = commands.add_parser("prepare")
    prepare_flags.add_argument("--backbone", required=True)
    prepare_flags.add_argument("--size", nargs=2, type=int, required=True)
    prepare_flags.add_argument("--classes", type=int, required=True)
    prepare_flags.add_argument("--align_corners", action="store_true")
    prepare_flags.add_argument("--folder", type=Path, required=True)
    prepare_flags.set_defaults(run=prepare)
    engine_flags = commands.add_parser("engine")
    engine_flags.add_argument("--config", type=Path, required=True)
    engine_flags.add_argument("--engine", required=True)
    engine_flags.add_argument("--precision", default="fp32")
    add_measuring_flags(engine_flags)
    engine_flags.set_defaults(run=run_engine)
    peak_flags = commands.add_parser("peak")
    peak_flags.add_argument("--library", choices=sorted(PRODUCTS), required=True)
    peak_flags.add_argument("--side", type=int, required=True)
    peak_flags.set_defaults(run=measure_peak)
    args = parser.parse_args()
    args.run(args)


def prepare(args: argparse.Namespace) -> None:
    """Writes weights (``.pdparams``, ``.npz``), ``image.npy``, ``labels.npy``, a PNG; prints the FLOPs."""
    runtime.configure()
    runtime.import_framework()
    import paddle

    from paddleseg.models import CCNet
    from paddleseg.models.cost import measure_cost
    from paddleseg.models.layers import batch_norms
    from paddleseg.registry import BACKBONES

    paddle.seed(0)
    backbone = BACKBONES.get(args.backbone)(output_stride=8)
    model = CCNet(args.classes, backbone, recurrence=2, align_corners=args.align_corners)
    model.head.cca.gamma.set_value(paddle.to_tensor([0.5]))
    # As in trained networks, a block adds little to its input; else 100 random layers would turn the last
    # bits of the image into other labels.
    for name, block in backbone.named_children():
        if name.startswith("bb_"):
            last = batch_norms(block.conv2 if hasattr(block, "conv2") else block.conv1)[0]
            last.weight.set_value(paddle.full(last.weight.shape, 0.1))
    # Batch norm's statistics become those of real activations, so that none grows or dies on its way.
    for norm in batch_norms(model):
        norm._momentum = 0.0
    model.train()
    smooth = random_image(CALIBRATION_SIZE, 1)
    noise = np.random.default_rng(2).standard_normal(smooth.shape, dtype=np.float32)
    with paddle.no_grad():
        model(paddle.to_tensor(np.concatenate([smooth, noise])))
        model.eval()
        image = random_image(args.size, 0)
        labels = model(paddle.to_tensor(image))[0].argmax(axis=1).numpy()
    if len(np.unique(labels)) < 3:
        sys.exit("the random network sees fewer than three classes: its labels would show nothing")
    paddle.save(model.state_dict(), str(args.folder / "model.pdparams"))
    np.savez(args.folder / "model.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
    np.save(args.folder / "image.npy", image)
    np.save(args.folder / "labels.npy", labels.astype(np.int32))
    (args.folder / "calibration").mkdir()
    pixels = (random_image(args.size, 3)[0].transpose(1, 2, 0) * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(args.folder / "calibration" / "image.png"), np.ascontiguousarray(pixels[..., ::-1]))
    print(json.dumps({"flops": measure_cost(model, image.shape).flops}))


def random_image(size: tuple[int, int], seed: int) -> npt.NDArray[np.float32]:
    """Returns smooth patches with noise, 1×3×H×W, about as large as a normalised photograph."""
    generator = np.random.default_rng(seed)
    height, width = size
    coarse = generator.standard_normal((max(2, height // 32), max(2, width // 32), 3), dtype=np.float32)
    noise = generator.standard_normal((height, width, 3), dtype=np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + 0.1 * noise
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)


def run_engine(args: argparse.Namespace) -> None:
    """Times the exported model on one engine, with all cores."""
    settings = runtime.configure()
    from deploy.python.description import read_description
    from deploy.python.engines import make_engine

    engine = make_engine(
        read_description(args.config), engine=args.engine, threads=settings.threads, precision=args.precision
    )
    measure(engine.run, args)


def measure_peak(args: argparse.Namespace) -> None:
    """Prints the GFLOP/s of a square float32 matrix product: the best of three after warm-up."""
    settings = runtime.configure()
    generator = np.random.default_rng(0)
    first, second = (generator.standard_normal((args.side, args.side), dtype=np.float32) for _ in range(2))
    multiply = PRODUCTS[args.library](first, second, settings.threads)
    multiply()
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"gflops": 2 * args.side**3 / min(seconds) / 1e9}))


Matrix = npt.NDArray[np.float32]


def _numpy_product(first: Matrix, second: Matrix, threads: int) -> Callable[[], Any]:
    return lambda: first @ second


def _paddle_product(first: Matrix, second: Matrix, threads: int) -> Callable[[], Any]:
    runtime.import_framework()
    import paddle

    x, y = paddle.to_tensor(first), paddle.to_tensor(second)
    return lambda: paddle.matmul(x, y)


def _product_model(side: int) -> bytes:
    from onnx import TensorProto, helper

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side])

    node = helper.make_node("MatMul", ["x", "y"], ["z"])
    graph = helper.make_graph([node], "product", [value("x"), value("y")], [value("z")])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def _onnxruntime_product(first: Matrix, second: Matrix, threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        _product_model(len(first)), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": first, "y": second})


def _openvino_product(first: Matrix, second: Matrix, threads: int) -> Callable[[], Any]:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(_product_model(len(first))), "CPU", settings)
    return lambda: compiled([first, second])


PRODUCTS: dict[str, Callable[[Matrix, Matrix, int], Callable[[], Any]]] = {
    "numpy": _numpy_product,
    "onnxruntime": _onnxruntime_product,
    "openvino": _openvino_product,
    "paddle": _paddle_product,
}


if __name__ == "__main__":
    main()

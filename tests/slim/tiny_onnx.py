"""A network of four convolutions with attention, as ``export.py --format onnx`` would leave it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper

CLASSES = 3
DYNAMIC = ("n", 3, "h", "w")
EPSILON = 1e-5
NORM = ("gain", "shift", "mean", "variance")


def weights() -> dict[str, Any]:
    """All parameters, float32; each output channel of a convolution has another magnitude."""
    rng = np.random.default_rng(7)
    shapes = {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 8, 1, 1), "w3": (CLASSES, 8, 1, 1)}
    values = {
        name: rng.normal(0, 1, shape) * np.geomspace(0.1, 1, shape[0]).reshape(-1, 1, 1, 1) / shape[1]
        for name, shape in shapes.items()
    }
    values |= {"gain": rng.uniform(0.5, 2, 8), "shift": rng.normal(0, 0.1, 8)}
    values |= {"mean": rng.normal(0, 0.1, 8), "variance": rng.uniform(0.5, 2, 8)}
    values["w3"] = rng.normal(0, 1, values["w3"].shape)
    values["bias"] = np.array([0.25, 0.15, 0.07])  # so that each class wins somewhere
    return {name: value.astype(np.float32) for name, value in values.items()}


def network(*, output_op: str = "none", shape: tuple[Any, ...] = DYNAMIC, opset: int = 17) -> bytes:
    """Conv, Conv + BN, attention added to them, Conv, classifier, resize to twice the size, argmax …"""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w0"], ["c0"], "first", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], ["r0"], "relu"),
        node("Conv", ["r0", "w1"], ["c1"], "second", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", *NORM], ["b1"], "norm", epsilon=EPSILON),
        node("Transpose", ["b1"], ["t1"], "turn", perm=[0, 1, 3, 2]),
        node("MatMul", ["b1", "t1"], ["m1"], "scores"),
        node("Softmax", ["m1"], ["s1"], "attention", axis=3),
        node("MatMul", ["s1", "b1"], ["a1"], "context"),
        node("Add", ["a1", "b1"], ["d1"], "residual"),
        node("Conv", ["d1", "w2"], ["c2"], "third"),
        node("LeakyRelu", ["c2"], ["l2"], "leaky", alpha=0.01),
        node("Conv", ["l2", "w3", "bias"], ["c3"], "classifier"),
        node("Resize", ["c3", "", "scales"], ["scores_out"], "resize", mode="linear"),
    ]
    last, dtype, output_shape = "scores_out", TensorProto.FLOAT, [shape[0], CLASSES, shape[2], shape[3]]
    if output_op == "argmax":
        nodes.append(node("ArgMax", ["scores_out"], ["labels"], "argmax", axis=1, keepdims=0))
        last, dtype, output_shape = "labels", TensorProto.INT64, [shape[0], shape[2], shape[3]]
    elif output_op == "softmax":
        nodes.append(node("Softmax", ["scores_out"], ["probabilities"], "softmax", axis=1))
        last = "probabilities"
    values = {**weights(), "scales": np.array([1, 1, 2, 2], dtype=np.float32)}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, dtype, output_shape)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def write_export(folder: Path, *, output_op: str = "none", shape: tuple[Any, ...] = DYNAMIC) -> Path:
    """Writes model.onnx and deploy.yaml; returns the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    data = network(output_op=output_op, shape=shape)
    (folder / "model.onnx").write_bytes(data)
    deploy = {
        "onnx": "model.onnx",
        "input_shape": [n if isinstance(n, int) else -1 for n in shape],
        "output_op": output_op,
        "padding": {"side": "bottom_right", "value": 0.0},
        "transforms": [{"type": "Normalize"}],
        "num_classes": CLASSES,
        "class_names": ["ground", "wall", "größe"],
        "checksums": {"model.onnx": f"sha256:{hashlib.sha256(data).hexdigest()}"},
    }
    path = folder / "deploy.yaml"
    path.write_text(yaml.safe_dump({"Deploy": deploy}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def write_pictures(folder: Path, *, count: int = 6, size: tuple[int, int] = (48, 64)) -> Path:
    """Writes pictures of coloured rectangles."""
    folder.mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        pixels = np.zeros((*size, 3), dtype=np.uint8)
        for _ in range(6):
            top, left = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
            pixels[top : top + 24, left : left + 24] = rng.integers(0, 256, 3)
        cv2.imwrite(str(folder / f"{index}.png"), pixels)
    return folder

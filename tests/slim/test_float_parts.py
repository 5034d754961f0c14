"""The choice of what is quantised."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper
from tiny_onnx import network

from slim.quant.float_parts import choose_parts


def chain(*kinds: str) -> onnx.GraphProto:
    """Nodes one after the other, named by kind and place."""
    nodes = [
        helper.make_node(
            kind, [f"t{i}", f"w{i}"] if kind == "Conv" else [f"t{i}"], [f"t{i + 1}"], f"{kind}{i}"
        )
        for i, kind in enumerate(kinds)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("t0", f"t{len(kinds)}")]
    return helper.make_graph(nodes, "chain", ends[:1], ends[1:])


@pytest.mark.parametrize(
    ("kinds", "quantised", "in_float"),
    [
        # What lies between convolutions goes with them, what lies outside does not.
        (
            ["Relu", "Conv", "Relu", "Conv", "MaxPool", "Conv", "Resize"],
            ["Conv3", "Relu2", "MaxPool4"],
            ["Conv1", "Conv5"],
        ),
        # Two convolutions are both outer ones: better quantised than nothing.
        (["Conv", "Relu", "Conv"], ["Conv0", "Conv2", "Relu1"], []),
        (["Conv"], ["Conv0"], []),
        # Of unknown kind, and next to attention.
        (
            ["Conv", "Erf", "Conv", "Relu", "Softmax", "Relu", "Conv", "Conv"],
            ["Conv2", "Conv6"],
            ["Conv0", "Conv7"],
        ),
        (["Relu", "Softmax"], [], []),
    ],
)
def test_choice(kinds: list[str], quantised: list[str], in_float: list[str]) -> None:
    parts = choose_parts(chain(*kinds))
    assert parts.quantised == quantised
    assert parts.in_float == in_float


def test_a_size_that_attention_needs_is_no_activation() -> None:
    graph = chain("Conv", "Conv", "Relu", "Conv", "Conv")
    graph.node.append(helper.make_node("Shape", ["t3"], ["size"], "Shape"))
    graph.node.append(helper.make_node("Softmax", ["size"], ["weights"], "Softmax"))
    assert choose_parts(graph).quantised == ["Conv1", "Conv3", "Relu2"]


def test_a_network_with_attention() -> None:
    parts = choose_parts(onnx.load_from_string(network()).graph)
    assert parts.quantised == ["second", "third", "relu", "leaky"]
    assert parts.in_float == ["classifier", "first"]

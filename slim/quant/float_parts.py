"""Which parts of a network are quantised and which stay in floating point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx

__all__ = ["Parts", "choose_parts"]

# Between two convolutions these go on in eight bits; without them, each would convert to float and back.
_BETWEEN = {"Add", "AveragePool", "Clip", "Concat", "LeakyRelu", "MaxPool", "Relu", "Resize"}
# Attention: scores with a large negative mask, weights that sum to one, and what is added from them.
_ATTENTION = {"MatMul", "Softmax"}
# Activations go no further than the next of these: behind a shape there are no activations.
_BORDERS = {"Conv", "Shape"}


@dataclass(frozen=True)
class Parts:
    """Nodes of a graph by name.

    Attributes:
        quantised: Convolutions, and what lies between them and is no attention.
        in_float: Convolutions that stay in float: the first, which reads the image, and the last.
    """

    quantised: list[str]
    in_float: list[str]


def choose_parts(graph: onnx.GraphProto) -> Parts:
    """Chooses what is quantised.

    The first and the last convolution are a small share of the work, but rounding them costs about as many
    labels as rounding all the others. Where a network has no others, they are quantised too.

    Args:
        graph: An optimised network, batch normalisation merged into its convolutions.

    Returns:
        The parts; none is quantised where there is no convolution.
    """
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def before(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return [makers[name] for name in node.input if name in makers]

    def behind(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return [reader for name in node.output for reader in readers.get(name, [])]

    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    edges = [
        node
        for node in convolutions
        if not ("Conv" in _reached(node, before) and "Conv" in _reached(node, behind))
    ]
    if len(edges) == len(convolutions):
        edges = []
    in_float = {node.name for node in edges}
    quantised = [node.name for node in convolutions if node.name not in in_float]
    for node in graph.node:
        around = (_reached(node, before), _reached(node, behind))
        if node.op_type in _BETWEEN and all("Conv" in side and not side & _ATTENTION for side in around):
            quantised.append(node.name)
    return Parts(quantised, sorted(in_float))


def _reached(start: onnx.NodeProto, step: Callable[[onnx.NodeProto], Iterable[onnx.NodeProto]]) -> set[str]:
    """Kinds of the nodes on the way from a node in one direction, up to and with the next borders."""
    kinds: set[str] = set()
    seen: set[str] = set()
    waiting = list(step(start))
    while waiting:
        node = waiting.pop()
        kinds.add(node.op_type)
        if node.op_type not in _BORDERS and node.name not in seen:
            seen.add(node.name)
            waiting += step(node)
    return kinds

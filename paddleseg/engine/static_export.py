"""A trained model as a static graph in Paddle's format: the current one (PIR) or the old one (.pdmodel)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import paddle
from paddle import nn
from paddle.base.layer_helper import LayerHelper

from paddleseg.engine.export_check import ExportError, Floats, Outcome, OutputOp

__all__ = ["INPUT_NAME", "StaticModel", "write_static"]

INPUT_NAME = "x"
# Where each kind of program keeps things: the operator that ends it, and that of LeakyReLU.
_ARGMAX, _OLD_ARGMAX, _LEAKY_RELU = "pd_op.argmax", "arg_max", "pd_op.leaky_relu"


class _WithOutput(nn.Layer):
    """A model that ends in what its user wants: class ids, probabilities or logits."""

    def __init__(self, model: nn.Layer, output_op: OutputOp, *, legacy: bool) -> None:
        super().__init__()
        self.model = model
        self._output_op = output_op
        self._argmax = _argmax_of_old_programs if legacy else _argmax

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        logits = self.model(x)[0]
        if self._output_op == "argmax":
            return self._argmax(logits)
        if self._output_op == "softmax":
            return nn.functional.softmax(logits, axis=1)
        return logits


def _argmax(logits: paddle.Tensor) -> paddle.Tensor:
    return paddle.argmax(logits, axis=1, dtype="int32")


@paddle.jit.not_to_static
def _argmax_of_old_programs(logits: Any) -> Any:
    """The operator itself: in Paddle 3.3 ``paddle.argmax`` refuses the variables of old programs."""
    helper = LayerHelper("arg_max")
    labels = helper.create_variable_for_type_inference("int32", stop_gradient=True)
    kind = int(paddle.base.core.VarDesc.VarType.INT32)
    options = {"axis": 1, "keepdims": False, "flatten": False, "dtype": kind}
    helper.append_op(type=_OLD_ARGMAX, inputs={"X": logits}, outputs={"Out": [labels]}, attrs=options)
    return labels


def write_static(
    model: nn.Layer, path: Path, shape: Sequence[int | None], *, output_op: OutputOp, legacy: bool = False
) -> None:
    """Writes a program and its weights.

    Args:
        model: Trained network in evaluation mode.
        path: Where to, without suffix: ``.json`` or ``.pdmodel`` and ``.pdiparams`` are added.
        shape: N, C, H, W of the input; None for any.
        output_op: What the program returns.
        legacy: Write the old format, which Paddle 2 reads too.

    Raises:
        ExportError: Paddle cannot express the model in this format.
        OSError: The files cannot be written.
    """
    wrapped = _WithOutput(model, output_op, legacy=legacy)
    wrapped.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _old_programs() if legacy else contextlib.nullcontext():
            spec = [paddle.static.InputSpec(shape=list(shape), dtype="float32", name=INPUT_NAME)]
            paddle.jit.save(paddle.jit.to_static(wrapped, input_spec=spec, full_graph=True), str(path))
    except (OSError, MemoryError):
        raise
    except Exception as error:
        kind = "old format" if legacy else "static format"
        advice = "; use --format paddle or onnx" if legacy else ""
        raise ExportError(
            f"Paddle cannot write this model in its {kind}: {_last_line(error)}{advice} (nothing was written)"
        ) from error
    path.with_suffix(".pdiparams.info").unlink(missing_ok=True)


@contextlib.contextmanager
def _old_programs() -> Iterator[None]:
    """Lets Paddle trace into its old format, without its advice on features that are old."""
    with warnings.catch_warnings(), paddle.pir_utils.DygraphOldIrGuard():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class StaticModel:
    """Files that :func:`write_static` wrote, with the scores before the final argmax still in reach.

    Args:
        path: As given to :func:`write_static`.
        output_op: What the program returns.
        legacy: Whether it is in the old format.
    """

    def __init__(self, path: Path, *, output_op: OutputOp, legacy: bool = False) -> None:
        self._guard = paddle.pir_utils.OldIrGuard if legacy else paddle.pir_utils.IrGuard
        self._scope = paddle.static.Scope()
        with self._guard(), paddle.static.scope_guard(self._scope):
            self._executor = paddle.static.Executor()
            program, _, (output,) = paddle.static.load_inference_model(str(path), self._executor)
            find = _find_in_old_program if legacy else _find_in_program
            feed, before_argmax = find(program)
            results = [before_argmax, output] if output_op == "argmax" else [output]
            self.program = paddle.static.normalize_program(program, [feed], results)
            # The pruned copy has values of its own; variables of old programs go by name.
            self._results = results if legacy else _fetched(self.program)

    def __call__(self, image: Floats) -> Outcome:
        """Runs the program.

        Args:
            image: N×C×H×W float32.
        """
        with self._guard(), paddle.static.scope_guard(self._scope):
            feed = {INPUT_NAME: image}
            scores, *labels = self._executor.run(self.program, feed=feed, fetch_list=self._results)
        return Outcome(scores, labels[0] if labels else scores.argmax(axis=1))

    def leaky_relu_slopes(self) -> list[float]:
        """Slopes below zero of the current format's LeakyReLU operators, in the order of the program."""
        found = _operators(self.program, _LEAKY_RELU)
        return [float(operator.attrs()["negative_slope"]) for operator in found]


def _operators(program: Any, name: str) -> list[Any]:
    return [operator for operator in program.global_block().ops if operator.name() == name]


def _fetched(program: Any) -> list[Any]:
    return [operator.operand_source(0) for operator in _operators(program, "pd_op.fetch")]


def _find_in_program(program: Any) -> tuple[Any, Any]:
    """The input, and what goes into the last argmax (None without one)."""
    argmax = _operators(program, _ARGMAX)
    feed = _operators(program, "pd_op.feed") or _operators(program, "pd_op.data")
    return feed[0].results()[0], argmax[-1].operand_source(0) if argmax else None


def _find_in_old_program(program: Any) -> tuple[Any, Any]:
    block = program.global_block()
    argmax = [operator.input("X")[0] for operator in block.ops if operator.type == _OLD_ARGMAX]
    return block.var(INPUT_NAME), block.var(argmax[-1]) if argmax else None

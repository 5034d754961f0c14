"""Whether the arrays of a checkpoint are those of this model and optimiser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import paddle

from paddleseg.errors import CheckpointError

__all__ = ["check_arrays", "check_optimizer_arrays", "with_master_tensors"]

_HINT = "was it written with another config?"


def check_arrays(file: str, tensors: Mapping[str, paddle.Tensor], arrays: Mapping[str, Any]) -> None:
    """Compares names, shapes and types.

    Args:
        file: What to call the arrays in messages.
        tensors: What is to be filled.
        arrays: From the file; bfloat16 as uint16.

    Raises:
        CheckpointError: Something lacks, is too much, or of another shape or type.
    """
    lacking = [name for name in tensors if name not in arrays]
    strange = [name for name in arrays if name not in tensors]
    for names, text in ((lacking, "lacks"), (strange, "holds, and the model does not have,")):
        if names:
            more = f" and {len(names) - 1} more tensors" if names[1:] else ""
            raise CheckpointError(f"{file} {text} '{names[0]}'{more}; {_HINT}")
    for name, tensor in tensors.items():
        got, expected = _describe(arrays[name]), f"{_numpy_type(tensor)} of shape {list(tensor.shape)}"
        if got != expected:
            raise CheckpointError(f"{file}: '{name}' is {got}, the model's is {expected}; {_HINT}")


def _describe(value: Any) -> str:
    kind = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
    return f"{kind} of shape {list(np.shape(value))}"


def _numpy_type(tensor: paddle.Tensor) -> str:
    name = str(tensor.dtype).removeprefix("paddle.")
    return "uint16" if name == "bfloat16" else name


def check_optimizer_arrays(
    file: str, optimizer: paddle.optimizer.Optimizer, arrays: Mapping[str, Any]
) -> None:
    """Checks that an optimiser has a place for every array of its state.

    An array that lacks is none of its business: a parameter has no buffers before its first gradient.

    Args:
        file: What to call the arrays in messages.
        optimizer: What is to be filled.
        arrays: From the file.

    Raises:
        CheckpointError: An array belongs to another model or optimiser.
    """
    parameters = {one.name: one for entry in optimizer._parameter_list for one in _parameters_of(entry)}
    kinds = [getattr(optimizer, name) for name in dir(optimizer) if name.endswith("_acc_str")]
    masters = _master_names(arrays)
    shapes = {
        f"{owner}_{kind}": list(one.shape)
        for name, one in parameters.items()
        for owner in {name, masters.get(name, name)}
        for kind in kinds
    }
    for key, array in arrays.items():
        if key not in ("LR_Scheduler", "master_weights"):
            _check_shape(file, key, array, shapes.get(key.rpartition("_")[0]))
    widened = arrays.get("master_weights", {})
    if not isinstance(widened, dict):
        _check_shape(file, "master_weights", widened, None)
    for name, array in widened.items():
        expected = list(parameters[name].shape) if name in parameters else None
        _check_shape(file, f"master_weights: {name}", array, expected)


def _parameters_of(entry: Any) -> list[Any]:
    return list(entry["params"]) if isinstance(entry, dict) else [entry]


def _check_shape(file: str, name: str, array: Any, expected: list[int] | None) -> None:
    """The powers of beta are one number each, whatever the parameter's shape."""
    shapes = [] if expected is None else [expected, [1], []]
    if not isinstance(array, np.ndarray) or list(array.shape) not in shapes:
        place = "have no place" if expected is None else f"have shape {expected}"
        raise CheckpointError(
            f"{file} holds '{name}', {_describe(array)}, for which this model and optimizer {place}; {_HINT}"
        )


def with_master_tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Makes tensors of the float32 copies of narrow weights: Paddle uses them as they are, by their names.

    Args:
        arrays: An optimiser's state, as read.

    Returns:
        What ``set_state_dict`` takes.
    """
    if "master_weights" not in arrays:
        return dict(arrays)
    names = _master_names(arrays)
    masters = {}
    for name, array in arrays["master_weights"].items():
        masters[name] = paddle.to_tensor(array)
        masters[name].name = names.get(name, f"{name}_fp32_master_0")
    return {**arrays, "master_weights": masters}


def _master_names(arrays: Iterable[str]) -> dict[str, str]:
    """Names of the master weights by those of their parameters, from the keys of their buffers."""
    found = (re.match(r"((.+)_fp32_master_\d+)_", key) for key in arrays)
    return {match[2]: match[1] for match in found if match}

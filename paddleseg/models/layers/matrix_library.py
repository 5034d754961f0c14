"""Matrix products of strided arrays on the CPU, with the math library that Paddle brings.

Paddle's own products take contiguous tensors only, so that columns of an image have to be copied together and
results back. The library underneath, Intel's MKL, takes any leading dimension, works through a batch of
matrices anywhere in memory with all threads, and adds to what is there.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle.jit.sot.psdb import in_sot

__all__ = [
    "Floats",
    "check_versions",
    "has_matrix_library",
    "multiply",
    "runs_eagerly",
    "saved_versions",
    "shared",
]

Floats = npt.NDArray[np.float32]

_LIBRARY = "libs/libmklml_intel.so"
_ROW_MAJOR, _AS_IT_LIES, _TRANSPOSED = 101, 111, 112
_NUMBER_BYTES = 4


def has_matrix_library() -> bool:
    """Whether Paddle's build brings the library: those for Intel and AMD processors on Linux do."""
    return _product() is not None


def runs_eagerly() -> bool:
    """Whether tensors have memory now: not while a graph is made, be it traced from Python's bytecode."""
    return bool(paddle.in_dynamic_mode()) and not in_sot()


def saved_versions(*tensors: paddle.Tensor) -> list[int]:
    """What a function of one's own remembers of the tensors that its backward needs."""
    return [one.inplace_version for one in tensors]


def check_versions(versions: list[int], *tensors: paddle.Tensor) -> None:
    """Refuses tensors that were changed since: Paddle looks after those of its own operations alone.

    Recomputation gives tensors made anew, whose count can be lower.

    Raises:
        RuntimeError: One was.
    """
    if any(now > before for now, before in zip(saved_versions(*tensors), versions, strict=True)):
        raise RuntimeError(
            "a tensor needed for the gradient was changed in place after the forward pass; "
            "change a copy of it, or call backward() first"
        )


def multiply(left: Floats, right: Floats, out: Floats, *, add: bool = False) -> None:
    """Writes ``left @ right`` into ``out``, or adds it.

    Args:
        left: M×K float32, or B×M×K; a view of any strides, where one of the last two axes is contiguous.
        right: K×N, or B×K×N, likewise.
        out: M×N, or B×M×N, writable, with a contiguous last axis; must not overlap the others.
        add: Whether the product is added to what is there.

    Raises:
        ValueError: Shapes or strides do not fit.
    """
    if not left.ndim == right.ndim == out.ndim or left.ndim not in (2, 3):
        raise ValueError(f"{left.ndim}, {right.ndim} and {out.ndim} axes: expected 2 or 3 of each")
    if not out.flags.writeable:
        raise ValueError("out: expected an array that may be written to")
    if left.ndim == 2:
        left, right, out = left[None], right[None], out[None]
    (batch, rows, inner), (_, _, columns) = left.shape, right.shape
    if right.shape[:2] != (batch, inner) or out.shape != (batch, rows, columns):
        raise ValueError(f"shapes {left.shape}, {right.shape} and {out.shape} do not make a product")
    if not out.size or not inner:
        raise ValueError(
            f"shapes {left.shape}, {right.shape} and {out.shape}: expected something to multiply"
        )
    left_order, left_step = _layout(left)
    right_order, right_step = _layout(right)
    out_order, out_step = _layout(out)
    if out_order != _AS_IT_LIES:
        raise ValueError(f"out: strides {out.strides}, expected a contiguous last axis")
    product = _product()
    assert product is not None
    sizes = [_integer(size) for size in (rows, columns, inner)]
    product(
        *(_ROW_MAJOR, _integer(left_order), _integer(right_order), *sizes, _number(1.0)),
        *(_addresses(left), _integer(left_step), _addresses(right), _integer(right_step)),
        *(_number(float(add)), _addresses(out), _integer(out_step), 1, _integer(batch)),
    )


def shared(values: paddle.Tensor) -> Floats:
    """The memory of a tensor on the CPU as an array."""
    array: Floats = np.from_dlpack(values.detach())  # type: ignore[assignment]
    return array


@functools.cache
def _product() -> Any:
    """``cblas_sgemm_batch``; None where the library or the function is missing."""
    try:
        function = ctypes.CDLL(str(Path(paddle.__file__).parent / _LIBRARY)).cblas_sgemm_batch
    except (OSError, AttributeError):
        return None
    function.restype = None
    return function


def _layout(matrices: Floats) -> tuple[int, int]:
    """How the matrices lie, and the elements from one line of memory to the next."""
    _, rows, columns = matrices.shape
    down, along = (stride // _NUMBER_BYTES for stride in matrices.strides[1:])
    if matrices.dtype == np.float32:
        if along == 1 or columns == 1:
            step = down if rows > 1 else columns
            if step >= columns:
                return _AS_IT_LIES, step
        if down == 1 or rows == 1:
            step = along if columns > 1 else rows
            if step >= rows:
                return _TRANSPOSED, step
    raise ValueError(
        f"{matrices.dtype} of strides {matrices.strides}: "
        "expected float32 with one of the last two axes contiguous"
    )


def _addresses(matrices: Floats) -> Any:
    first = matrices.__array_interface__["data"][0]
    step = matrices.strides[0]
    return (ctypes.c_void_p * len(matrices))(*(first + step * place for place in range(len(matrices))))


def _integer(value: int) -> Any:
    return (ctypes.c_int * 1)(value)


def _number(value: float) -> Any:
    return (ctypes.c_float * 1)(value)

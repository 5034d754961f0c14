"""What a pickle of arrays may name, and what stands behind the names here.

Not even NumPy sees a data type or a buffer before it has been checked.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ADMITTED", "PickledArray", "PickledDtype", "PickledName", "RefusedError", "make_dict"]

_DTYPE_CODE = re.compile(r"[<>|=]?(b1|[iu](1|2|4|8)|f(2|4|8)|c(8|16))")
_LONGEST_SHOWN = 40


class RefusedError(Exception):
    """The file asks for something that no array needs."""


class PickledName:
    """A function that a file may name; the machine knows what to do for it."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class PickledDtype:
    """Stands for ``numpy.dtype``: plain numbers only, never objects, strings or records."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise RefusedError(f"arrays of type {_shown(code)} are not admitted")
        self.value = np.dtype(code)

    def set_state(self, state: Any) -> None:
        byte_order = state[1]
        if byte_order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {_shown(byte_order)} is not known")
        self.value = self.value.newbyteorder(byte_order)


class PickledArray:
    """Stands for an array: made empty by ``_reconstruct``, filled by its state."""

    def __init__(self, *_: object) -> None:
        self.value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        _, shape, dtype, column_major, raw = state
        self.value = _to_array(shape, dtype, "F" if column_major else "C", raw)


def _to_array(shape: Any, dtype: object, order: Any, raw: Any) -> np.ndarray:
    """An array over its bytes, which it does not copy."""
    if not isinstance(shape, tuple) or not all(isinstance(side, int) for side in shape):
        raise pickle.UnpicklingError("the shape of an array is no tuple of integers")
    if not isinstance(dtype, PickledDtype):
        raise pickle.UnpicklingError("an array has no data type")
    data = bytearray(raw.encode("latin1")) if isinstance(raw, str) else raw  # str: written by Python 2
    if not isinstance(data, bytearray) or len(data) != math.prod(shape) * dtype.value.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} has {len(data)} bytes of data")
    return np.ndarray(shape, dtype.value, buffer=data, order=order)


def _to_scalar(dtype: object, raw: Any) -> Any:
    return _to_array((), dtype, "C", raw)[()]


def _encode(text: str, encoding: str) -> bytearray:
    """What protocol 2 writes for bytes: ``_codecs.encode(text, 'latin1')``, and no other codec."""
    if encoding != "latin1":
        raise RefusedError(f"the text encoding {_shown(encoding)} is not admitted")
    return bytearray(text.encode("latin1"))


def make_dict(pairs: Any = ()) -> dict[Any, Any]:
    """A dictionary of pairs.

    Raises:
        UnpicklingError: A key is neither text nor a number.
    """
    return {_as_key(key): value for key, value in pairs}


def _same_tuple(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """How paddle.save writes a tensor outside a state dict: ``tuple((name, array))``."""
    if not isinstance(items, tuple):
        raise pickle.UnpicklingError(f"a tuple is made of a {type(items).__name__}")
    return items


def _shown(value: object) -> str:
    """For messages: a container may hold itself many times over, and text may be endless."""
    return repr(value[:_LONGEST_SHOWN]) if isinstance(value, str) else f"(a {type(value).__name__})"


def _as_key(key: Any) -> Any:
    """Hashing a deeply nested tuple would overflow the interpreter's stack."""
    if not isinstance(key, (str, int, float, type(None))):
        raise pickle.UnpicklingError(f"a {type(key).__name__} is the key of a dictionary")
    return key


ADMITTED: dict[tuple[str, str], PickledName] = {  # by module and name
    ("numpy", "ndarray"): PickledName(PickledArray),  # only ever an argument of _reconstruct
    ("numpy", "dtype"): PickledName(PickledDtype),
    ("_codecs", "encode"): PickledName(_encode),
    ("collections", "OrderedDict"): PickledName(make_dict),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # the names before and after NumPy 2
    ADMITTED[_module, "_reconstruct"] = PickledName(PickledArray)
    ADMITTED[_module, "scalar"] = PickledName(_to_scalar)
for _module in ("builtins", "__builtin__"):  # the names of Python 3 and Python 2
    ADMITTED[_module, "bytes"] = PickledName(lambda: bytearray())  # protocol 2 writes empty bytes as a call
    ADMITTED[_module, "tuple"] = PickledName(_same_tuple)
    ADMITTED[_module, "dict"] = PickledName(make_dict)

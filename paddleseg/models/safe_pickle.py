"""Reads the pickles that ``paddle.save`` writes, and runs nothing that a file asks for.

A pickle names functions for the reader to call, so an ordinary reader (``paddle.load`` too) executes whatever
the author of the file wished. This one knows a closed list of names, and puts its own stand-ins behind them:
not even NumPy sees a data type or a buffer before it has been checked.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from paddleseg.errors import WeightsError

__all__ = ["load_pickle"]

# Entries that paddle.save adds to a dictionary: parameter names, and tensors cut for old protocols.
_NAME_TABLE = "StructuredToParameterName@@"
_SLICE_TABLE = "UnpackBigParamInfor@@"

_NUMBERS = re.compile(r"[<>|=]?(b1|[iu](1|2|4|8)|f(2|4|8)|c(8|16))")

_FOREIGN = {
    b"PK\x03\x04": "it is a zip archive, as PyTorch writes them; convert it to .pdparams or .safetensors",
    b"\x1f\x8b": "it is a gzip archive; give it a name that ends in .tar.gz",
    b"<": "it is a web page, perhaps a login or an error page saved under this name",
    b"version https://git-lfs": "it is a Git LFS pointer; fetch the real file with 'git lfs pull'",
}


class _RefusedError(Exception):
    """The file asks for something that no array needs."""


class _Dtype:
    """Stands for ``numpy.dtype``: plain numbers only, never objects, strings or records."""

    __slots__ = ("value",)

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise _RefusedError(f"arrays of type {code!r} are not admitted")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        byte_order = state[1]
        if byte_order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {byte_order!r} is not known")
        self.value = self.value.newbyteorder(byte_order)


class _Array:
    """Stands for an array: made empty by ``_reconstruct``, filled by its state."""

    __slots__ = ("value",)

    def __init__(self, *_: object) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, raw = state
        self.value = _to_array(shape, dtype, "F" if column_major else "C", raw)


class _Function:
    """A function that a file may call. Not a bare one: a file can set attributes on what it names."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("it sets the state of a function")


def _to_array(shape: tuple[int, ...], dtype: object, order: Any, raw: bytes | str) -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array has no data type")
    data = raw.encode("latin1") if isinstance(raw, str) else raw  # str: written by Python 2
    if len(data) != math.prod(shape) * dtype.value.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} has {len(data)} bytes of data")
    return np.ndarray(shape, dtype.value, buffer=data, order=order).copy()  # the buffer itself is read-only


def _to_scalar(dtype: object, raw: bytes | str) -> Any:
    return _to_array((), dtype, "C", raw)[()]


def _encode(text: str, encoding: str) -> bytes:
    """What protocol 2 writes for bytes: ``_codecs.encode(text, 'latin1')``, and no other codec."""
    if encoding != "latin1":
        raise _RefusedError(f"the text encoding {encoding!r} is not admitted")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",  # only ever an argument of _reconstruct, so it need not be callable
    ("numpy", "dtype"): _Function(_Dtype),
    ("_codecs", "encode"): _Function(_encode),
    ("collections", "OrderedDict"): _Function(dict),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # the names before and after NumPy 2
    _ADMITTED[_module, "_reconstruct"] = _Function(_Array)
    _ADMITTED[_module, "scalar"] = _Function(_to_scalar)
for _module in ("builtins", "__builtin__"):  # the names of Python 3 and Python 2
    _ADMITTED[_module, "bytes"] = _Function(lambda: b"")  # protocol 2 writes empty bytes as a call
    for _container in (tuple, list, dict, set, frozenset):
        _ADMITTED[_module, _container.__name__] = _Function(_container)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"it asks to use '{module}.{name}', and a weights file holds arrays only")
        return _ADMITTED[module, name]


def load_pickle(file: IO[bytes], origin: str) -> Any:
    """Reads a ``.pdparams`` or ``.pdopt`` file (pickle protocols 2 to 4) without running anything in it.

    Args:
        file: The open file, seekable, at its start.
        origin: What to call the file in messages.

    Returns:
        The saved object of dicts, lists, tuples, sets, numbers, text and NumPy arrays (own memory, writable;
        bfloat16 as uint16, as Paddle keeps it). A tensor saved as ``(name, array)`` becomes its array, the
        table of parameter names is left out, and tensors that Paddle cut into slices are joined.

    Raises:
        WeightsError: The file asks for anything but arrays and containers, or is broken or of another format.
        OSError: The disk cannot be read.
    """
    start = file.read(32)
    file.seek(0)
    try:
        # latin1, as paddle.load: the arrays of Python 2 come as such text
        return _join_slices(_to_plain(_Unpickler(file, encoding="latin1").load(), {}))
    except _RefusedError as error:
        raise WeightsError(
            f"{origin}: refused: {error}. Nothing of it was run; get the file from a source that you trust"
        ) from error
    except OSError:
        raise
    except Exception as error:  # a broken pickle can fail as almost any kind of exception
        raise WeightsError(f"{origin}: not a weights file: {_reason(start, error)}") from error


def _reason(start: bytes, error: Exception) -> str:
    if not start:
        return "it is empty"
    for magic, meaning in _FOREIGN.items():
        if start.startswith(magic):
            return meaning
    return f"{str(error) or type(error).__name__} (damaged or cut short?)"


def _to_plain(value: Any, known: dict[int, Any]) -> Any:
    """Replaces the stand-ins in a tree; ``known`` holds the containers met, by identity."""
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("an array has no data")
        return value.value
    if isinstance(value, (_Dtype, _Function)):
        raise pickle.UnpicklingError("a function or a data type stands where a value should be")
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return value
    if id(value) not in known:
        known[id(value)] = None
        known[id(value)] = _container_to_plain(value, known)
    if known[id(value)] is None:
        raise pickle.UnpicklingError("a container contains itself")
    return known[id(value)]


def _container_to_plain(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _to_plain(item, known) for key, item in value.items() if key != _NAME_TABLE}
    is_pair = isinstance(value, tuple) and len(value) == 2
    if is_pair and isinstance(value[0], str) and isinstance(value[1], _Array):
        return _to_plain(value[1], known)  # how paddle.save writes a tensor: (its name, its data)
    return type(value)(_to_plain(item, known) for item in value)


def _join_slices(state: Any) -> Any:
    if isinstance(state, dict):
        for name, entry in state.pop(_SLICE_TABLE, {}).items():
            slices = [state.pop(part) for part in entry["slices"]]
            state[name] = np.concatenate(slices).reshape(entry["OriginShape"])
    return state

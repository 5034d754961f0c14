"""Reads the pickles that ``paddle.save`` writes, and runs nothing that a file asks for.

An ordinary reader (``paddle.load`` too) executes whatever the author of a file wished;
:mod:`paddleseg.models.pickle_machine` does not. Here are Paddle's own conventions on top of it.
"""

from __future__ import annotations

import os
import pickle
from typing import IO, Any

import numpy as np

from paddleseg.errors import WeightsError
from paddleseg.models.pickle_machine import is_stand_in, run_pickle
from paddleseg.models.pickle_names import PickledArray, RefusedError

__all__ = ["load_pickle"]

# Entries that paddle.save adds to a dictionary: parameter names, and tensors cut for old protocols.
_NAME_TABLE = "StructuredToParameterName@@"
_SLICE_TABLE = "UnpackBigParamInfor@@"
_MOST_VALUES = 200_000  # a model of 1000 tensors has 1000, its optimiser 3000

_FOREIGN = {
    b"PK\x03\x04": "it is a zip archive, as PyTorch writes them; convert it to .pdparams or .safetensors",
    b"\x1f\x8b": "it is a gzip archive; give it a name that ends in .tar.gz",
    b"<": "it is a web page, perhaps a login or an error page saved under this name",
    b"version https://git-lfs": "it is a Git LFS pointer; fetch the real file with 'git lfs pull'",
}


def load_pickle(file: IO[bytes], origin: str) -> Any:
    """Reads a ``.pdparams`` or ``.pdopt`` file (pickle protocols 2 to 4) without running anything in it.

    Args:
        file: The open file, seekable, at its start.
        origin: What to call the file in messages.

    Returns:
        The saved object of dicts, lists, tuples, numbers, text, bytes and NumPy arrays (writable; bfloat16 as
        uint16, as Paddle keeps it). A tensor saved as ``(name, array)`` becomes its array, the table of
        parameter names is left out, and tensors that Paddle cut into slices are joined.

    Raises:
        WeightsError: The file asks for anything but arrays and containers, or is broken or of another format.
        OSError: The disk cannot be read.
    """
    start = file.read(32)
    size = file.seek(0, os.SEEK_END)
    try:
        return _join_slices(_Translator()(run_pickle(file)), size)
    except OSError:
        raise
    except Exception as error:  # a broken file can fail as almost any kind of exception
        raise WeightsError(f"{origin}: {_reason(start, error)}") from error


def _reason(start: bytes, error: Exception) -> str:
    if not start:
        return "not a weights file: it is empty"
    for magic, meaning in _FOREIGN.items():
        if start.startswith(magic):
            return f"not a weights file: {meaning}"
    if isinstance(error, RefusedError):
        return f"refused: {error}. Nothing of it was run; get the file from a source that you trust"
    if isinstance(error, RecursionError):
        return "not a weights file: its containers are nested too deeply, or contain themselves"
    return f"not a weights file: {str(error) or type(error).__name__} (damaged or cut short?)"


class _Translator:
    """Replaces the stand-ins in a tree; what the file holds once is not copied twice."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES
        self._bytes: dict[int, bytes] = {}  # by the identity of the original

    def __call__(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:  # a walk through a list of twice the same list of twice … would never end
            raise RefusedError("it holds the same containers again and again")
        if isinstance(value, PickledArray):
            if value.value is None:
                raise pickle.UnpicklingError("an array has no data")
            return value.value
        if is_stand_in(value):
            raise pickle.UnpicklingError("a function or a data type stands where a value should be")
        if isinstance(value, bytearray):
            if id(value) not in self._bytes:
                self._bytes[id(value)] = bytes(value)
            return self._bytes[id(value)]
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items() if key != _NAME_TABLE}
        if _is_named_array(value):
            return self(value[1])
        if isinstance(value, (list, tuple)):
            return type(value)(self(item) for item in value)
        return value


def _is_named_array(value: Any) -> bool:
    """How paddle.save writes a tensor: ``(its name, its data)``."""
    is_pair = isinstance(value, tuple) and len(value) == 2
    return is_pair and isinstance(value[0], str) and isinstance(value[1], PickledArray)


def _join_slices(state: Any, size: int) -> Any:
    """Joins the tensors that were cut; together they cannot have more than the ``size`` bytes of the file."""
    if isinstance(state, dict):
        for name, entry in state.pop(_SLICE_TABLE, {}).items():
            slices = [_pop_slice(state, part) for part in entry["slices"]]
            if len({one.dtype for one in slices}) != 1:
                raise pickle.UnpicklingError("the slices of an array are none, or of several types")
            size -= sum(one.nbytes for one in slices)
            if size < 0:
                raise RefusedError("it has the same data joined again and again")
            state[name] = np.concatenate(slices).reshape(entry["OriginShape"])
    return state


def _pop_slice(state: dict[Any, Any], name: Any) -> np.ndarray:
    part = state.pop(name) if isinstance(name, str) else None
    if not isinstance(part, np.ndarray):
        raise pickle.UnpicklingError("a slice of an array is no array")
    return part

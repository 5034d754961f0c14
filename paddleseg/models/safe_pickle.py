"""Reads the pickles that ``paddle.save`` writes, and runs nothing that a file asks for.

An ordinary reader (``paddle.load`` too) executes whatever the author of a file wished;
:mod:`paddleseg.models.pickle_machine` does not. Here are Paddle's own conventions on top of it.
"""

from __future__ import annotations

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
    file.seek(0)
    try:
        return _join_slices(_to_plain(run_pickle(file), {}))
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
    return f"not a weights file: {str(error) or type(error).__name__} (damaged or cut short?)"


def _to_plain(value: Any, known: dict[int, Any]) -> Any:
    """Replaces the stand-ins in a tree; ``known`` holds the containers met, by identity."""
    if isinstance(value, PickledArray):
        if value.value is None:
            raise pickle.UnpicklingError("an array has no data")
        return value.value
    if is_stand_in(value):
        raise pickle.UnpicklingError("a function or a data type stands where a value should be")
    if isinstance(value, bytearray):
        return bytes(value)
    if not isinstance(value, (dict, list, tuple)):
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
    if is_pair and isinstance(value[0], str) and isinstance(value[1], PickledArray):
        return _to_plain(value[1], known)  # how paddle.save writes a tensor: (its name, its data)
    return type(value)(_to_plain(item, known) for item in value)


def _join_slices(state: Any) -> Any:
    if isinstance(state, dict):
        for name, entry in state.pop(_SLICE_TABLE, {}).items():
            slices = [state.pop(part) for part in entry["slices"]]
            state[name] = np.concatenate(slices).reshape(entry["OriginShape"])
    return state

"""Weight files on disk: finding, reading and writing them. Reading runs nothing that a file holds."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import paddle
import safetensors
import safetensors.numpy

from paddleseg.errors import OutputError, WeightsError
from paddleseg.files import replace_file
from paddleseg.models.safe_pickle import load_pickle

__all__ = ["find_weights", "read_state", "save_weights"]

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_FORMATS = (".pdparams", ".safetensors")
_PREFERRED = ("model", "best_model/model")

_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # as Paddle keeps bfloat16 in NumPy
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def find_weights(path: str | Path) -> Path:
    """Finds the weights file that a path means.

    Args:
        path: A file, or a folder that holds ``model.pdparams``, or ``best_model/model.pdparams``, or exactly
            one ``.pdparams`` or ``.safetensors`` file. The first of these that is there counts.

    Returns:
        The file.

    Raises:
        WeightsError: There is none, or more than one that it could be.
    """
    path = Path(path).expanduser()
    with _reading(path):
        if path.is_dir():
            return _find_in_folder(path)
        if path.is_file():
            return path
    raise WeightsError(f"{path}: no such file or folder; give a weights file, its folder or a URL")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error


def _find_in_folder(folder: Path) -> Path:
    for stem in _PREFERRED:
        if found := [file for suffix in _FORMATS if (file := folder / f"{stem}{suffix}").is_file()]:
            return _only(found, folder)
    return _only(sorted(file for file in folder.iterdir() if file.suffix in _FORMATS), folder)


def _only(found: list[Path], folder: Path) -> Path:
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(file.relative_to(folder)) for file in found)
        raise WeightsError(f"{folder}: holds more than one weights file ({names}); name the one to load")
    inside = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
    raise WeightsError(f"{folder}: holds no model.pdparams, nor any other weights file; inside: {inside}")


def read_state(path: str | Path) -> dict[str, Any]:
    """Reads the named arrays of a file, and runs nothing that it holds.

    Args:
        path: ``.safetensors``; ``.tar.gz``, ``.tgz`` or ``.tar`` with one ``.pdparams`` or ``.safetensors``
            inside (read in place, nothing is unpacked); anything else is read as a Paddle pickle:
            ``.pdparams``, ``.pdopt``.

    Returns:
        Names and arrays; bfloat16 as uint16. An optimiser's state also has numbers and dictionaries.

    Raises:
        WeightsError: The file cannot be read, is unsafe, or holds something else.
    """
    path = Path(path)
    with _reading(path):
        if path.name.endswith(_ARCHIVES):
            state = _read_archive(path)
        elif path.suffix == ".safetensors":
            state = _read_safetensors(path.read_bytes(), str(path))
        else:
            with path.open("rb") as file:
                state = load_pickle(file, str(path))
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, not a table of named arrays")
    return state


def _read_safetensors(data: bytes, origin: str) -> dict[str, np.ndarray]:
    try:
        return {
            name: np.ndarray(entry["shape"], _SAFETENSORS_DTYPES[entry["dtype"]], buffer=entry["data"])
            for name, entry in safetensors.deserialize(data)
        }
    except KeyError as error:
        raise WeightsError(f"{origin}: arrays of type {error} are not supported") from error
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{origin}: not a safetensors file: {error} (damaged or cut short?)") from error


def _read_archive(path: Path) -> Any:
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile() and _is_weights(member.name)]
            if len(members) != 1:
                names = ", ".join(member.name for member in members) or "none"
                raise WeightsError(
                    f"{path}: expected one .pdparams or .safetensors file inside, found {names}"
                )
            file = archive.extractfile(members[0])
            assert file is not None, "only regular members were kept"
            origin = f"{path} ({members[0].name})"
            if members[0].name.endswith(".safetensors"):
                return _read_safetensors(file.read(), origin)
            return load_pickle(file, origin)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise WeightsError(f"{path}: not a tar archive: {error} (damaged or cut short?)") from error


def _is_weights(member: str) -> bool:
    name = PurePosixPath(member)
    return name.suffix in _FORMATS and not name.name.startswith(".")  # '._model.pdparams' is macOS metadata


def save_weights(state: Mapping[str, Any], path: str | Path) -> None:
    """Writes a state dict so that a crash or a full disk never leaves half a file under the name.

    Args:
        state: Names and tensors or arrays; for an optimiser's state also its plain values.
        path: ``.safetensors`` (arrays only; bfloat16 is widened to float32), anything else the way
            ``paddle.save`` writes, which Paddle and PaddleSeg load. Missing folders are made.

    Raises:
        OutputError: The file cannot be written.
    """
    path = Path(path)

    def write(part: Path) -> None:
        if path.suffix != ".safetensors":
            paddle.save(dict(state), str(part))
            return
        try:
            safetensors.numpy.save_file({name: _to_numpy(value) for name, value in state.items()}, part)
        except safetensors.SafetensorError as error:  # a full disk, too
            raise OutputError(f"{path}: cannot be written: {error}") from error

    replace_file(path, write)


def _to_numpy(value: paddle.Tensor | np.ndarray) -> np.ndarray:
    array = value.numpy() if isinstance(value, paddle.Tensor) else value
    if array.dtype == np.uint16:  # bfloat16, the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(array, order="C")

"""Loads trained weights into a network, and says exactly what fitted and what did not.

Names in a file and in a layer need not start alike: the weights of a backbone go into a whole model, and the
backbone's part of a whole model's checkpoint goes into a bare backbone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg.errors import WeightsError
from paddleseg.models.download import cached_path, fetch, file_sha256
from paddleseg.models.weight_files import find_weights, read_state, save_weights

__all__ = ["LoadReport", "Mismatch", "check_weights", "load_state", "load_weights", "save_weights"]

_BACKBONE = "backbone."
_LISTED = 8  # names that a message spells out before it counts the rest


@dataclass(frozen=True)
class Mismatch:
    """A tensor whose shape in the file is not the model's."""

    name: str
    got: tuple[int, ...]
    expected: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} (file {list(self.got)}, model {list(self.expected)})"


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor of the file and of the model.

    Attributes:
        source: Where the weights came from.
        loaded: Names, in the model, of tensors that took their values from the file.
        missing: Names, in the model, of tensors that the file lacks; they keep their initial values.
        unexpected: Names, in the file, of entries that the model has no place for.
        mismatched: Tensors of another shape, let pass by ``allow_mismatch``.
        reinitialised: Names of those: the classifier's tensors, which keep their initial values.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    reinitialised: tuple[str, ...]

    def summary(self) -> str:
        """The report for a log: counts, and names by part of the network."""
        total = len(self.loaded) + len(self.missing) + len(self.reinitialised)
        lines = [f"loaded {len(self.loaded)} of the model's {total} tensors from {self.source}"]
        if self.missing:
            lines.append(
                f"{len(self.missing)} not in the file, left as they were: {_list_parts(self.missing)}"
            )
        if self.mismatched:
            first = self.mismatched[0]
            lines.append(
                f"{len(self.reinitialised)} left as they were, because the file has {first.got[0]} classes "
                f"and the model {first.expected[0]}: {_list_names(self.reinitialised)}"
            )
        if self.unexpected:
            lines.append(
                f"{len(self.unexpected)} of the file have no place in it: {_list_parts(self.unexpected)}"
            )
        return "; ".join(lines)


def load_weights(
    layer: nn.Layer,
    source: str | Path,
    *,
    prefix: str = "",
    allow_mismatch: bool = False,
    strict: bool = False,
    sha256: str | None = None,
    cache_dir: str | Path | None = None,
    num_classes: int | None = None,
) -> LoadReport:
    """Finds, reads and loads weights; a file that is refused leaves the layer as it was.

    Args:
        layer: A model or a backbone.
        source: A file (``.pdparams``, ``.safetensors``, ``.tar.gz`` with one of them inside), a folder that
            holds one, or an ``http(s)://`` URL of one, which may end in ``#sha256=`` and the checksum.
        prefix: What the file's names carry before the layer's own, such as ``"teacher."``. When empty,
            ``"backbone."`` is added or taken away where that makes the names agree.
        allow_mismatch: Lets a model of another number of classes take all but the classifier's tensors.
        strict: Every tensor of the layer must be in the file, and the file may hold more only for parts that
            the layer does not have at all (an auxiliary head, say).
        sha256: Checksum that the file must have, 64 hexadecimal digits.
        cache_dir: Folder for downloads; see :func:`paddleseg.models.download.fetch`.
        num_classes: The layer's number of classes, where it has no attribute of that name.

    Returns:
        What was loaded and what was not.

    Raises:
        WeightsError: The file cannot be had or read, is unsafe, or does not fit.
    """
    path = _locate(str(source), sha256, cache_dir)
    state = read_state(path)
    return load_state(
        layer,
        state,
        origin=str(source),
        prefix=prefix,
        allow_mismatch=allow_mismatch,
        strict=strict,
        num_classes=num_classes,
    )


def check_weights(
    layer: nn.Layer, source: str, *, allow_mismatch: bool = False, num_classes: int | None = None
) -> None:
    """Says beforehand what :func:`load_weights` would say about names and shapes; nothing is downloaded.

    Args:
        layer: A model, which may be without memory for its parameters (``paddle.LazyGuard``).
        source: As for :func:`load_weights`. A URL whose file is not in the cache is passed over.
        allow_mismatch: As for :func:`load_weights`.
        num_classes: As for :func:`load_weights`.

    Raises:
        WeightsError: The file cannot be read, is unsafe, or does not fit.
    """
    if "://" in source:
        url, _, checksum = source.partition("#sha256=")
        path = cached_path(url)
        if not path.is_file() or (checksum and file_sha256(path) != checksum.lower()):
            return
    else:
        path = find_weights(source)
    own, arrays = layer.state_dict(), _arrays_of(read_state(path))
    in_file = _match_names(arrays, own, "")
    _find_mismatches(own, arrays, in_file, source, _classes_of(layer, num_classes), allow_mismatch)


def load_state(
    layer: nn.Layer,
    state: Mapping[str, Any],
    *,
    origin: str,
    prefix: str = "",
    allow_mismatch: bool = False,
    strict: bool = False,
    num_classes: int | None = None,
) -> LoadReport:
    """Loads named arrays into a layer; the options are those of :func:`load_weights`.

    Args:
        layer: A model or a backbone.
        state: Names and arrays. Float arrays of any width are converted to the layer's; uint16 is bfloat16.
        origin: What to call the weights in messages.
        prefix: What the names carry before the layer's own.
        allow_mismatch: Lets the number of classes differ.
        strict: Nothing may be missing.
        num_classes: The layer's number of classes, where it has no attribute of that name.

    Returns:
        What was loaded and what was not.

    Raises:
        WeightsError: The weights do not fit; the layer is left as it was.
    """
    own = layer.state_dict()
    arrays = _arrays_of(state)
    in_file = _match_names(arrays, own, prefix)
    classes = _classes_of(layer, num_classes)
    mismatched = _find_mismatches(own, arrays, in_file, origin, classes, allow_mismatch)
    reinitialised = tuple(mismatch.name for mismatch in mismatched)
    used = set(in_file.values())
    report = LoadReport(
        source=origin,
        loaded=tuple(name for name in in_file if name not in reinitialised),
        missing=tuple(name for name in own if name not in in_file),
        unexpected=tuple(key for key in state if key not in used),
        mismatched=mismatched,
        reinitialised=reinitialised,
    )
    if strict:
        _check_complete(report, own)
    values = {name: _convert(arrays[in_file[name]], own[name], name, origin) for name in report.loaded}
    for name, value in values.items():  # only now that nothing can fail any more
        own[name].set_value(value)
    return report


def _arrays_of(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: value for name, value in state.items() if isinstance(value, np.ndarray)}


def _classes_of(layer: nn.Layer, told: int | None) -> int | None:
    own: int | None = getattr(layer, "num_classes", None)
    return told if own is None else own


def _find_mismatches(
    own: Mapping[str, paddle.Tensor],
    arrays: Mapping[str, np.ndarray],
    in_file: Mapping[str, str],
    origin: str,
    num_classes: int | None,
    allow_mismatch: bool,
) -> tuple[Mismatch, ...]:
    """Compares shapes. Raises WeightsError where nothing matches, or what differs may not."""
    if not in_file:
        raise WeightsError(_nothing_matched(origin, arrays, own))
    mismatched = tuple(
        Mismatch(name, arrays[key].shape, tuple(own[name].shape))
        for name, key in in_file.items()
        if arrays[key].shape != tuple(own[name].shape)
    )
    if mismatched:
        _check_mismatches(origin, mismatched, num_classes, allow_mismatch)
    return mismatched


def _locate(source: str, sha256: str | None, cache_dir: str | Path | None) -> Path:
    if "://" in source:
        url, _, checksum = source.partition("#sha256=")
        return fetch(url, cache_dir, sha256 or checksum or None)
    path = find_weights(source)
    if sha256 is not None and (got := file_sha256(path)) != sha256.lower():
        raise WeightsError(f"{path}: its SHA-256 is {got}, expected {sha256.lower()}")
    return path


def _match_names(keys: Iterable[str], own: Iterable[str], prefix: str) -> dict[str, str]:
    """Maps the layer's names, in their order, to those of the file that stand for them."""
    cut = prefix or _BACKBONE
    without = {key.removeprefix(cut): key for key in keys if key.startswith(cut)}
    candidates = [without]
    if not prefix:
        candidates = [{key: key for key in keys}, without, {_BACKBONE + key: key for key in keys}]
    matches = [{name: keys_of[name] for name in own if name in keys_of} for keys_of in candidates]
    return max(matches, key=len)


def _nothing_matched(origin: str, state: Iterable[str], own: Iterable[str]) -> str:
    return (
        f"{origin}: nothing in it fits the model. The file has {_list_names(state, 3) or 'nothing'}; "
        f"the model has {_list_names(own, 3)}"
    )


def _check_mismatches(
    origin: str, mismatched: tuple[Mismatch, ...], num_classes: int | None, allow_mismatch: bool
) -> None:
    if not _differ_in_classes(mismatched, num_classes):
        raise WeightsError(
            f"{origin}: {len(mismatched)} tensors have another shape than the model's, which was perhaps "
            f"built with other options: {_list_names(map(str, mismatched))}"
        )
    if not allow_mismatch:
        raise WeightsError(
            f"{origin}: these weights are for {mismatched[0].got[0]} classes, the model has {num_classes}: "
            f"{_list_names(map(str, mismatched))}. Set num_classes to agree, or give --allow_mismatch to "
            "start with an untrained classifier and take all the rest"
        )


def _differ_in_classes(mismatched: tuple[Mismatch, ...], num_classes: int | None) -> bool:
    """Whether all of them are a classifier's: only the first axis differs, in the number of classes."""
    return len({mismatch.got[:1] for mismatch in mismatched}) == 1 and all(
        len(mismatch.got) == len(mismatch.expected) > 0
        and mismatch.got[1:] == mismatch.expected[1:]
        and mismatch.expected[0] == num_classes
        and not mismatch.name.startswith(_BACKBONE)
        for mismatch in mismatched
    )


def _check_complete(report: LoadReport, own: Iterable[str]) -> None:
    if report.missing:
        raise WeightsError(
            f"{report.source}: does not hold the whole model; {len(report.missing)} tensors are missing: "
            f"{_list_parts(report.missing)}"
        )
    parts = {name.split(".")[0] for name in own}
    foreign = [name for name in report.unexpected if name.split(".")[0] in parts]
    if foreign:
        raise WeightsError(
            f"{report.source}: belongs to a larger model; {len(foreign)} of its tensors have no place here: "
            f"{_list_names(foreign)}"
        )


def _convert(array: np.ndarray, target: paddle.Tensor, name: str, origin: str) -> paddle.Tensor:
    """The array as a tensor of the target's type."""
    if target.is_floating_point() and array.dtype == np.uint16:  # bfloat16: the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if target.is_floating_point() != (array.dtype.kind == "f"):
        raise WeightsError(f"{origin}: {name} holds {array.dtype} numbers, the model's are {target.dtype}")
    return paddle.to_tensor(array.astype(array.dtype.newbyteorder("="))).astype(target.dtype)


def _list_names(names: Iterable[str], limit: int = _LISTED) -> str:
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def _list_parts(names: Iterable[str]) -> str:
    """All names where they are few, else how many there are in each part of the network."""
    names = list(names)
    if len(names) <= _LISTED:
        return ", ".join(names)
    return _list_names(
        f"{part} ({count})" for part, count in Counter(name.split(".")[0] for name in names).items()
    )

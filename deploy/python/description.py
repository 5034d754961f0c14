"""What ``deploy.yaml`` says about an exported model. Needs no Paddle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as short
from typing import Any, cast

from paddleseg.config.load import parse_value
from paddleseg.config.node import plain
from paddleseg.data.transforms import Compose, refuse_training_transforms
from paddleseg.errors import ConfigError, RegistryError
from paddleseg.registry import TRANSFORMS

__all__ = ["DeployDescription", "read_description"]

_ANY_SHAPE = [-1, 3, -1, -1]
_OUTPUT_OPS = ("argmax", "softmax", "none")
_FILES = ("model", "params", "onnx", "int8")
_MOST_BYTES = 2**20
_MOST_PADDING = 3e38  # what a float32 holds


@dataclass(frozen=True)
class DeployDescription:
    """An exported model, as ``export.py`` describes it.

    Attributes:
        path: The description itself.
        model: Program in Paddle's format; None where only ONNX was written.
        params: Its weights.
        onnx: The float model as ONNX; None where it was not written.
        int8: The quantised model as ONNX; None until ``slim/quant/ptq.py`` made it.
        input_shape: N, C, H, W, where −1 stands for any.
        output_op: ``"argmax"`` (N×H×W class ids), ``"softmax"`` or ``"none"`` (N×K×H×W).
        num_classes: K; None where the description does not say it.
        class_names: Names by class id.
        palette: Colours (r, g, b) by class id.
        transforms: What an image goes through before the model.
        padding_value: What a transformed image is padded with, at the bottom and right, for a model of a
            fixed size.
        raw: All entries of ``Deploy``.
    """

    path: Path
    model: Path | None
    params: Path | None
    onnx: Path | None
    int8: Path | None
    input_shape: tuple[int, int, int, int]
    output_op: str
    num_classes: int | None
    class_names: list[str] | None
    palette: list[list[int]] | None
    transforms: Compose
    padding_value: float
    raw: dict[str, Any] = field(repr=False)

    def checksum(self, file: Path) -> str | None:
        """The checksum that ``deploy.yaml`` gives for one of its files (``"sha256:…"``), if any."""
        checksums = self.raw.get("checksums") or {}
        return checksums.get(Path(os.path.relpath(file, self.path.parent)).as_posix())

    def read(self, file: Path) -> bytes:
        """Reads one of the model's files and makes sure that it is the one that was exported.

        Args:
            file: :attr:`model`, :attr:`params`, :attr:`onnx` or :attr:`int8`.

        Returns:
            Its bytes.

        Raises:
            ConfigError: It cannot be read, or its checksum is not that of ``deploy.yaml``.
        """
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
        expected = self.checksum(file)
        got = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if expected not in (None, got):
            raise ConfigError(
                f"{file}: the file is not the one that was exported (its checksum is {got}, {self.path} says "
                f"{expected}); it was cut short, changed or swapped: copy or export the model again"
            )
        return data


def read_description(path: Path) -> DeployDescription:
    """Reads ``deploy.yaml``, as ``export.py`` or PaddleSeg wrote it.

    Args:
        path: The file, or the folder that holds it.

    Returns:
        What it says; its model files are there, but not read yet.

    Raises:
        ConfigError: It is damaged, or names a file or a transform that does not exist.
    """
    path = path / "deploy.yaml" if path.is_dir() else path
    deploy = _load(path)
    try:
        files = {key: _file(path, deploy, key) for key in _FILES}
        if files["onnx"] is None and (files["model"] is None or files["params"] is None):
            raise ValueError("names no model: expected model and params, or onnx; export the model again")
        return DeployDescription(
            path=path,
            **files,
            input_shape=_input_shape(deploy.get("input_shape", _ANY_SHAPE)),
            output_op=_output_op(deploy),
            num_classes=_whole_number(deploy, "num_classes"),
            class_names=_class_names(deploy),
            palette=_palette(deploy),
            transforms=_transforms(deploy.get("transforms", [])),
            padding_value=_padding_value(deploy),
            raw=_with_checksums(deploy),
        )
    except ValueError as error:
        raise ConfigError(f"{path}: Deploy {error}") from error


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        deploy = plain(parse_value(data.decode("utf-8"), "YAML"))["Deploy"]
        if not isinstance(deploy, dict):
            raise ValueError("Deploy is no mapping")
    except (OSError, ValueError, ConfigError, TypeError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ConfigError(f"{path}: not a deploy.yaml of export.py ({reason})") from error
    return deploy


def _file(path: Path, deploy: Mapping[str, Any], key: str) -> Path | None:
    name = deploy.get(key)
    if name is None:
        return None
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{key}: expected the name of a file, got {short(name)}")
    file = path.parent / name
    # PaddleSeg's export.py writes model.json with Paddle 3 and names model.pdmodel all the same.
    if file.suffix == ".pdmodel" and not file.is_file() and file.with_suffix(".json").is_file():
        return file.with_suffix(".json")
    try:
        if not file.is_file():
            raise ValueError(f"{key}: no file {file}; copy it there, or export the model again")
    except OSError as error:  # too long a name
        raise ValueError(f"{key}: {error.strerror}") from error
    return file


def _input_shape(value: Any) -> tuple[int, int, int, int]:
    is_shape = isinstance(value, list) and len(value) == 4 and all(_is_size(n) for n in value)
    if not is_shape or value[1] not in (1, 3):
        raise ValueError(
            "input_shape: expected N, C, H, W, each a size or -1 for any, with C = 1 or 3; got "
            f"{short(value)}"
        )
    return cast(tuple[int, int, int, int], tuple(value))


def _is_size(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and (n == -1 or n >= 1)


def _output_op(deploy: Mapping[str, Any]) -> str:
    """PaddleSeg up to 2.6 did not say it; the model's output then shows what it is."""
    value = deploy.get("output_op", "none")
    if value not in _OUTPUT_OPS:
        raise ValueError(f"output_op: expected one of {', '.join(_OUTPUT_OPS)}, got {short(value)}")
    return str(value)


def _whole_number(deploy: Mapping[str, Any], key: str) -> int | None:
    value = deploy.get(key)
    if value is not None and not (_is_size(value) and value > 0):
        raise ValueError(f"{key}: expected a whole number from 1, got {short(value)}")
    return cast("int | None", value)


def _class_names(deploy: Mapping[str, Any]) -> list[str] | None:
    value = deploy.get("class_names")
    if value is not None and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValueError(f"class_names: expected a list of names, got {short(value)}")
    return value


def _palette(deploy: Mapping[str, Any]) -> list[list[int]] | None:
    value = deploy.get("palette")
    if value is None:
        return None
    is_table = isinstance(value, list) and all(
        isinstance(color, list)
        and len(color) == 3
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 255 for n in color)
        for color in value
    )
    if not is_table:
        raise ValueError("palette: expected a list of [red, green, blue], whole numbers 0..255")
    return cast(list[list[int]], value)


def _padding_value(deploy: Mapping[str, Any]) -> float:
    padding = deploy.get("padding") or {}
    value = padding.get("value", 0.0) if isinstance(padding, dict) else padding
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= _MOST_PADDING:
        raise ValueError(f"padding: expected {{side: bottom_right, value: number}}, got {short(padding)}")
    return float(value)


def _transforms(blocks: Any) -> Compose:
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ValueError(f"transforms: expected a list of blocks with a type, got {short(blocks)}")
    steps = []
    for block in blocks:
        options = dict(block)
        name = options.pop("type", None)
        if not isinstance(name, str):
            raise ValueError(f"transforms: {short(block)} has no type")
        try:
            steps.append(TRANSFORMS.get(name)(**options))
        except (TypeError, ValueError, RegistryError) as error:
            raise ValueError(f"transforms: {name}: {error}") from error
    transforms = Compose(steps)
    refuse_training_transforms(transforms, "in a deployed model")
    return transforms


def _with_checksums(deploy: dict[str, Any]) -> dict[str, Any]:
    checksums = deploy.get("checksums") or {}
    if not isinstance(checksums, dict) or not all(
        isinstance(name, str) and isinstance(value, str) and value.startswith("sha256:")
        for name, value in checksums.items()
    ):
        raise ValueError("checksums: expected a mapping from file to 'sha256:…'")
    return deploy

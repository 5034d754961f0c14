"""Writes the exported model and deploy.yaml, and proves that it agrees with the trained one."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import paddle
import yaml
from paddle import nn

from paddleseg.build import build_transforms, dataset_facts
from paddleseg.config.config import Config
from paddleseg.config.consistency import class_count
from paddleseg.data.transforms import Compose, refuse_training_transforms
from paddleseg.engine.export_check import (
    Agreement,
    ExportError,
    Floats,
    OutputOp,
    compare,
    first_pictures,
    make_probes,
)
from paddleseg.engine.onnx_export import OnnxModel, onnx_versions, require_onnx_packages, write_onnx
from paddleseg.engine.static_export import StaticModel, write_static
from paddleseg.errors import ConfigError, DataError, OutputError
from paddleseg.log import get_logger
from paddleseg.version import __version__

__all__ = [
    "Agreement",
    "ExportError",
    "FileFormat",
    "OutputOp",
    "deploy_description",
    "deployed_pictures",
    "deployed_transforms",
    "export_model",
]

FileFormat = Literal["paddle", "legacy", "onnx", "all"]

_logger = get_logger(__name__)

_DEPLOY, _STAGING = "deploy.yaml", ".export"
_PADDLE = {"model": "model.json", "params": "model.pdiparams"}
_OLD = {"model": "model.pdmodel", "params": "model.pdiparams"}
_OLD_BESIDE = {"legacy_model": "legacy/model.pdmodel", "legacy_params": "legacy/model.pdiparams"}
_ONNX = {"onnx": "model.onnx"}
_INT8 = "model_int8.onnx"
_ALL_FILES = {*_PADDLE.values(), *_OLD.values(), *_OLD_BESIDE.values(), *_ONNX.values(), _INT8}
# Transformed pictures are padded with what a runner adds around them: the mean colour.
_PADDING = {"side": "bottom_right", "value": 0.0}


@dataclass(frozen=True)
class _Order:
    """What to export: the model, and how its files take and give arrays."""

    model: nn.Layer
    shape: tuple[int | None, ...]
    output_op: OutputOp
    folder: Path

    def write_paddle(self, name: str, *, legacy: bool = False) -> StaticModel:
        path = self.folder / name
        write_static(self.model, path, self.shape, output_op=self.output_op, legacy=legacy)
        return StaticModel(path, output_op=self.output_op, legacy=legacy)

    def write_onnx(self, name: str, source: str, static: StaticModel) -> OnnxModel:
        path = self.folder / name
        slopes = static.leaky_relu_slopes()
        write_onnx(self.folder / source, path, slopes, output_op=self.output_op)
        return OnnxModel(path, output_op=self.output_op)


def export_model(
    model: nn.Layer,
    save_dir: Path,
    *,
    output_op: OutputOp,
    input_shape: Sequence[int] | None,
    description: Mapping[str, Any],
    file_format: FileFormat = "paddle",
    pictures: Sequence[Floats] = (),
) -> list[Agreement]:
    """Writes the model's files and ``deploy.yaml``, after comparing each format with the trained model.

    Args:
        model: Trained network.
        save_dir: Target folder. Files of an earlier export there that are not written anew go.
        output_op: What the exported model returns.
        input_shape: N, C, H, W, where −1 stands for any; None for any N, H and W.
        description: Further entries of ``Deploy`` in deploy.yaml (transforms, class names …).
        file_format: ``"paddle"`` writes model.json and model.pdiparams, ``"legacy"`` model.pdmodel and
            model.pdiparams, ``"onnx"`` model.onnx, ``"all"`` all three, the old one in legacy/.
        pictures: C×H×W float32, transformed: compared besides random images.

    Returns:
        The comparisons made.

    Raises:
        ExportError: The model cannot be expressed in the format, or the files do not agree with it; what was
            in ``save_dir`` is untouched.
        OutputError: The files cannot be written.
        UsageError: ONNX is wanted, and its packages are not installed.
    """
    if file_format in ("onnx", "all"):
        require_onnx_packages()
    model.eval()
    shape = tuple(None if n == -1 else n for n in input_shape or (-1, model.in_channels, -1, -1))
    staging = save_dir / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        probes = make_probes(model, shape, output_op=output_op, pictures=pictures)
        order = _Order(model, shape, output_op, staging)
        files: dict[str, str] = {}
        agreements = []
        for name, entries, run in _written(order, file_format):
            files |= entries
            agreements += compare(run, probes, file_format=name)
        _describe(order, files, description)
        _install(staging, save_dir, files.values())
    except OSError as error:
        raise OutputError(f"{save_dir}: the exported model cannot be written ({error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return agreements


def _written(
    order: _Order, file_format: FileFormat
) -> Iterator[tuple[str, dict[str, str], StaticModel | OnnxModel]]:
    """Writes format after format: its name, its entries in deploy.yaml, and the files as a function."""
    if file_format == "legacy":
        yield "legacy", _OLD, order.write_paddle("model", legacy=True)
        return
    # ONNX is made from Paddle's current format, which is not kept where ONNX alone is wanted.
    static = order.write_paddle("model")
    if file_format != "onnx":
        yield "paddle", _PADDLE, static
    if file_format == "all":
        yield "legacy", _OLD_BESIDE, order.write_paddle("legacy/model", legacy=True)
    if file_format in ("onnx", "all"):
        yield "onnx", _ONNX, order.write_onnx(_ONNX["onnx"], "model", static)


def _describe(order: _Order, files: Mapping[str, str], description: Mapping[str, Any]) -> None:
    deploy = {
        **files,
        "input_shape": [-1 if n is None else n for n in order.shape],
        "output_op": order.output_op,
        "output_dtype": "int32" if order.output_op == "argmax" else "float32",
        "padding": _PADDING,
        **description,
        "checksums": {name: _checksum(order.folder / name) for name in files.values()},
    }
    if "onnx" in files:
        deploy["versions"] = {**description.get("versions", {}), **onnx_versions()}
    text = yaml.safe_dump({"Deploy": deploy}, sort_keys=False, allow_unicode=True)
    (order.folder / _DEPLOY).write_text(text, encoding="utf-8")


def _checksum(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _install(staging: Path, save_dir: Path, files: Iterable[str]) -> None:
    """Puts the new files in the place of an earlier export's."""
    stale = _named_files(save_dir / _DEPLOY) - set(files)
    # Without deploy.yaml nobody uses what is there: an interruption never leaves a wrong pair behind.
    (save_dir / _DEPLOY).unlink(missing_ok=True)
    for name in stale:
        (save_dir / name).unlink(missing_ok=True)
    for name in (*files, _DEPLOY):
        (save_dir / name).parent.mkdir(exist_ok=True)
        (staging / name).replace(save_dir / name)
    with contextlib.suppress(OSError):  # it holds something else, or is not there
        if "legacy/model.pdmodel" in stale:
            (save_dir / "legacy").rmdir()


def _named_files(deploy: Path) -> set[str]:
    """The files that an earlier deploy.yaml names, among those that an export writes."""
    try:
        entries = yaml.safe_load(deploy.read_text(encoding="utf-8"))["Deploy"].values()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        return set()
    return _ALL_FILES & {entry for entry in entries if isinstance(entry, str)}


def deploy_description(config: Config) -> dict[str, Any]:
    """What a deployed model must be told besides its files.

    Args:
        config: Checked configuration. ``export.transforms`` come before those of ``val_dataset``.

    Returns:
        ``transforms`` as in the config, ``num_classes``, class names and palette where known, versions.

    Raises:
        ConfigError: The transforms are those of training.
    """
    tree = config.tree
    block = _transforms_block(config)
    transforms = (tree.get(block) or {}).get("transforms") or [{"type": "Normalize"}]
    try:
        refuse_training_transforms(deployed_transforms(config), "in a deployed model")
    except ValueError as error:
        raise ConfigError(f"{block}.{error}") from error
    class_names, palette = dataset_facts(config)
    return {
        "transforms": transforms,
        "num_classes": class_count(config),
        **({"class_names": class_names} if class_names else {}),
        **({"palette": palette} if palette else {}),
        "versions": {"paddleseg": __version__, "paddle": paddle.__version__},
    }


def deployed_pictures(config: Config) -> list[Floats]:
    """The first pictures of ``val_dataset`` as the deployed model will get them; none, with a log line, where
    the data are not there.

    Args:
        config: Checked configuration.

    Returns:
        Up to three, C×H×W float32.
    """
    try:
        return first_pictures(config, deployed_transforms(config))
    except (ConfigError, DataError) as error:
        reason = str(error).splitlines()[0]
        _logger.info(f"[CHECK] random images alone, no pictures of val_dataset: {reason}")
        return []


def deployed_transforms(config: Config) -> Compose:
    """The transforms that a deployed model's images go through.

    Args:
        config: Checked configuration. ``export.transforms`` come before those of ``val_dataset``.
    """
    return Compose(build_transforms(config, _transforms_block(config)))


def _transforms_block(config: Config) -> str:
    return "export" if (config.tree.get("export") or {}).get("transforms") else "val_dataset"

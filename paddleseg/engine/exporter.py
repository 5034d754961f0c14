"""Writes the static model, deploy.yaml, and proves that it agrees with the trained one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import paddle
import yaml
from paddle import nn

from paddleseg.build import build_transforms, dataset_facts
from paddleseg.config.config import Config
from paddleseg.config.consistency import class_count
from paddleseg.data.transforms import Compose, refuse_training_transforms
from paddleseg.errors import ConfigError, OutputError, PaddleSegError
from paddleseg.version import __version__

__all__ = ["Agreement", "ExportError", "OutputOp", "deploy_description", "export_model"]

OutputOp = Literal["argmax", "softmax", "none"]
_MODEL, _PARAMETERS, _DEPLOY = "model.json", "model.pdiparams", "deploy.yaml"
_CHECK_SIZES = ((128, 192), (97, 161))
_TOLERANCE = 1e-4  # of the largest output
_EQUAL_LABELS = 0.9999


class ExportError(PaddleSegError):
    """The exported model does not agree with the trained one."""


class _WithOutput(nn.Layer):
    """A model that ends in what its user wants: class ids, probabilities or logits."""

    def __init__(self, model: nn.Layer, output_op: OutputOp) -> None:
        super().__init__()
        self.model = model
        self._output_op = output_op

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        logits = self.model(x)[0]
        if self._output_op == "argmax":
            return paddle.argmax(logits, axis=1, dtype="int32")
        if self._output_op == "softmax":
            return nn.functional.softmax(logits, axis=1)
        return logits


@dataclass(frozen=True)
class Agreement:
    """How the exported model compares with the trained one.

    Attributes:
        size: Height and width of the random image compared.
        difference: Largest difference of probabilities or logits; 0 where the output is class ids.
        equal_labels: Share of pixels with the same class.
    """

    size: tuple[int, int]
    difference: float
    equal_labels: float


def export_model(
    model: nn.Layer,
    save_dir: Path,
    *,
    output_op: OutputOp,
    input_shape: Sequence[int] | None,
    description: dict[str, Any],
) -> list[Agreement]:
    """Writes ``model.json``, ``model.pdiparams`` and ``deploy.yaml``.

    Args:
        model: Trained network.
        save_dir: Target folder.
        output_op: What the exported model returns.
        input_shape: N, C, H, W, where −1 stands for any; None for any N, H and W.
        description: Further entries of ``Deploy`` in deploy.yaml (transforms, class names …).

    Returns:
        The comparisons made.

    Raises:
        ExportError: The outputs differ; nothing is left in ``save_dir``.
        OutputError: The files cannot be written.
    """
    model.eval()
    shape = tuple(None if n == -1 else n for n in input_shape or (-1, model.in_channels, -1, -1))
    wrapped = _WithOutput(model, output_op)
    wrapped.eval()
    staging = save_dir / ".export"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        spec = [paddle.static.InputSpec(shape=list(shape), dtype="float32", name="x")]
        static = paddle.jit.to_static(wrapped, input_spec=spec, full_graph=True)
        paddle.jit.save(static, str(staging / "model"))
        agreements = _compare(model, staging / "model", output_op, shape)
        deploy = {
            "model": _MODEL,
            "params": _PARAMETERS,
            "input_shape": [-1 if n is None else n for n in shape],
            "output_op": output_op,
            "output_dtype": "int32" if output_op == "argmax" else "float32",
            **description,
        }
        text = yaml.safe_dump({"Deploy": deploy}, sort_keys=False, allow_unicode=True)
        (staging / _DEPLOY).write_text(text, encoding="utf-8")
        # Without deploy.yaml nobody uses what is there: an interruption never leaves a wrong pair behind.
        (save_dir / _DEPLOY).unlink(missing_ok=True)
        for name in (_MODEL, _PARAMETERS, _DEPLOY):
            (staging / name).replace(save_dir / name)
    except OSError as error:
        raise OutputError(f"{save_dir}: the exported model cannot be written ({error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return agreements


def _compare(
    model: nn.Layer, path: Path, output_op: OutputOp, shape: Sequence[int | None]
) -> list[Agreement]:
    loaded = paddle.jit.load(str(path))
    loaded.eval()
    generator = np.random.default_rng(0)
    sizes = dict.fromkeys((shape[2] or height, shape[3] or width) for height, width in _CHECK_SIZES)
    channels = shape[1] or model.in_channels
    agreements = []
    for height, width in sizes:
        image = generator.standard_normal((shape[0] or 2, channels, height, width), dtype=np.float32)
        with paddle.no_grad():
            expected = model(paddle.to_tensor(image))[0]
            if output_op == "softmax":
                expected = nn.functional.softmax(expected, axis=1)
            output = loaded(paddle.to_tensor(image)).numpy()
        trained = expected.numpy()
        labels = output if output_op == "argmax" else output.argmax(axis=1)
        difference = 0.0 if output_op == "argmax" else float(np.abs(output - trained).max())
        tolerance = _TOLERANCE * max(1.0, float(np.abs(trained).max()))
        agreement = Agreement((height, width), difference, float(np.mean(labels == trained.argmax(axis=1))))
        # Written so that a NaN counts as disagreement.
        if not (difference <= tolerance and agreement.equal_labels >= _EQUAL_LABELS):
            raise ExportError(
                f"the exported model disagrees with the trained one at {height}×{width}: largest difference "
                f"{difference:.2g} (expected at most {tolerance:.2g}), equal labels "
                f"{agreement.equal_labels:.4%} (expected at least {_EQUAL_LABELS:.2%}); nothing was written"
            )
        agreements.append(agreement)
    return agreements


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
    export, val_dataset = tree.get("export") or {}, tree.get("val_dataset") or {}
    transforms = export.get("transforms") or val_dataset.get("transforms") or [{"type": "Normalize"}]
    block = "export" if export.get("transforms") else "val_dataset"
    try:
        refuse_training_transforms(Compose(build_transforms(config, block)), "in a deployed model")
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

"""The teacher that ``distill_loss`` names: a trained model, and the loss that compares two models."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from paddleseg.build import build_model, load_config, load_pretrained
from paddleseg.build_checks import PRETRAINED
from paddleseg.config.components import construct
from paddleseg.config.config import Config
from paddleseg.config.consistency import class_count
from paddleseg.config.node import Path
from paddleseg.config.problems import Problem, ProblemError
from paddleseg.errors import ConfigError, WeightsError
from paddleseg.registry import LOSSES

if TYPE_CHECKING:
    import paddle
    from paddle import nn

__all__ = ["build_teacher"]

_LOSS: Path = ("distill_loss", "types", 0)
_TEACHER: Path = ("distill_loss", "teacher")


def build_teacher(config: Config) -> tuple[nn.Layer, Callable[..., paddle.Tensor]] | None:
    """Builds what ``distill_loss`` names: a trained model, and the loss that compares another one with it.

    Args:
        config: Checked configuration, of the student.

    Returns:
        The model, and the loss of (student's logits, teacher's logits, labels), without its factor; None
        where there is no such block.

    Raises:
        ConfigError: The loss compares no models, or the teacher's configuration or weights do not fit.
    """
    block = config.node(_LOSS)
    if block is None:
        return None
    loss = construct(block, _LOSS, LOSSES)
    if not _takes_two_models(loss):
        name = block.value["type"]
        text = "compares logits with labels; name a loss that compares two models, such as KLLoss"
        raise ProblemError(Problem(name.source, (*_LOSS, "type"), f"{name.value} {text}"))
    try:
        return _trained_model(config), loss
    except (ConfigError, WeightsError) as error:
        raise ProblemError(Problem(config.source(_TEACHER), _TEACHER, str(error))) from error


def _takes_two_models(loss: Any) -> bool:
    """Whether it can be called with three values; a layer's own call takes any number."""
    try:
        inspect.signature(getattr(loss, "forward", loss)).bind(None, None, None)
    except TypeError:
        return False
    return True


def _trained_model(student: Config) -> nn.Layer:
    """The model with its own weights; those that its backbone once began with are not needed any more."""
    file: str = student.tree["distill_loss"]["teacher"]
    teacher = load_config(os.path.expanduser(file))
    if teacher.node(PRETRAINED) is None:
        raise ConfigError(
            f"{file} names no weights; set its model.pretrained to those of the trained teacher"
        )
    count, wanted = class_count(teacher), class_count(student)
    if count != wanted:
        raise ConfigError(f"the model of {file} has {count} classes, the student {wanted}; make them equal")
    model = build_model(teacher, pretrained=False)
    load_pretrained(model, teacher, PRETRAINED, num_classes=count, strict=True)
    return model

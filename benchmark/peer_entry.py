"""Entering a checkout of CCNet_paddle or PaddleSeg, unchanged, on today's Paddle and NumPy.

CCNet_paddle as published does not import (its ``paddleseg/utils/env`` is missing), and both import every
network, loss and data set with what those need. So the packages are entered without running their
``__init__`` files, and of their own code the modules that a measurement asks for are executed as they are.

The shims, each for something that was another way when the code was written:

- ``paddleseg.utils.utils``, ``.env`` and the profiler, which download, look for GPUs or want more packages,
  are stand-ins that do nothing.
- Paddle 3 has 0-D tensors: ``tensor.numpy()[0]`` gives their value, and ``paddle.concat`` takes them.
- Paddle 3 joins no integer tensor to a float one: ``+`` and ``*`` cast the integer one.
- NumPy has no ``np.int`` any more.
- ``skimage``, which PaddleSeg imports for another task, may be absent.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["MARK", "enter_packages", "modernise"]

MARK = Path("paddleseg/models/ccnet.py")  # what tells a checkout from another folder
_PACKAGES = ("", ".core", ".cvlibs", ".models", ".models.backbones", ".models.losses", ".datasets", ".utils")
# Of the utilities, what core/ and transforms/ name: from modules of their own, or nothing at all.
_UTILITIES = ("logger", "metrics", "progbar")
_TIMERS = ("TimeAverager", "calculate_eta")
_UNUSED = (
    "resume",
    "worker_init_fn",
    "train_profiler",
    "op_flops_funs",
    "init_ema_params",
    "update_ema_model",
)


def enter_packages(checkout: Path) -> None:
    """Makes ``paddleseg.<module>`` mean the checkout's files, without its packages' own imports.

    Args:
        checkout: Folder with ``paddleseg/models/ccnet.py``.
    """
    for suffix in _PACKAGES:
        package = _module(f"paddleseg{suffix}")
        package.__path__ = [str(checkout.joinpath("paddleseg", *suffix.split(".")[1:]))]
    downloads = _module("paddleseg.utils.utils")
    downloads.load_pretrained_model = downloads.load_entire_model = lambda model, pretrained: None
    sys.modules["paddleseg.utils"].utils = downloads  # type: ignore[attr-defined]


def modernise() -> None:
    """Applies the shims for Paddle 3 and NumPy 2, and gives the packages the names that ``core/`` imports."""
    import paddle

    np.int = int  # type: ignore[attr-defined]
    _patch_tensors(paddle)
    if importlib.util.find_spec("skimage") is None:
        skimage = _module("skimage")
        skimage.measure = skimage.morphology = None
    utils: Any = sys.modules["paddleseg.utils"]
    timer = importlib.import_module("paddleseg.utils.timer")
    for name in _UNUSED:
        setattr(utils, name, None)
    for name in _TIMERS:
        setattr(utils, name, getattr(timer, name))
    for name in _UTILITIES:
        setattr(utils, name, importlib.import_module(f"paddleseg.utils.{name}"))
    export = _module("paddleseg.core.export")
    export.export = export.save_model_info = export.update_train_results = None
    datasets: Any = sys.modules["paddleseg.datasets"]
    datasets.Dataset = importlib.import_module("paddleseg.datasets.dataset").Dataset


def _module(name: str) -> Any:
    module = ModuleType(name)
    sys.modules[name] = module
    return module


def _patch_tensors(paddle: Any) -> None:
    tensor = type(paddle.zeros([1]))
    to_numpy, concat = tensor.numpy, paddle.concat

    def promoting(operator: Any) -> Any:
        def apply(self: Any, other: Any) -> Any:
            if isinstance(other, tensor) and self.is_floating_point() and other.is_integer():
                other = other.astype(self.dtype)
            return operator(self, other)

        return apply

    class Scalar(np.ndarray):
        def __getitem__(self, key: Any) -> Any:
            return np.asarray(self).reshape(1)[key]

    def indexable_numpy(self: Any, *args: Any) -> Any:
        array = to_numpy(self, *args)
        return array.view(Scalar) if array.ndim == 0 else array

    def concat_scalars(x: Any, *args: Any, **kwargs: Any) -> Any:
        return concat([one.reshape([1]) if one.ndim == 0 else one for one in x], *args, **kwargs)

    tensor.__add__, tensor.__mul__ = promoting(tensor.__add__), promoting(tensor.__mul__)
    tensor.numpy, paddle.concat = indexable_numpy, concat_scalars

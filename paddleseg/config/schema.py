"""The keys of a configuration file: names, types, ranges, and what each is for.

The dialect is PaddleSeg's. Component blocks (``model``, data sets, …) are checked here for their shape
only; ``components.py`` checks them against the constructors.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from paddleseg.config.hints import Above, AtLeast, Below, Between, conforms, describe
from paddleseg.config.node import Node, Path, plain, show
from paddleseg.config.problems import Problem
from paddleseg.errors import did_you_mean

__all__ = [
    "TRAIN_KEYS",
    "VAL_KEYS",
    "DistillConfig",
    "ExportConfig",
    "LossConfig",
    "Settings",
    "TestConfig",
    "check_structure",
    "drop_alias_holders",
    "settings_of",
]

Block = dict[str, Any]
Size = tuple[Annotated[int, AtLeast(1)], Annotated[int, AtLeast(1)]]
Scale = Annotated[float, Above(0)]

TRAIN_KEYS = ("model", "train_dataset", "optimizer", "lr_scheduler", "loss", "iters", "batch_size")
"""What a training run cannot do without (``learning_rate`` stands in for ``lr_scheduler``)."""

VAL_KEYS = ("model", "val_dataset")
"""What an evaluation cannot do without."""

_MOST_SUGGESTIONS = 100  # of names like those that are unknown: each takes a millisecond
_REFUSED: dict[Path, str] = {
    ("test_config", "use_multilabel"): (
        "every pixel has one class here, multi-label output is not supported; remove the key"
    ),
}


@dataclass(frozen=True)
class TestConfig:
    """How images are evaluated and predicted; sizes are (width, height), as PaddleSeg has them.

    ``window_batch``, which PaddleSeg lacks, is how many sliding windows the model gets at a time: fewer need
    less memory, the result is the same.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    aug_eval: bool = False
    aug_pred: bool = False
    scales: Scale | list[Scale] = 1.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    is_slide: bool = False
    crop_size: Size | None = None
    stride: Size | None = None
    window_batch: Annotated[int, AtLeast(1)] = 4
    custom_color: list[Annotated[int, Between(0, 255)]] | None = None
    auc_roc: bool = False
    use_multilabel: bool = False


@dataclass(frozen=True)
class ExportConfig:
    """What ``export.py`` writes into deploy.yaml."""

    transforms: list[Block] | None = None


@dataclass(frozen=True)
class LossConfig:
    """One loss per model output, in order; a single type serves all of them."""

    types: list[Block] = field(default_factory=list)
    coef: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class DistillConfig:
    """One loss by which the main output learns from a teacher's.

    ``teacher``, for which PaddleSeg has a flag, is the teacher's configuration; its ``model.pretrained``
    names the weights.
    """

    types: list[Block] = field(default_factory=list)
    coef: list[float] = field(default_factory=list)
    teacher: str = ""


@dataclass(frozen=True)
class Settings:
    """The top level of a configuration; absent and null keys have the values below.

    PaddleSeg lacks these keys, or has flags instead: ``global_batch_size`` is the images a step that the
    recipe was made for, over all processes; ``accumulate`` how many batches a process adds up before it
    updates the weights; ``recompute`` saves memory by computing activations twice; ``gpu_autotune`` lets a
    GPU try out its convolution algorithms in the first steps; ``on_non_finite`` and ``on_bad_sample`` say
    what becomes of a step without a finite loss and of a broken file; ``worker_timeout`` is how many seconds
    a sample may take to load; ``check_data`` looks at some labels before a training run starts.
    """

    model: Block | None = None
    train_dataset: Block | None = None
    val_dataset: Block | None = None
    test_dataset: Block | None = None
    optimizer: Block | None = None
    lr_scheduler: Block | None = None
    learning_rate: Annotated[float, AtLeast(0)] | Block | None = None
    loss: LossConfig | None = None
    distill_loss: DistillConfig | None = None
    test_config: TestConfig = TestConfig()
    export: ExportConfig = ExportConfig()
    batch_size: Annotated[int, AtLeast(1)] = 1
    global_batch_size: Annotated[int, AtLeast(1)] | None = None
    accumulate: Annotated[int, AtLeast(1)] | Literal["auto"] = 1
    iters: Annotated[int, AtLeast(1)] = 1
    seed: Annotated[int, Between(0, 2**32 - 1)] | None = None
    to_static_training: bool = False
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    amp_level: Literal["O1", "O2"] = "O1"
    recompute: bool = False
    gpu_autotune: bool = False
    use_ema: bool = False
    ema_decay: Annotated[float, AtLeast(0), Below(1)] = 0.999
    on_non_finite: Literal["stop", "skip", "lower_scale"] = "stop"
    on_bad_sample: Literal["stop", "skip"] = "stop"
    worker_timeout: Annotated[float, Above(0)] = 300.0
    check_data: bool = True
    plugins: list[str] = field(default_factory=list)


def settings_of(tree: dict[str, Any]) -> Settings:
    """Turns a checked plain tree into its typed form."""
    return typing.cast(Settings, _instance(Settings, tree))


def drop_alias_holders(root: Node) -> None:
    """Removes unknown top-level keys that only exist to be referred to (``mean: &mean [0.5, …]``)."""
    known = {one.name for one in dataclasses.fields(Settings)}
    for key in [key for key, node in root.value.items() if key not in known and node.shared]:
        del root.value[key]


def check_structure(root: Node, required: typing.Iterable[str]) -> list[Problem]:
    """Checks the tree against the dataclasses of this module.

    Args:
        root: The tree, a mapping.
        required: Top-level keys that must be there.
    """
    problems = _check_mapping(root, Settings, ())
    for key in required:
        if _is_absent(root, key) and not (key == "lr_scheduler" and not _is_absent(root, "learning_rate")):
            problems.append(Problem(root.source, (key,), "missing; this program needs it"))
    problems += _check_test_config(root) + _check_loss(root) + _check_distill_loss(root)
    return problems + _check_step(root)


def _check_mapping(node: Node, schema: type, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    hints = typing.get_type_hints(schema, include_extras=True)
    for key, child in node.value.items():
        here = (*path, key)
        if key not in hints:
            hint = did_you_mean(key, hints) if len(problems) < _MOST_SUGGESTIONS else ""
            where = f"in {path[-1]}" if path else "at the top level"
            problems.append(Problem(child.source, here, f"unknown key {where}{hint}"))
        elif here in _REFUSED and child.value not in (None, False):
            problems.append(Problem(child.source, here, _REFUSED[here]))
        else:
            problems += _check_value(child, hints[key], here)
    return problems


def _check_value(node: Node, hint: Any, path: Path) -> list[Problem]:
    nested = _nested_schema(hint)
    if node.value is None and len(path) == 1:
        return []
    if nested is not None and isinstance(node.value, dict):
        return _check_mapping(node, nested, path)
    expected = "a mapping" if nested is not None else describe(hint)
    if nested is None and conforms(plain(node), hint):
        return []
    return [Problem(node.source, path, f"got {show(plain(node))}; expected {expected}")]


def _check_test_config(root: Node) -> list[Problem]:
    node = root.value.get("test_config")
    if node is None or not isinstance(node.value, dict):
        return []
    problems = []
    values = plain(node)
    crop, stride = values.get("crop_size"), values.get("stride")
    if values.get("is_slide") is True:
        for key in ("crop_size", "stride"):
            if values.get(key) is None:
                problems.append(
                    Problem(
                        node.source, ("test_config", key), "missing; sliding windows (is_slide: True) need it"
                    )
                )
        if conforms(crop, Size) and conforms(stride, Size) and any(map(int.__gt__, stride, crop)):
            text = f"got {stride}; expected at most crop_size {crop}, or windows leave gaps"
            problems.append(Problem(node.value["stride"].source, ("test_config", "stride"), text))
    colors = values.get("custom_color")
    if isinstance(colors, list) and len(colors) % 3:
        text = f"got {len(colors)} numbers; expected three (red, green, blue) for each class"
        problems.append(Problem(node.value["custom_color"].source, ("test_config", "custom_color"), text))
    return problems


def _check_loss(root: Node) -> list[Problem]:
    node = root.value.get("loss")
    if node is None or not isinstance(node.value, dict):
        return []
    problems = [
        Problem(node.source, ("loss", key), "missing; a loss block has 'types' and 'coef'")
        for key in ("types", "coef")
        if key not in node.value
    ]
    if problems:
        return problems
    types, coef = node.value["types"].value, node.value["coef"].value
    if isinstance(types, list) and isinstance(coef, list) and len(types) not in (1, len(coef)):
        text = f"got {len(types)} types for {len(coef)} coefficients; expected one type, or one for each"
        problems.append(Problem(node.value["types"].source, ("loss", "types"), text))
    return problems


def _check_distill_loss(root: Node) -> list[Problem]:
    node = root.value.get("distill_loss")
    if node is None or not isinstance(node.value, dict):
        return []
    missing = {
        "types": "missing; name one loss, such as KLLoss",
        "coef": "missing; give the loss's factor, in a list",
        "teacher": "missing; name the teacher's configuration file, whose model.pretrained names its weights",
    }
    problems = [
        Problem(node.source, ("distill_loss", key), text)
        for key, text in missing.items()
        if key not in node.value
    ]
    for key in ("types", "coef"):
        entries = node.value.get(key)
        if entries is not None and isinstance(entries.value, list) and len(entries.value) != 1:
            text = f"got {len(entries.value)} entries; expected one, for the main output"
            problems.append(Problem(entries.source, ("distill_loss", key), text))
    return problems


def _check_step(root: Node) -> list[Problem]:
    """Keys about the training step that need each other."""
    values = {key: node.value for key, node in root.value.items()}
    wrong = {
        "accumulate": (
            values.get("accumulate") == "auto" and values.get("global_batch_size") is None,
            "auto needs global_batch_size, the images a step that the recipe was made for; set it, or give a "
            "number",
        ),
        "on_non_finite": (
            values.get("on_non_finite") == "lower_scale" and values.get("precision") != "fp16",
            "lower_scale needs precision: fp16, which alone has a loss scale; use stop or skip",
        ),
        "recompute": (
            values.get("recompute") is True and values.get("to_static_training") is True,
            "does not go with to_static_training, whose graph keeps all activations; switch one of them off",
        ),
    }
    return [
        Problem(root.value[key].source, (key,), text) for key, (is_wrong, text) in wrong.items() if is_wrong
    ]


def _nested_schema(hint: Any) -> type | None:
    candidates = [hint, *typing.get_args(hint)]
    return next((one for one in candidates if dataclasses.is_dataclass(one) and isinstance(one, type)), None)


def _is_absent(root: Node, key: str) -> bool:
    return key not in root.value or root.value[key].value is None


def _instance(schema: type, tree: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(schema, include_extras=True)
    values = {}
    for key, value in tree.items():
        nested = _nested_schema(hints[key])
        if value is not None:
            values[key] = value if nested is None else _instance(nested, value)
    return schema(**values)

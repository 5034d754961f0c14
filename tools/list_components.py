"""Writes docs/components.md: every component that a config can name, from the registries themselves.

Where a docstring names its source, the table does. The convention, in the component's docstring or else in
its module's: a sentence that begins with "Source:", or a reference in parentheses, as in "(Caesar et al.,
CVPR 2018)" or "(arXiv 1811.11721)"; or a module that says "PaddleSeg's (path/of/file.py)".

Examples:
    python tools/list_components.py --output docs/components.md
    python tools/list_components.py --check
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from paddleseg.errors import PaddleSegError, UsageError
from paddleseg.files import write_whole
from paddleseg.runtime import import_framework

__all__ = ["first_sentence", "main", "parameters", "render", "source"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = Path("docs/components.md")
_ROW = "\n| `"

_HEAD = """\
# Components

Everything that a config can name, by the place where it stands. A parameter without a value has to be given;
what each means is in the docstring, one click away in the last column.

This file is made by `python tools/list_components.py --output docs/components.md`; a test checks that it is
current. Own components join by a decorator and `plugins:`, see [CONTRIBUTING.md](../CONTRIBUTING.md).
"""

# Registry → (heading, remark, parameters that the program gives).
_SECTIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "MODELS": ("Models", "`model.type`. `backbone` is a block of its own.", ()),
    "BACKBONES": ("Backbones", "`model.backbone.type`.", ()),
    "DATASETS": (
        "Data sets",
        "`train_dataset.type`, `val_dataset.type` and `test_dataset.type`. `mode` is filled in.",
        (),
    ),
    "TRANSFORMS": ("Transforms", "The list `transforms` of a data set.", ()),
    "LOSSES": (
        "Losses",
        "The list `loss.types`, one for each output of the model or one for all, weighted by `loss.coef`. "
        "`ignore_index` is filled in.",
        (),
    ),
    "OPTIMIZERS": (
        "Optimisers",
        "`optimizer.type`. `custom_cfg` is a list of `{name, lr_mult, weight_decay_mult}` for the "
        "parameters with `name` in their names; `grad_clip_cfg` is `{name: ClipGradByGlobalNorm, clip_norm: "
        "1.0}`, or one with `ClipGradByNorm` or `ClipGradByValue`. Weight decay is L2 regularisation: the "
        "gradient g includes decay·w. Not so for AdamW, Lamb and LarsMomentum, which apply it to the weights "
        "themselves. m and v are running means of g and g².",
        ("model", "learning_rate"),
    ),
    "SCHEDULES": (
        "Learning-rate schedules",
        "`lr_scheduler.type`. Steps are iterations. With `warmup_iters` the learning rate first rises in a "
        "straight line from `warmup_start_lr`; the schedule follows from its own start.",
        ("iters",),
    ),
}


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, for a cell of a table.

    Args:
        text: The docstring without indentation.
    """
    paragraph = " ".join(text.split("\n\n")[0].split())
    end = re.search(r"(?<! al)\.(?=\s+[A-Z`]|$)", paragraph)
    return _markdown(paragraph[: end.end()] if end else paragraph)


def parameters(component: Callable[..., Any], withheld: tuple[str, ...] = ()) -> str:
    """The parameters as a config writes them, ``name`` or ``name: default``.

    Args:
        component: Class or function of a registry.
        withheld: Those that the program gives itself.
    """
    shown = []
    for name, one in inspect.signature(component).parameters.items():
        if name in withheld or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        text = name if one.default is inspect.Parameter.empty else f"{name}: {_yaml(one.default)}"
        shown.append(f"`{text}`")
    return ", ".join(shown).replace("|", "\\|")


def source(component: Callable[..., Any]) -> str:
    """What a component's docstring, or its module's, says of where it comes from; may be empty.

    Args:
        component: Class or function of a registry.
    """
    around = inspect.getdoc(sys.modules[component.__module__]) or ""
    said = _reference(inspect.getdoc(component) or "") or _reference(around) or _origin(around)
    return _markdown(said)


def _link(component: Callable[..., Any]) -> str:
    path = Path(*component.__module__.split(".")).with_suffix(".py")
    return f"[{path.relative_to('paddleseg').as_posix()}](../{path.as_posix()})"


def _reference(text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    for paragraph in paragraphs:
        found = re.search(r"\b[Ss]ource: (.+?)(?<! al)\.(?=\s+[A-Z]|$)", paragraph)
        if found:
            # "..., which does this and that" belongs to the docstring.
            return "; ".join(re.sub(r",? (which|whose|where|as) .*", "", one) for one in found[1].split("; "))
    for paragraph in paragraphs:
        found = re.search(r"\(([^()]*(?:et al\.|arXiv \d)[^()]*)\)", paragraph)
        if found:
            return found[1]
    return ""


def _origin(text: str) -> str:
    found = re.search(r"PaddleSeg's \(([\w/]+\.py)\)", " ".join(text.split()))
    return f"PaddleSeg, {found[1]}" if found else ""


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, str) and not value.strip():
        return repr(value)
    return str(value)


def render() -> str:
    """Returns the whole document; the components are those of this toolkit, without plugins.

    Raises:
        UsageError: The framework cannot be imported.
    """
    import_framework()
    from paddleseg import registry
    from paddleseg.build import import_components

    import_components()
    parts = [_HEAD]
    for table, (heading, remark, withheld) in _SECTIONS.items():
        components = getattr(registry, table)
        parts += [f"## {heading}", "", remark, ""]
        parts += ["| Name | What it does | Parameters | Source |", "|---|---|---|---|"]
        parts += _rows({name: components.get(name) for name in components}, withheld)
        parts.append("")
    return "\n".join(parts)


def _rows(components: dict[str, Callable[..., Any]], withheld: tuple[str, ...]) -> list[str]:
    rows: list[str] = []
    names: dict[Callable[..., Any], str] = {}
    for name, component in components.items():
        if not component.__module__.startswith("paddleseg."):
            continue
        first = names.setdefault(component, name)
        if first != name:
            rows.append(f"| `{name}` | The same as `{first}`. | | |")
            continue
        said = source(component)
        what = first_sentence(inspect.getdoc(component) or "").replace(f" ({said})", "")
        where = f"{said}; {_link(component)}" if said else _link(component)
        rows.append(f"| `{name}` | {what} | {parameters(component, withheld)} | {where} |")
    return rows


def _check(path: Path, wanted: str) -> str:
    """What is wrong with a document, in one line; empty where it is current."""
    again = f"run: python tools/list_components.py --output {path}"
    if not path.is_file():
        return f"{path}: is not there; {again}"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    expected = wanted.splitlines()
    changed = [line for line in expected if line not in lines] + [one for one in lines if one not in expected]
    if lines == expected:
        return ""
    first = changed[0] if changed else "the order of lines"
    return f"{path}: is out of date, first at: {first[:80]}; {again}"


def main(arguments: list[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the document is written or current, 1 when it is not current, 2 at an error, 130
        when interrupted.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / DOCUMENT, help=f"the document (default: {DOCUMENT} here)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if it is not current")
    args = parser.parse_args(arguments)
    try:
        document = render()
        if args.check:
            problem = _check(args.output, document)
            print(problem or f"{args.output}: is current")
            return 1 if problem else 0
        write_whole(args.output, document.encode())
        print(f"{args.output}: {document.count(_ROW)} components")
    except PaddleSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; no file was changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

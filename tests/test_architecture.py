"""The rules of CONTRIBUTING.md that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "paddleseg"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Each module may import those of the layers before its own. Within a layer, groups in one tuple may import
# each other; groups in different tuples may not. The longest name that fits a module counts.
LAYERS = [
    [("errors", "files", "log", "runtime", "registry", "version")],
    [("config", "distributed")],
    [("models.layers",), ("losses",), ("data",), ("metrics",), ("optim",)],
    [("models.backbones", "models.heads")],
    [("models",)],
    [("inference", "visualise")],
    [("build", "build_checks", "build_classes", "build_labels", "build_packs", "build_teacher")],
    [("engine",)],
    [("cli",)],
]
GROUPS = {
    group: (layer, line)
    for layer, lines in enumerate(LAYERS)
    for line, groups in enumerate(lines)
    for group in groups
}
# Same-step groups of the design that sit on different steps above, because models has steps of its own.
INDEPENDENT = [{"models", "losses", "data", "metrics", "optim"}]

WITHOUT_FRAMEWORK = ("errors", "files", "log", "runtime", "registry", "version", "config", "distributed")
WITHOUT_FRAMEWORK += ("inference", "data.transforms", "data.datasets", "data.check")
NEVER_IMPORTED = {"deploy", "tools", "slim", "test_tipc", "benchmark"}
OUTSIDE_THE_PACKAGE = {
    "conformance",
    "integration",
    "tools",
    "deploy",
    "slim",
    "test_tipc",
    "benchmark",
    "scripts",
}
# tests/data holds files that tests read.
MIRRORS = {"data_pipeline": "data"}
NOT_OF_ONE_MODULE = {"architecture", "packaging", "scripts", "documents", "configs"}
_PROGRAMS = "tests/cli/test_flags.py and test_cli_bad_input.py run the four programs"
WITHOUT_A_TEST_FILE = {
    "cli.export": _PROGRAMS,
    "cli.predict": _PROGRAMS,
    "cli.train": _PROGRAMS,
    "cli.val": _PROGRAMS,
    "data.transforms.sample": "values without behaviour, made by every test of a transform",
    "inference.values": "types without behaviour",
    "models.backbones.base": "an interface; conformance/test_models_conformance.py holds backbones to it",
    "models.base": "conformance/test_models_conformance.py runs it through every model",
    "version": "tests/test_packaging.py compares it with what is installed",
}
MOST_LINES_OF_A_FUNCTION = 60
MOST_BYTES_OF_A_FILE = 2**20


def module_name(file: Path) -> str:
    """Dotted name below the package: "models.ccnet"; "" for the package itself."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file) for file in SOURCES}


def imports_of(tree: ast.AST, importer: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every imported dotted name with its line, relative ones resolved, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = ["paddleseg", *importer.split(".")] if importer else ["paddleseg"]
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                is_module = inside.removeprefix("paddleseg.") in MODULES
                yield node.lineno, inside if is_module else base


def group_of(module: str) -> str | None:
    """The longest group name that is the module or one of its parents."""
    fitting = [group for group in GROUPS if f"{module}.".startswith(f"{group}.")]
    return max(fitting, key=len, default=None)


def forbidden(importer: str, imported: str) -> str | None:
    """Says why one module of the package may not import another; None where it may."""
    if not importer:
        return None  # The package's own front shows the parts of every layer, lazily.
    if not imported:
        return "imports the package's front instead of the module"
    source, target = group_of(importer), group_of(imported)
    if source is None or target is None:
        return f"'{importer if source is None else imported}' has no place in the layers: add it to LAYERS"
    if source == target:
        return None
    tops = {source.partition(".")[0], target.partition(".")[0]}
    if len(tops) == 2 and any(tops <= step for step in INDEPENDENT):
        return f"{source} and {target} must not know each other"
    (layer, line), (target_layer, target_line) = GROUPS[source], GROUPS[target]
    if target_layer > layer:
        return f"{source} is below {target}"
    if target_layer == layer and target_line != line:
        return f"{source} and {target} must not know each other"
    return None


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("errors", "config"),
        ("registry", "distributed"),
        ("config.load", "models.ccnet"),
        ("models.layers.criss_cross_attention", "models.heads.rcca"),
        ("models.backbones.resnet_vd", "models.ccnet"),
        ("models.ccnet", "losses.ohem"),
        ("losses.combine", "models.layers.norm"),
        ("metrics.report", "data.datasets.base"),
        ("data.loader", "metrics.confusion"),
        ("optim.schedules", "inference"),
        ("inference", "build"),
        ("build", "engine.trainer"),
        ("engine.trainer", "cli.train"),
        ("engine.trainer", ""),
        ("unheard_of", "errors"),
        ("build", "unheard_of"),
    ],
)
def test_the_check_sees_a_wrong_arrow(importer: str, imported: str) -> None:
    assert forbidden(importer, imported)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("registry", "errors"),
        ("config.check", "registry"),
        ("models.heads.rcca", "models.layers.criss_cross_attention"),
        ("models.heads.rcca", "models.backbones.base"),
        ("models.ccnet", "models.heads.rcca"),
        ("losses.combine", "losses.ohem"),
        ("data.datasets.cityscapes", "data.transforms.sample"),
        ("visualise", "metrics.confusion"),
        ("inference", "visualise"),
        ("build", "models.ccnet"),
        ("cli.train", "engine.trainer"),
        ("", "build"),
    ],
)
def test_the_check_lets_a_right_arrow_pass(importer: str, imported: str) -> None:
    assert forbidden(importer, imported) is None


def test_the_check_reads_every_kind_of_import() -> None:
    text = (
        "import paddleseg.log\n"
        "from paddleseg import errors\n"
        "from paddleseg.registry import Registry\n"
        "def later():\n"
        "    from . import sibling\n"
        "    from ..distributed import rank\n"
    )
    found = list(imports_of(ast.parse(text), "models.ccnet", is_package=False))
    assert found == [
        (1, "paddleseg.log"),
        (2, "paddleseg.errors"),
        (3, "paddleseg.registry"),
        (5, "paddleseg.models"),
        (6, "paddleseg.distributed"),
    ]
    of_a_package = list(imports_of(ast.parse("from . import x"), "models", is_package=True))
    assert of_a_package == [(1, "paddleseg.models")]


def test_imports_point_one_way() -> None:
    wrong = []
    for file in SOURCES:
        importer = module_name(file)
        for line, name in imports_of(parse(file), importer, is_package=file.stem == "__init__"):
            if name == "paddleseg" or name.startswith("paddleseg."):
                reason = forbidden(importer, name.removeprefix("paddleseg").lstrip("."))
                wrong += [f"{file.relative_to(ROOT)}:{line} {name}: {reason}"] if reason else []
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_the_programs_around_the_package() -> None:
    wrong = []
    for file in python_files():
        home = file.relative_to(ROOT).parts[0]
        allowed = {home} | {"slim": {"deploy"}, "benchmark": {"deploy", "slim"}}.get(home, set())
        if home == "tests":
            continue
        for line, name in imports_of(parse(file), "", is_package=False):
            if name.partition(".")[0] in NEVER_IMPORTED - allowed:
                wrong.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_modules_that_must_do_without_the_framework() -> None:
    names = sorted(
        module for module in MODULES if any(f"{module}.".startswith(f"{name}.") for name in WITHOUT_FRAMEWORK)
    )
    assert {"errors", "registry", "config"} <= set(names)
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'paddle' in sys.modules:\n"
        "        sys.exit(f'{name} imports paddle')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(f"paddleseg.{name}" for name in names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_printed_outside_the_programs() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in SOURCES
        if not module_name(file).startswith("cli")
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_say_what_they_export() -> None:
    wrong = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if file.stem not in {"__init__", "__main__"}
        and not any(
            isinstance(node, ast.Assign)
            and any(getattr(name, "id", "") == "__all__" for name in node.targets)
            for node in parse(file).body
        )
    ]
    assert not wrong, f"without __all__: {wrong}"


def test_functions_are_short() -> None:
    wrong = []
    for file in SOURCES:
        for node in ast.walk(parse(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lines = (node.end_lineno or 0) - first.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert not wrong, "\n".join(wrong)


def package_folder(test: Path) -> Path:
    """Where the modules lie that a test file may be about, below the package."""
    parts = test.relative_to(ROOT / "tests").parent.parts
    return Path(MIRRORS.get(parts[0], parts[0]), *parts[1:]) if parts else Path()


def is_about(test: Path, name: str) -> bool:
    return f"_{name}_" in f"_{test.stem.removeprefix('test_')}_"


def mirroring_tests() -> list[Path]:
    """The test files that stand for one module or package."""
    return [
        file
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if file.relative_to(ROOT / "tests").parts[0] not in OUTSIDE_THE_PACKAGE
        and not (file.parent == ROOT / "tests" and file.stem.removeprefix("test_") in NOT_OF_ONE_MODULE)
    ]


def test_tests_mirror_the_package() -> None:
    """A test lies in its module's folder, or in that of the package above: tests/models for models/heads."""
    wrong = []
    for file in mirroring_tests():
        folder = package_folder(file)
        levels = ("*", "*/*") if folder.parts else ("*",)
        names = {path.stem for level in levels for path in (PACKAGE / folder).glob(level)}
        names = {name for name in names if not name.startswith("_")} | {folder.name or "paddleseg"}
        if not any(is_about(file, name) for name in names):
            wrong.append(f"{file.relative_to(ROOT)}: no module of paddleseg/{folder} is named in it")
    assert not wrong, "\n".join(wrong)


def test_every_module_has_a_test_file() -> None:
    tests, missing = mirroring_tests(), []
    for file in SOURCES:
        folder = file.parent.relative_to(PACKAGE)
        homes = {folder} | ({folder.parent} if len(folder.parts) > 1 else set())
        if file.stem not in {"__init__", "__main__"} and not any(
            package_folder(test) in homes and is_about(test, file.stem) for test in tests
        ):
            missing.append(module_name(file))
    assert sorted(missing) == sorted(WITHOUT_A_TEST_FILE), "write one, or correct WITHOUT_A_TEST_FILE"


def test_test_files_have_names_of_their_own() -> None:
    counts = Counter(file.name for file in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in counts.items() if count > 1]


def repository_files() -> list[Path]:
    """What git holds or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("needs a git checkout")
    files = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [file for file in files if file.is_file()]


def python_files() -> list[Path]:
    return [file for file in repository_files() if file.suffix == ".py"]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern occurs in the repository's texts."""
    found = []
    for file in repository_files():
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number} {line.strip()[:100]}")
    return found


def test_no_notes_to_do_later() -> None:
    words = ["TO" + "DO", "FIX" + "ME", "X" * 3]
    assert not lines_with(re.compile(rf"\b({'|'.join(words)})\b"))


def test_no_paths_of_one_machine() -> None:
    folders = ["/wor" + "k/", "/roo" + "t/", "/tmp/pe" + "er", "/tmp/bri" + "ef", "/Use" + "rs/"]
    assert not lines_with(re.compile(rf"(?<![\w.}}>-])({'|'.join(folders)})"))


def test_files_are_small() -> None:
    large = [
        f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes"
        for file in repository_files()
        if file.stat().st_size > MOST_BYTES_OF_A_FILE
    ]
    assert not large, "\n".join(large)

"""The wheel holds the package and asks for the right things; the shell scripts are sound."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import paddleseg.version

SCRIPTS = [".ci/run", "scripts/common.sh", "scripts/quickstart.sh", "scripts/test.sh"]


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that nothing is left in the checkout."""
    root = Path(__file__).resolve().parents[1]
    sources = tmp_path_factory.mktemp("sources")
    for name in ("setup.py", "requirements.txt", "LICENSE", "pyproject.toml"):
        shutil.copy(root / name, sources)
    shutil.copytree(root / "paddleseg", sources / "paddleseg", ignore=shutil.ignore_patterns("__pycache__"))
    # Neighbours that do not belong into it.
    for name in ("tests", "tools"):
        (sources / name).mkdir()
        (sources / name / "__init__.py").touch()
    done = run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", "dist", "."),
        cwd=sources,
    )
    assert done.returncode == 0, done.stderr
    (file,) = (sources / "dist").glob("*.whl")
    return file


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def needs(wheel: Path, extra: str = "") -> set[str]:
    """Names of the distributions that an installation with this extra (or none) asks for."""
    required = map(Requirement, metadata(wheel).get_all("Requires-Dist", []))
    return {r.name for r in required if r.marker is None or r.marker.evaluate({"extra": extra})}


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path, root_dir: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        licence = [name for name in archive.namelist() if name.endswith("LICENSE")]
    sources = (root_dir / "paddleseg").rglob("*.py")
    assert inside == {file.relative_to(root_dir).as_posix() for file in sources}
    assert len(licence) == 1


def test_name_version_and_pythons(wheel: Path) -> None:
    about = metadata(wheel)
    assert (about["Name"], about["Version"]) == ("paddleseg-ccnet", paddleseg.version.__version__)
    pythons = SpecifierSet(about["Requires-Python"])
    versions = ["3.9.19", "3.10.0", "3.11.7", "3.12.9", "3.13.0"]
    assert [version in pythons for version in versions] == [False, True, True, True, False]


def test_extras(wheel: Path) -> None:
    provided = set(metadata(wheel).get_all("Provides-Extra", []))
    assert provided == {"cpu", "gpu", "deploy", "slim", "serving", "benchmark", "test"}
    assert "numpy" in needs(wheel)
    assert needs(wheel, "cpu") - needs(wheel) == {"paddlepaddle"}
    assert needs(wheel, "gpu") - needs(wheel) == {"paddlepaddle-gpu"}
    assert {"onnxruntime", "openvino", "paddle2onnx"} <= needs(wheel, "deploy")
    assert "fastapi" in needs(wheel, "serving")
    tools = {"pytest", "ruff", "mypy", "cityscapesScripts"}
    assert tools | needs(wheel, "deploy") | needs(wheel, "slim") | needs(wheel, "serving") <= needs(
        wheel, "test"
    )


def test_requirements_are_those_of_the_cpu_installation(wheel: Path, root_dir: Path) -> None:
    lines = (root_dir / "requirements.txt").read_text("utf-8").splitlines()
    listed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert {requirement.name for requirement in listed} == needs(wheel, "cpu")
    assert not [r.name for r in listed if {s.operator for s in r.specifier} != {">=", "<"}], "an open range"


@pytest.mark.slow
def test_the_installed_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    installed = run(
        *(sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", str(site), str(wheel)),
        cwd=tmp_path,
    )
    assert installed.returncode == 0, installed.stderr
    env = os.environ | {"PYTHONPATH": str(site)}
    where = run(sys.executable, "-c", "import paddleseg; print(paddleseg.__file__)", cwd=tmp_path, env=env)
    assert where.stdout.strip() == str(site / "paddleseg" / "__init__.py"), where.stderr
    shown = run(str(site / "bin" / "paddleseg"), "--help", cwd=tmp_path, env=env)
    assert shown.returncode == 0, shown.stderr
    assert all(word in shown.stdout for word in ("train", "val", "predict", "export"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_parse_and_stop_at_errors(root_dir: Path, name: str) -> None:
    assert run("bash", "-n", name, cwd=root_dir).returncode == 0
    sourced = name == "scripts/common.sh"
    assert sourced or "\nset -euo pipefail\n" in (root_dir / name).read_text("utf-8")
    assert sourced or os.access(root_dir / name, os.X_OK)


def fresh_checkout(root_dir: Path, folder: Path) -> Path:
    """A checkout with the scripts and no .venv."""
    shutil.copytree(root_dir / "scripts", folder / "scripts")
    for name in ("setup.py", "requirements.txt"):
        shutil.copy(root_dir / name, folder)
    return folder


@pytest.mark.parametrize("name", ["test.sh", "quickstart.sh"])
def test_an_unsupported_python_is_a_clear_error(root_dir: Path, tmp_path: Path, name: str) -> None:
    checkout = fresh_checkout(root_dir, tmp_path)
    old_python = tmp_path / "python3.9"
    old_python.write_text("#!/bin/sh\nexit 1\n")
    old_python.chmod(0o755)
    env = os.environ | {"PYTHON": str(old_python)}
    done = run("bash", str(checkout / "scripts" / name), cwd=Path("/"), env=env)
    assert done.returncode == 2
    assert done.stderr == f"error: PYTHON={old_python} does not run or is not Python 3.10, 3.11 or 3.12\n"
    assert not (checkout / ".venv").exists()


def test_no_python_at_all_is_a_clear_error(root_dir: Path, tmp_path: Path) -> None:
    checkout = fresh_checkout(root_dir, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = run("bash", str(checkout / "scripts/test.sh"), cwd=tmp_path, env={"PATH": str(tools)})
    assert done.returncode == 2
    assert "Python 3.10, 3.11 or 3.12 is needed" in done.stderr
    assert not (checkout / ".venv").exists()


FAKE_PYTHON = """#!/bin/sh
printf '<%s>' "$@" >> "$CALLS"
echo >> "$CALLS"
case "$*" in
    "-m pip show -q paddlepaddle") [ -n "$CPU_BUILD" ] ;;
    "-m pip show -q paddlepaddle-gpu") [ -n "$GPU_BUILD" ] ;;
    "-m pip install -e .[gpu]") [ -n "$GPU_INDEX" ] ;;
    "- "*) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def fresh(root_dir: Path, tmp_path: Path) -> tuple[Path, dict[str, str], Path]:
    """A checkout whose .venv has a stand-in for Python that notes its calls; the environment; the notes."""
    checkout = fresh_checkout(root_dir, tmp_path / "checkout")
    calls, tools = tmp_path / "calls", tmp_path / "tools"
    fakes = {
        checkout / ".venv" / "bin" / "python": FAKE_PYTHON.format(python=sys.executable),
        tools / "nvidia-smi": '#!/bin/sh\n[ -n "$GPU" ]\n',
    }
    for file, text in fakes.items():
        file.parent.mkdir(parents=True)
        file.write_text(text)
        file.chmod(0o755)
    env = os.environ | {"CALLS": str(calls), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    return checkout, env | dict.fromkeys(("CPU_BUILD", "GPU_BUILD", "GPU_INDEX", "GPU"), ""), calls


def test_installs_once_and_passes_arguments_on(fresh: tuple[Path, dict[str, str], Path]) -> None:
    checkout, env, calls = fresh
    script = str(checkout / "scripts/test.sh")
    first = run("bash", script, "-k", "two words", cwd=Path("/"), env=env)
    assert first.returncode == 0, first.stderr
    lines = calls.read_text().splitlines()
    assert "<-m><pip><install><-e><.[cpu,test]>" in lines
    assert lines[-1].startswith("<-m><pytest><--cov=paddleseg>")
    assert lines[-1].endswith("<-k><two words>")
    calls.unlink()
    second = run("bash", script, cwd=Path("/"), env=env)
    assert ".venv is up to date" in second.stdout
    assert "<install>" not in calls.read_text()
    with (checkout / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    run("bash", script, cwd=Path("/"), env=env)
    assert "<install>" in calls.read_text()


@pytest.mark.parametrize(
    ("machine", "build"),
    [
        ({}, "cpu"),
        ({"GPU": "yes"}, "cpu"),
        ({"GPU": "yes", "GPU_INDEX": "yes"}, "gpu"),
        ({"GPU": "yes", "GPU_INDEX": "yes", "CPU_BUILD": "yes"}, "cpu"),
        ({"GPU_BUILD": "yes"}, "gpu"),
    ],
)
def test_the_build_of_paddle_fits_the_machine(
    fresh: tuple[Path, dict[str, str], Path], machine: dict[str, str], build: str
) -> None:
    checkout, env, calls = fresh
    run("bash", str(checkout / "scripts/test.sh"), cwd=Path("/"), env=env | machine)
    assert f"<-m><pip><install><-e><.[{build},test]>" in calls.read_text().splitlines()

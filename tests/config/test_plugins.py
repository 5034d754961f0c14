"""User modules named in a config."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddleseg.config.config import Config, read_config
from paddleseg.config.plugins import import_plugins


@pytest.fixture(autouse=True)
def _restore_modules() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("plug_"):
            del sys.modules[name]


def config_in(folder: Path, plugins: Any) -> Config:
    folder.mkdir(exist_ok=True)
    (folder / "c.yml").write_text(f"plugins: {plugins}\n")
    return read_config(folder / "c.yml")


def problems(config: Config) -> list[str]:
    return [one.message for one in import_plugins(config)]


def test_a_module_beside_the_config_is_imported_and_its_path_kept(tmp_path: Path) -> None:
    (tmp_path / "plug_a.py").write_text("value = 1\n")
    config = config_in(tmp_path, ["plug_a"])
    assert problems(config) == []
    assert sys.modules["plug_a"].value == 1
    assert config.tree["plugins"] == [str(tmp_path / "plug_a.py")]
    assert problems(config) == [], "a second import of the same file is no clash"


def test_a_base_files_plugin_is_looked_up_beside_the_base(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "b.yml").write_text("plugins: [plug_b]\n")
    (tmp_path / "base" / "plug_b.py").write_text("")
    (tmp_path / "c.yml").write_text("_base_: base/b.yml\n")
    assert problems(read_config(tmp_path / "c.yml")) == []
    assert "plug_b" in sys.modules


def test_a_file_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "plug_c.py").write_text("")
    assert problems(config_in(tmp_path, ["sub/plug_c.py"])) == []
    assert "plug_c" in sys.modules


def test_a_package_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "plug_d").mkdir()
    (tmp_path / "plug_d" / "__init__.py").write_text("")
    (tmp_path / "plug_d" / "inner.py").write_text("")
    assert problems(config_in(tmp_path, ["plug_d", "plug_d.inner"])) == []
    assert "plug_d.inner" in sys.modules


def test_a_module_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plug_e.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert problems(config_in(tmp_path / "elsewhere", ["plug_e"])) == []


def test_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "plug_f.py").write_text("")
    (tmp_path / "c.yml").write_text("iters: 1\n")
    assert problems(read_config(tmp_path / "c.yml", ["plugins=[plug_f]"])) == []


def test_problems(tmp_path: Path) -> None:
    (tmp_path / "plug_g.py").write_text("1 / 0\n")
    (tmp_path / "json.py").write_text("")
    found = problems(config_in(tmp_path, ["plug_nope", "plug_g", "no.py", "json"]))
    assert found[0] == "cannot import plugin 'plug_nope': ModuleNotFoundError: No module named 'plug_nope'"
    assert found[1] == "cannot import plugin 'plug_g': ZeroDivisionError: division by zero"
    assert "no file" in found[2]
    assert "is shadowed by another module of that name" in found[3]
    assert len(found) == 4

"""Reading of YAML with ``_base_``: values, order of merging, lines, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from paddleseg.config.load import parse_value, read_tree
from paddleseg.config.node import Node, find, plain
from paddleseg.errors import ConfigError


def read(folder: Path, **files: str) -> Node:
    """Writes ``name.yml`` files and reads ``main.yml``."""
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return read_tree(str(folder / "main.yml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("-2E+3", -2000.0),
        (".5e1", 5.0),
        ("1000", 1000),
        ("0.01", 0.01),
        ("1.5", 1.5),
        ("Null", None),
        ("True", True),
        ("e4", "e4"),
        ("1e-4x", "1e-4x"),
        ("'1e-4'", "1e-4"),
        ("[1, 0.4]", [1, 0.4]),
        ("{type: A, b: [1]}", {"type": "A", "b": [1]}),
    ],
)
def test_scalars_and_containers(text: str, value: Any) -> None:
    got = plain(parse_value(text, "here"))
    assert got == value
    assert type(got) is type(value)


def test_file_wins_over_base_and_every_entry_keeps_its_line(tmp_path: Path) -> None:
    root = read(
        tmp_path,
        main="_base_: base.yml\nmodel:\n  a: 2\n  list: [9]\n",
        base="iters: 5\nmodel:\n  a: 1\n  b:\n    c: 3\n  list: [1, 2]\n",
    )
    assert plain(root) == {"iters": 5, "model": {"a": 2, "b": {"c": 3}, "list": [9]}}
    lines = {
        path: find(root, path).source.removeprefix(f"{tmp_path}/")  # type: ignore[union-attr]
        for path in [
            ("iters",),
            ("model",),
            ("model", "a"),
            ("model", "b", "c"),
            ("model", "list"),
            ("model", "list", 0),
        ]
    }
    assert lines == {
        ("iters",): "base.yml:1",
        ("model",): "main.yml:2",
        ("model", "a"): "main.yml:3",
        ("model", "b", "c"): "base.yml:5",
        ("model", "list"): "main.yml:4",
        ("model", "list", 0): "main.yml:4",
    }


def test_an_earlier_base_wins_over_a_later_one(tmp_path: Path) -> None:
    root = read(
        tmp_path,
        main="_base_: [one.yml, two.yml]\nc: main\n",
        one="a: one\nc: one\n",
        two="a: two\nb: two\nc: two\n",
    )
    assert plain(root) == {"a": "one", "b": "two", "c": "main"}


def test_base_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "middle.yml").write_text("_base_: ../bottom.yml\nb: 1\n")
    assert plain(read(tmp_path, main="_base_: deep/middle.yml\n", bottom="a: 1\n")) == {"a": 1, "b": 1}


def test_inherited_false_shuts_out_the_bases_at_its_level_only(tmp_path: Path) -> None:
    root = read(
        tmp_path,
        main="_base_: [one.yml, two.yml]\noptimizer:\n  _inherited_: False\n  type: AdamW\n",
        one="optimizer: {type: SGD, momentum: 0.9}\niters: 1\n",
        two="optimizer: {weight_decay: 0.1}\n",
    )
    assert plain(root) == {"iters": 1, "optimizer": {"type": "AdamW"}}


def test_inherited_false_in_a_base_counts_for_the_bases_below_it(tmp_path: Path) -> None:
    root = read(
        tmp_path,
        main="_base_: middle.yml\nloss: {c: 3}\n",
        middle="_base_: bottom.yml\nloss: {_inherited_: False, b: 2}\n",
        bottom="loss: {a: 1}\nkept: 1\n",
    )
    assert plain(root) == {"kept": 1, "loss": {"b": 2, "c": 3}}


def test_inherited_true_changes_nothing_and_is_no_entry(tmp_path: Path) -> None:
    root = read(tmp_path, main="_base_: base.yml\na: {_inherited_: True, b: 1}\n", base="a: {c: 2}\n")
    assert plain(root) == {"a": {"b": 1, "c": 2}}


def test_a_scalar_replaces_a_mapping_and_a_mapping_a_null(tmp_path: Path) -> None:
    root = read(tmp_path, main="_base_: base.yml\na: null\nb: {x: 1}\n", base="a: {y: 1}\nb: null\n")
    assert plain(root) == {"a": None, "b": {"x": 1}}


def test_aliases_and_merge_keys(tmp_path: Path) -> None:
    text = "mean: &mean [0.5, 0.25]\na: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n  mean: *mean\n"
    root = read(tmp_path, main=text)
    assert plain(root) == {**yaml.safe_load(text)}
    assert root.value["mean"].shared
    assert not root.value["b"].shared
    root.value["mean"].value[0].value = 9
    assert root.value["b"].value["mean"].value[0].value == 0.5, "an alias is a copy"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main": "a: 1\nb: 2\na: 3\n"}, r"main\.yml:3: key 'a' is there already, on line 1"),
        ({"main": "x:\n  a: 1\n  a: 1\n"}, r"main\.yml:3: key 'a' is there already, on line 2"),
        ({"main": "a: [1\nb: 2\n"}, r"main\.yml:2: not valid YAML"),
        ({"main": "a:\n\t- 1\n"}, r"main\.yml:2: not valid YAML"),
        ({"main": "- a\n"}, r"main\.yml: expected a YAML mapping .* got a list"),
        ({"main": ""}, r"main\.yml: expected a YAML mapping .* got nothing"),
        ({"main": "1.5: a\n"}, r"main\.yml:1: key '1.5' is not text"),
        ({"main": "a: {? [1] : b}\n"}, r"main\.yml:1: a list or a mapping as a key; write it in quotes"),
        ({"main": "? !!str {b: 1}\n: a\n"}, r"main\.yml:1: a list or a mapping as a key"),
        ({"main": "a: {010: b}\n"}, r"main\.yml:1: key '010' is not text"),
        ({"main": "a: {1: b, '1': c}\n"}, r"main\.yml:1: key '1' is there already"),
        ({"main": "a: 2020-01-01\n"}, r"main\.yml:1: got a date '2020-01-01'; write it in quotes"),
        ({"main": "a: !!python/name:os.system\n"}, r"main\.yml:1: not valid YAML"),
        ({"main": "a: &x [*x]\n"}, r"main\.yml:1: an alias refers to a value that contains it"),
        ({"main": "a: 1\n\n_base_: [no.yml]\n"}, r"main\.yml:3 _base_: no configuration file '.*no\.yml'"),
        ({"main": "_base_: 3\n"}, r"main\.yml:1 _base_: got a whole number; expected a file name"),
        ({"main": "_base_: b.yml\n", "b": "x: 1\n_base_: main.yml\n"}, r"b\.yml:2 _base_: .*circle: .* → "),
        (
            {"main": "a: {_inherited_: 1}\n"},
            r"main\.yml:1 _inherited_: got a whole number; expected True or False",
        ),
    ],
)
def test_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **files)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        read_tree(str(tmp_path / "missing.yml"))
    with pytest.raises(ConfigError, match="is a folder"):
        read_tree(str(tmp_path))
    (tmp_path / "latin.yml").write_bytes(b"a: caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_tree(str(tmp_path / "latin.yml"))


def test_the_same_base_twice_is_no_circle(tmp_path: Path) -> None:
    files = {
        "main": "_base_: [a.yml, b.yml]\n",
        "a": "_base_: c.yml\n",
        "b": "_base_: c.yml\n",
        "c": "x: 1\n",
    }
    assert plain(read(tmp_path, **files)) == {"x": 1}


ALIASES = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20))
MERGES = "".join(f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}]}}\n" for i in range(1, 30))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(f"a0: &a0 [1]\n{ALIASES}", "more than 100000 values or 50 levels", id="aliases"),
        pytest.param(f"x: {'[' * 60}{']' * 60}", "more than 100000 values or 50 levels", id="depth"),
        pytest.param(f"x: {'[' * 5000}{']' * 5000}", "nested too deeply", id="great depth"),
        pytest.param("_base_: [c.yml]", "in a circle", id="circle"),
        pytest.param('_base_: "\\0"', "expected the name of a file", id="no file name"),
    ],
)
def test_what_would_never_end_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_tree(str(tmp_path / "c.yml"))


@pytest.mark.timeout(20)
def test_merges_of_merges_do_not_grow(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(f"m0: &m0 {{x: 1}}\n{MERGES}", encoding="utf-8")
    assert plain(read_tree(str(tmp_path / "c.yml")))["m29"] == {"x": 1}


@pytest.mark.timeout(20)
def test_bases_that_fan_out_are_refused(tmp_path: Path) -> None:
    for level in range(40):
        (tmp_path / f"{level}.yml").write_text(f"_base_: [{level + 1}.yml, {level + 1}.yml]\n")
    (tmp_path / "40.yml").write_text("x: 1\n")
    with pytest.raises(ConfigError, match="inherits more than 100 files"):
        read_tree(str(tmp_path / "0.yml"))

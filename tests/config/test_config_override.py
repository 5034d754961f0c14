"""``--opts`` and short flags."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.config.node import Node, find, from_value, plain
from paddleseg.config.override import apply_flags, apply_overrides
from paddleseg.errors import ConfigError


def tree() -> Node:
    return from_value(
        {
            "iters": 10,
            "test_config": None,
            "model": {"backbone": {"pretrained": "x"}},
            "loss": {"types": [{"type": "A"}, {"type": "B"}], "coef": [1]},
            "lr_scheduler": {"learning_rate": 0.01},
        },
        "file.yml:1",
    )


@pytest.mark.parametrize(
    ("item", "path", "value"),
    [
        ("iters=5", ("iters",), 5),
        ("x=1e-3", ("x",), 0.001),
        ("test_config.scales=0.75,1.0", ("test_config", "scales"), [0.75, 1.0]),
        ("x=(1, 2)", ("x",), [1, 2]),
        ("x=[193,193]", ("x",), [193, 193]),
        ("x=[a, b]", ("x",), ["a", "b"]),
        ("x={type: A, b: 1}", ("x",), {"type": "A", "b": 1}),
        ("model.backbone.pretrained=null", ("model", "backbone", "pretrained"), None),
        ("model.backbone.pretrained=None", ("model", "backbone", "pretrained"), None),
        ("model.backbone.pretrained=", ("model", "backbone", "pretrained"), None),
        ("x=True", ("x",), True),
        ("x=https://a.b/c?d=e&f=g", ("x",), "https://a.b/c?d=e&f=g"),
        ("x='a=b'", ("x",), "a=b"),
        ("x=*.png", ("x",), "*.png"),
        ("x=a,b", ("x",), "a,b"),
        ("loss.types.1.type=C", ("loss", "types", 1, "type"), "C"),
        ("loss.types[1].type=C", ("loss", "types", 1, "type"), "C"),
        ("loss.coef.0=0.5", ("loss", "coef", 0), 0.5),
        ("new.deep.key=1", ("new", "deep", "key"), 1),
    ],
)
def test_opts(item: str, path: tuple[Any, ...], value: Any) -> None:
    root = tree()
    before = plain(root)
    apply_overrides(root, [item])
    node = find(root, path)
    assert node is not None
    assert plain(node) == value
    assert type(plain(node)) is type(value)
    assert node.source == "--opts " + item.partition("=")[0]
    untouched = {"lr_scheduler", "loss", "model"} - {path[0]}
    assert {key: plain(root)[key] for key in untouched} == {key: before[key] for key in untouched}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("iters", "--opts iters: expected key=value"),
        ("=3", "expected key=value"),
        ("a..b=3", "names separated by single dots"),
        ("iters.x=3", r"--opts iters.x: iters is 10, which has no entries"),
        ("loss.types.2.type=A", r"loss\.types is a list with 2 entries; '2' is not the index"),
        ("loss.types.x=A", r"loss\.types is a list with 2 entries; 'x' is not the index"),
        ("x=[1,", "--opts x: not valid YAML"),
    ],
)
def test_refused_opts(item: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides(tree(), [item])


def test_one_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a list of key=value items"):
        apply_overrides(tree(), "iters=5")


def test_later_opts_win() -> None:
    root = tree()
    apply_overrides(root, ["iters=5", "iters=6"])
    assert plain(root)["iters"] == 6


def test_mapping() -> None:
    root = tree()
    apply_overrides(root, {"model.backbone.pretrained": None, "learning_rate": 0.5, "loss.coef": (1, 2)})
    assert plain(root)["model"] == {"backbone": {"pretrained": None}}
    assert plain(root)["lr_scheduler"] == {"learning_rate": 0.5}
    assert plain(root)["loss"]["coef"] == [1, 2]


def test_flags() -> None:
    root = tree()
    apply_flags(root, {"iters": 7, "batch_size": None, "learning_rate": 0.1, "to_static_training": True})
    got = plain(root)
    assert (got["iters"], got["lr_scheduler"], got["to_static_training"]) == (7, {"learning_rate": 0.1}, True)
    assert "batch_size" not in got
    assert find(root, ("iters",)).source == "--iters"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("legacy", "expected"),
    [({"value": 0.01, "decay": {"type": "poly"}}, {"value": 3, "decay": {"type": "poly"}}), (0.01, 3)],
)
def test_learning_rate_flag_reaches_the_legacy_block(legacy: Any, expected: Any) -> None:
    root = from_value({"learning_rate": legacy}, "file.yml:1")
    apply_flags(root, {"learning_rate": 3})
    assert plain(root) == {"learning_rate": expected}


def test_unknown_flag() -> None:
    with pytest.raises(ConfigError, match="no short flag 'itres'"):
        apply_flags(tree(), {"itres": 1})


def test_flag_of_a_program_by_its_dotted_path() -> None:
    root = tree()
    apply_flags(root, {"test_config.scales": [0.5], "test_config.stride": None, "iters": 3})
    node = find(root, ("test_config", "scales"))
    assert node is not None
    assert (plain(node), node.source) == ([0.5], "--scales")
    assert find(root, ("test_config", "stride")) is None


@pytest.mark.parametrize("item", ["lr_scheduler.99=1", "99=1"])
def test_a_number_is_no_name_of_an_entry(item: str) -> None:
    with pytest.raises(ConfigError, match="expected the name of an entry, got the number 99"):
        apply_overrides(tree(), [item])


def test_only_our_digits_make_a_number() -> None:
    root = tree()
    apply_overrides(root, ["lr_scheduler.²=1"])  # a name like any other, for later checks to refuse
    assert plain(root)["lr_scheduler"]["²"] == 1

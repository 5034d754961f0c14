"""Configs mutilated at random: loading one works or says what is wrong with it, nothing else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddleseg.build import load_config
from paddleseg.config.schema import TRAIN_KEYS
from paddleseg.errors import ConfigError

ABSURD: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3,
    255,
    10**9,
    10**400,
    -0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "0",
    "Ünï☃",
    "a" * 500,
    "../..",
    "https://",
    [],
    [[]],
    [1],
    [0, 0],
    [-1, 3],
    [769, 769],
    [None],
    ["x", 1],
    {},
    {"type": "CCNet"},
    {"type": "Normalize"},
    {"type": None},
    {"type": ["CCNet"]},
    {"x": {"y": []}},
]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values, the whole tree excepted."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, child in items for found in [(*path, key), *places(child, (*path, key))]]


# What the published config lacks.
OTHER_BLOCKS = {
    "test_config": {
        "aug_eval": True,
        "scales": [0.75, 1.0],
        "is_slide": True,
        "crop_size": [9, 9],
        "stride": [6, 6],
    },
    "export": {"transforms": [{"type": "Normalize"}]},
}


def mutilate(tree: dict[str, Any], rng: random.Random) -> str:
    """Changes one place in place. Returns what was done."""
    path = rng.choice(places(tree))
    parent: Any = tree
    for part in path[:-1]:
        parent = parent[part]
    key, deed = path[-1], rng.choice(["delete", "replace", "replace", "rename", "copy", "wrap"])
    if deed == "delete":
        del parent[key]
    elif deed == "replace":
        parent[key] = rng.choice(ABSURD)
    elif deed == "rename" and isinstance(parent, dict):
        parent[rng.choice(["type", "types", "loss", "model", "x", f"{key}s", key[1:] or "y"])] = parent.pop(
            key
        )
    elif deed == "copy":
        other: Any = tree
        for part in rng.choice(places(tree)):
            other = other[part]
        parent[key] = yaml.safe_load(yaml.safe_dump(other))
    else:
        parent[key] = [parent[key]]
    return f"{deed} {path} -> {str(parent)[:200]}"


@pytest.mark.parametrize("block", range(4))
def test_a_random_config_loads_or_is_refused(root_dir: Path, tmp_path: Path, block: int) -> None:
    reference = load_config(root_dir / "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml").tree
    reference["model"]["backbone"]["type"] = "ResNet18_vd"
    reference |= OTHER_BLOCKS
    path = tmp_path / "config.yml"
    refused = 0
    for seed in range(25 * block, 25 * block + 25):
        rng = random.Random(seed)
        tree = yaml.safe_load(yaml.safe_dump(reference))
        deeds = [mutilate(tree, rng) for _ in range(rng.randint(1, 3))]
        path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
        try:
            load_config(path, required=TRAIN_KEYS)
        except ConfigError:
            refused += 1
        except Exception as error:
            pytest.fail(f"seed {seed}: {deeds}: {type(error).__name__}: {error}")
    assert refused > 5

"""YAML texts that are small and mean huge trees, or are huge, or mean what a config cannot hold."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["BOMBS"]

TAGS = ("!!python/object/apply:os.abort []", "!!binary x", "!!set {a, b}", "!x 1", "!!int x", "!!float y")
DATES = ("2001-99-99", "0000-00-00", "2001-01-01t99:99:99z", "2001-01-01")


def _nested(kind: str, rng: random.Random) -> str:
    """Nine references a level to the level before: up to 9^n values."""
    open_, close = ("[", "]") if kind == "aliases" else ("{<<: [", "]}")
    lines = ["a0: &a0 [x, x]\n" if kind == "aliases" else "a0: &a0 {x: 1}\n"]
    for i in range(1, rng.choice([5, 9, 30])):
        lines.append(f"a{i}: &a{i} {open_}{', '.join([f'*a{i - 1}'] * 9)}{close}\n")
    return "".join(lines)


def _depth(rng: random.Random) -> int:
    return rng.choice([50, 300, 900, 20_000])


def _many(rng: random.Random) -> int:
    return rng.choice([1000, 50_000])


BOMBS: dict[str, Callable[[random.Random], str]] = {
    "aliases": lambda rng: _nested("aliases", rng),
    "merges": lambda rng: _nested("merges", rng),
    "alias cycle": lambda rng: "iters: &a [*a]\nmodel: &m {type: CCNet, backbone: *m}\n",
    "merge cycle": lambda rng: "model: &m {type: CCNet, <<: *m}\n",
    "deep flow": lambda rng: "iters: " + "[" * (depth := _depth(rng)) + "]" * depth,
    "deep flow, open": lambda rng: "{a: " * _depth(rng),
    "deep block": lambda rng: "".join(f"{' ' * i}a:\n" for i in range(min(_depth(rng), 2000))),
    "deep list": lambda rng: "- " * _depth(rng) + "x",
    "long list": lambda rng: f"iters: [{'1,' * _many(rng)}1]\n",
    "many keys": lambda rng: "".join(f"k{i}: 1\n" for i in range(_many(rng))),
    "many transforms": lambda rng: "train_dataset:\n  transforms:\n" + "  - {type: Normalize}\n" * 5000,
    "long text": lambda rng: f"iters: {'x' * 20 * _many(rng)}\n",
    "long key": lambda rng: f"{'k' * 900}: 1\n{'q' * 20 * _many(rng)}: 1\n",
    "long number": lambda rng: f"iters: {'9' * rng.choice([400, 5000, 100_000])}\n",
    "sexagesimal": lambda rng: f"iters: {':'.join(['59'] * rng.choice([20, 2000, 20_000]))}\n",
    "long float": lambda rng: f"iters: 1.{'0' * _many(rng)}1e{'9' * 30}\n",
    "date": lambda rng: f"iters: {rng.choice(DATES)}\n",
    "tags": lambda rng: f"iters: {rng.choice(TAGS)}\n",
    "directives": lambda rng: "%YAML 9.9\n%TAG ! tag:x,2000:\n---\niters: !y 1\n",
    "documents": lambda rng: "iters: 1\n---\niters: 2\n",
}

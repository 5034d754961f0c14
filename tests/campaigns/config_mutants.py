"""Configs tampered with in many ways, for ``bad_configs.py`` and ``command_lines.py``."""

from __future__ import annotations

import copy
import gzip
import itertools
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from config_bombs import BOMBS
from harness import ROOT, mutants

from paddleseg import runtime

runtime.configure(threads=1)

from small_task import config_tree  # noqa: E402
from test_build_random_configs import ABSURD, OTHER_BLOCKS, mutilate, places  # noqa: E402

from paddleseg.build import load_config  # noqa: E402

__all__ = ["CONFIG", "ConfigMutant", "config_mutants", "source_trees", "yaml_bytes"]

SOURCES = {
    "quick_start": ROOT / "configs/quick_start/ccnet_resnet18_demo.yml",
    "cityscapes": ROOT / "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml",
}
CONFIG = "config.yml"
MARKS = (b"\t", b"\n", b":", b"- ", b"{", b"]", b"'", b'"', b"&a ", b"*a ", b"%", b"#", b"? ", b"|", b"!")
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")
BASES = (
    *('"\\0"', '"a\\0b.yml"', '"\\uD800.yml"', "x" * 5000, "..", "/", "/dev/null", "~", "''", "[]", "[[]]"),
    *("{a: b}", "3", "null", "true", "[null]", "https://x/y.yml", "'*.yml'", "/proc/self/mem", "missing.yml"),
)
PATH_PARTS = ("99", "-1", "9" * 30, "", "²", "0", "type", "[0]", "x")
OPTION_VALUES = (
    *(
        "[1,",
        "{a: b}",
        "{",
        "'",
        "(1, 2",
        "1,2",
        "(" * 300,
        "None",
        "",
        "=",
        "*a",
        "&a [*a]",
        "!!int x",
        "\t",
    ),
    *("\x00", "\ud800", "[" * 3000, "-" * 200 + "1", "9" * 5000, "2001-99-99", "{1: 2}", "-" * 9000 + "1"),
)
OPTION_FORMS = ("{}={}", "{}={}", "{}={}", "{}{}", "={}{}", "{}=={}")
WORDS = ("type", "model", "loss", "types", "coef", "_base_", "_inherited_", "null", "1e9", "learning_rate")
TEXTS = ("\x00", "\\0", "\ud800", "~", "~nobody/x", "$HOME", "%s", "{0}", "a: b", "0x10", "1_000", "yes", "=")


@dataclass
class ConfigMutant:
    """A config that was tampered with.

    Attributes:
        kind: Class of the mutation.
        what: What was done.
        files: Contents by name; ``config.yml`` is the one that is loaded.
        overrides: Texts of ``--opts``.
        flags: Values of the short flags.
        links: Symbolic links, by name.
    """

    kind: str
    what: str
    files: dict[str, bytes] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    flags: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Writes the files and links into a folder. Returns the config's path."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)
        return folder / CONFIG


@cache
def source_trees() -> dict[str, dict[str, Any]]:
    """The configs that are mutilated, inheritance resolved."""
    trees = {name: load_config(path).tree for name, path in SOURCES.items()}
    trees["cityscapes"] |= OTHER_BLOCKS
    small = config_tree(Path("data"), {"type": "TinyNet"})
    small["loss"]["coef"] = [1]
    small["train_dataset"]["separator"] = small["val_dataset"]["separator"] = "|"
    trees["small_task"] = {**small, "plugins": ["tiny_net"]}
    return trees


def yaml_bytes(tree: Any) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


def some_source(rng: random.Random) -> tuple[str, dict[str, Any]]:
    name = rng.choice(list(source_trees()))
    return name, copy.deepcopy(source_trees()[name])


def _parent(tree: Any, path: tuple[Any, ...]) -> Any:
    for part in path[:-1]:
        tree = tree[part]
    return tree


def _typo(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word)) if word else 0
    letter = rng.choice(string.ascii_lowercase + "_ .:é")
    return rng.choice(
        [word[:at] + word[at + 1 :], word[:at] + letter + word[at:], word.upper(), f"{word} ", word[::-1]]
    )


def of_values(rng: random.Random) -> ConfigMutant:
    """One to three entries deleted, replaced, renamed, copied elsewhere or wrapped."""
    name, tree = some_source(rng)
    deeds = [mutilate(tree, rng) for _ in range(rng.randint(1, 3)) if places(tree)]
    return ConfigMutant("values and structure", f"{name}: {deeds}", {CONFIG: yaml_bytes(tree)})


def of_key_typos(rng: random.Random) -> ConfigMutant:
    name, tree = some_source(rng)
    path = rng.choice([path for path in places(tree) if isinstance(path[-1], str)])
    parent, key = _parent(tree, path), path[-1]
    new = _typo(key, rng)
    parent[new] = parent.pop(key)
    return ConfigMutant("key typos", f"{name}: {path} -> {new!r}", {CONFIG: yaml_bytes(tree)})


def of_type_swaps(rng: random.Random) -> ConfigMutant:
    """Numbers as text, text as numbers, a block's value exchanged with another's."""
    name, tree = some_source(rng)
    first, second = rng.choice(places(tree)), rng.choice(places(tree))
    one, other = _parent(tree, first), _parent(tree, second)
    deed = rng.choice(["text", "list", "mapping", "exchange", "special"])
    value = one[first[-1]]
    if deed == "text":
        one[first[-1]] = str(value)
    elif deed == "list":
        one[first[-1]] = [copy.deepcopy(value)] * rng.choice([0, 1, 2, 300])
    elif deed == "mapping":
        one[first[-1]] = {"type": copy.deepcopy(value)}
    elif deed == "special":
        one[first[-1]] = rng.choice(TEXTS)
    else:
        one[first[-1]], other[second[-1]] = copy.deepcopy(other[second[-1]]), copy.deepcopy(value)
    return ConfigMutant("type swaps", f"{name}: {deed} {first} {second}", {CONFIG: yaml_bytes(tree)})


def of_component_parameters(rng: random.Random) -> ConfigMutant:
    """A parameter of some component added to another block, with an absurd value."""
    name, tree = some_source(rng)
    blocks = [path for path in places(tree) if isinstance(_at(tree, path), dict)]
    target = rng.choice(blocks)
    words = sorted({str(path[-1]) for path in places(tree) if isinstance(path[-1], str)} | set(WORDS))
    key, value = rng.choice(words), copy.deepcopy(rng.choice(ABSURD))
    _at(tree, target)[key] = value
    return ConfigMutant(
        "strange parameters", f"{name}: {target}.{key} = {value!r:.80}", {CONFIG: yaml_bytes(tree)}
    )


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def of_bytes(rng: random.Random) -> ConfigMutant:
    """Bytes of the file flipped, removed, doubled or put in."""
    name, tree = some_source(rng)
    as_written = name in SOURCES and rng.random() < 0.3
    data = bytearray(SOURCES[name].read_bytes() if as_written else yaml_bytes(tree))
    deeds = []
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at, deed = rng.randrange(len(data) + 1), rng.choice(["flip", "insert", "remove", "double", "cut"])
        deeds.append(f"{deed}@{at}")
        if deed == "flip" and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif deed == "insert":
            data[at:at] = rng.choice(MARKS)
        elif deed == "remove":
            del data[at : at + rng.randint(1, 40)]
        elif deed == "double":
            data[at:at] = data[at : at + rng.randint(1, 200)]
        elif deed == "cut" and len(deeds) == 1 and rng.random() < 0.5:
            del data[at:]
        if not data:
            break
    return ConfigMutant("bytes of the YAML text", f"{name}: {deeds}", {CONFIG: bytes(data)})


def of_lines(rng: random.Random) -> ConfigMutant:
    """Lines doubled, dropped, exchanged, indented or joined."""
    name, tree = some_source(rng)
    lines = yaml_bytes(tree).decode().splitlines()
    deed, at, other = rng.choice(["double", "drop", "indent", "dedent", "swap", "tab", "join"]), 0, 0
    for _ in range(rng.choice([1, 1, 3])):
        at, other = rng.randrange(len(lines) - 1), rng.randrange(len(lines) - 1)
        if deed == "double":
            lines.insert(other, lines[at])
        elif deed == "drop":
            del lines[at]
        elif deed == "indent":
            lines[at] = " " * rng.randint(1, 9) + lines[at]
        elif deed == "dedent":
            lines[at] = lines[at][rng.randint(1, 2) :]
        elif deed == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif deed == "tab":
            lines[at] = lines[at].replace("  ", "\t", 1)
        else:
            lines[at] += lines.pop(at + 1)
    content = "\n".join(lines).encode()
    return ConfigMutant("lines of the YAML text", f"{name}: {deed} {at} {other}", {CONFIG: content})


def of_encodings(rng: random.Random) -> ConfigMutant:
    name, tree = some_source(rng)
    text = "# Größe ☃\n" + yaml_bytes(tree).decode()
    at = rng.randrange(len(text))
    made: dict[str, Callable[[], bytes]] = {
        "gzip": lambda: gzip.compress(text.encode()),
        "random": lambda: rng.randbytes(rng.randint(1, 3000)),
        "empty": lambda: b"" if rng.random() < 0.5 else b"\n# nothing\n---\n...\n",
        "crlf": lambda: text.replace("\n", "\r\n").encode(),
        "cr": lambda: text.replace("\n", "\r").encode(),
        "control": lambda: (text[:at] + chr(rng.randrange(1, 32)) + text[at:]).encode(),
        "surrogate": lambda: text.encode()[:at] + b"\xed\xa0\x80" + text.encode()[at:],
        "nul": lambda: text.encode()[:at] + b"\0" + text.encode()[at:],
    }
    deed = rng.choice([*ENCODINGS, *made])
    content = made[deed]() if deed in made else text.encode(deed, "replace")
    return ConfigMutant("encodings", f"{name}: {deed} {at}", {CONFIG: content})


def of_bases(rng: random.Random) -> ConfigMutant:
    """Cycles, long chains, fans and impossible entries of ``_base_``."""
    deed = rng.choice(["cycle", "chain", "entry", "entry", "entry", "fan", "symlink", "half"])
    if deed in ("cycle", "chain"):
        return _chain(rng.choice([1, 2, 3, 7] if deed == "cycle" else [5, 60, 400, 1500]), deed == "cycle")
    if deed == "fan":  # each file names the next one twice: 2^n readings
        depth = rng.choice([3, 10, 40])
        files = {f"b{i}.yml": f"_base_: [b{i + 1}.yml, b{i + 1}.yml]\n".encode() for i in range(depth)}
        files |= {CONFIG: b"_base_: b0.yml\n", f"b{depth}.yml": b"iters: 1\n"}
        return ConfigMutant("_base_", f"fan of depth {depth}", files)
    if deed == "symlink":
        files = {CONFIG: b"_base_: loop.yml\n"}
        return ConfigMutant("_base_", "a link to itself", files, links={"loop.yml": "loop.yml"})
    if deed == "half":
        name, tree = some_source(rng)
        part = {key: tree.pop(key) for key in rng.sample(list(tree), rng.randint(1, 3))}
        tree["_base_"] = rng.choice(["part.yml", ["part.yml", "part.yml"], ["part.yml", "none.yml"]])
        mutilate(part, rng)
        files = {CONFIG: yaml_bytes(tree), "part.yml": yaml_bytes(part)}
        return ConfigMutant("_base_", f"{name}: damaged part", files)
    entry = rng.choice(BASES)
    return ConfigMutant("_base_", f"entry {entry[:60]}", {CONFIG: f"_base_: {entry}\n".encode()})


def _chain(length: int, closed: bool) -> ConfigMutant:
    names = [CONFIG, *(f"base{i}.yml" for i in range(1, length)), CONFIG if closed else "last.yml"]
    files = {name: f"_base_: {base}\niters: 1\n".encode() for name, base in itertools.pairwise(names)}
    files.setdefault(names[-1], b"iters: 2\n")
    return ConfigMutant("_base_", f"{'cycle' if closed else 'chain'} of {length}", files)


def of_overrides(rng: random.Random) -> ConfigMutant:
    name, tree = some_source(rng)
    overrides = []
    for _ in range(rng.randint(1, 3)):
        parts = [str(part) for part in rng.choice(places(tree))]
        if rng.random() < 0.4:
            at = rng.randrange(len(parts))
            parts[at] = rng.choice([_typo(parts[at], rng), *PATH_PARTS])
        value = rng.choice([str(rng.choice(ABSURD))[:3000], rng.choice(OPTION_VALUES)])
        overrides.append(rng.choice(OPTION_FORMS).format(".".join(parts), value))
    what = f"{name}: {[one[:80] for one in overrides]}"
    return ConfigMutant("--opts", what, {CONFIG: yaml_bytes(tree)}, overrides)


def of_flags(rng: random.Random) -> ConfigMutant:
    name, tree = some_source(rng)
    if rng.random() < 0.5:
        mutilate(tree, rng)
    names = ["iters", "batch_size", "learning_rate", "seed", "to_static_training", "test_config.scales"]
    flags = {rng.choice(names): copy.deepcopy(rng.choice(ABSURD)) for _ in range(2)}
    return ConfigMutant("short flags", f"{name}: {str(flags)[:120]}", {CONFIG: yaml_bytes(tree)}, flags=flags)


def of_bombs(rng: random.Random) -> ConfigMutant:
    """Small files that mean huge trees, and huge ones."""
    name = rng.choice(list(BOMBS))
    text = BOMBS[name](rng)
    return ConfigMutant("bombs", f"{name} ({len(text)} characters)", {CONFIG: text.encode()})


def of_numbers(rng: random.Random) -> ConfigMutant:
    """Numbers and switches replaced by others of their kind, many of which may stand."""
    name, tree = some_source(rng)
    deeds = []
    for _ in range(rng.choice([1, 1, 3])):
        path = rng.choice([one for one in places(tree) if isinstance(_at(tree, one), (int, float))])
        old = _at(tree, path)
        factor = rng.choice([0, -1, 0.5, 2, 10, 1000])
        new = (not old) if isinstance(old, bool) else rng.choice([type(old)(old * factor), old + 1, 1 / 3])
        _parent(tree, path)[path[-1]] = new
        deeds.append(f"{path} = {new}")
    return ConfigMutant("other numbers", f"{name}: {deeds}", {CONFIG: yaml_bytes(tree)})


# Each generator with its share of the inputs.
GENERATORS: dict[Callable[[random.Random], ConfigMutant], int] = {
    of_values: 6,
    of_numbers: 3,
    of_key_typos: 2,
    of_type_swaps: 3,
    of_component_parameters: 2,
    of_bytes: 3,
    of_lines: 2,
    of_encodings: 2,
    of_bases: 2,
    of_bombs: 2,
    of_overrides: 3,
    of_flags: 1,
}


def config_mutants(count: int, seed: int) -> Iterator[ConfigMutant]:
    return mutants("config", GENERATORS, count, seed)

"""Weight files tampered with in many ways, for ``bad_checkpoints.py`` and ``command_lines.py``."""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import pickle
import random
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import safetensors.numpy
from harness import mutants

__all__ = ["WeightMutant", "weight_mutants"]

Arrays = Mapping[str, np.ndarray]
FORMATS = ("pdparams", "pdparams", "safetensors", "tar.gz", "tar")


LIES: tuple[dict[str, object], ...] = (
    *({"dtype": "F8_E4M3"}, {"dtype": "x"}, {"shape": [2**62, 4]}, {"shape": [-1]}, {"shape": "x"}),
    *({"data_offsets": [0, 2**60]}, {"data_offsets": [9, 3]}, {"data_offsets": []}),
)


@dataclass
class WeightMutant:
    """A weights file that was tampered with.

    Attributes:
        kind: Class of the mutation.
        what: What was done.
        suffix: Of its name, without the first dot.
        write: Makes it at a path.
    """

    kind: str
    what: str
    suffix: str
    write: Callable[[Path], object]


def _of_bytes(kind: str, what: str, suffix: str, data: bytes) -> WeightMutant:
    return WeightMutant(kind, what, suffix, lambda path: path.write_bytes(data))


def pdparams(state: Any, protocol: int = 4) -> bytes:
    target = io.BytesIO()
    paddle.save(state, target, protocol=protocol)
    return target.getvalue()


def archive(mode: str, **members: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_dot_", "."))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return target.getvalue()


def sound(arrays: Arrays, suffix: str, rng: random.Random) -> bytes:
    """The weights in a format."""
    if suffix == "safetensors":
        return safetensors.numpy.save(dict(arrays))
    inside = pdparams({name: paddle.to_tensor(value) for name, value in arrays.items()}, rng.choice([2, 4]))
    if suffix == "pdparams":
        return inside
    return archive("w:gz" if suffix == "tar.gz" else "w", model_dot_pdparams=inside)


def damaged(data: bytes, rng: random.Random) -> tuple[str, str, bytes]:
    """A file cut short, with bits flipped or with pieces exchanged. Returns class, deed and bytes."""
    deed, at = rng.choice(["cut", "flip", "flip", "splice"]), rng.randrange(len(data))
    spoilt = bytearray(data)
    if deed == "cut":
        at = rng.choice([at, rng.randrange(64), len(data) - rng.randint(1, 64)])
        return "truncated", f"cut to {at} of {len(data)} bytes", data[:at]
    if deed == "flip":
        places = [rng.choice([at, rng.randrange(300)]) % len(data) for _ in range(rng.choice([1, 1, 5, 50]))]
        for place in places:
            spoilt[place] ^= 1 << rng.randrange(8)
        return "bits flipped", f"at {places[:9]}", bytes(spoilt)
    length = rng.randint(1, 100)
    spoilt[at : at + length] = rng.choice([b"", rng.randbytes(length), bytes(length), data[:length] * 2])
    return "spliced", f"at {at}+{length}", bytes(spoilt)


def of_bytes(arrays: Arrays, rng: random.Random) -> WeightMutant:
    suffix = rng.choice(FORMATS)
    kind, deed, data = damaged(sound(arrays, suffix, rng), rng)
    return _of_bytes(kind, f"{suffix} {deed}", suffix, data)


def of_contents(arrays: Arrays, rng: random.Random) -> WeightMutant:
    """Sound files with other arrays: shapes, types, names."""
    state: dict[str, Any] = dict(arrays)
    name = rng.choice(list(state))
    array = state[name]
    made: dict[str, Callable[[], object]] = {
        "shape": lambda: state.update({name: np.zeros((*array.shape, 2), array.dtype)}),
        "flat": lambda: state.update({name: array.ravel()[:-1]}),
        "scalar": lambda: state.update({name: array.ravel()[0]}),
        "0 rows": lambda: state.update({name: array[:0]}),
        "type": lambda: state.update(
            {name: array.astype(rng.choice(["f2", "f8", ">f4", "i8", "u2", "u1", "?", "c8", "i4"]))}
        ),
        "text": lambda: state.update({name: np.full(array.shape, "1.5")}),
        "objects": lambda: state.update({name: np.full(array.shape, None)}),
        "dates": lambda: state.update({name: np.full(array.shape, np.datetime64("2001-01-01"))}),
        "not finite": lambda: state.update({name: array * np.nan}),
        "number": lambda: state.update({name: 1.5}),
        "list": lambda: state.update({name: array.tolist()}),
        "nested": lambda: state.update({name: {"weight": array}}),
        "missing": lambda: state.pop(name),
        "renamed": lambda: state.update({f"x.{name}": state.pop(name)}),
        "prefixed": lambda: [state.update({f"backbone.{key}": state.pop(key)}) for key in list(state)],
        "unexpected": lambda: state.update({rng.choice(["x", "", "conv", 3, None, "x" * 9999]): array}),
        "nothing": state.clear,
        "slices": lambda: state.update(
            {"UnpackBigParamInfor@@": rng.choice([1, {"x": 1}, {"x": {"slices": [3]}}])}
        ),
        "names": lambda: state.update({"StructuredToParameterName@@": rng.choice([1, {name: "x"}, None])}),
    }
    deed = rng.choice(list(made))
    made[deed]()
    whole = (
        rng.choice([[state], (state, 1), 3, None, "text", b"bytes", {1: 2}]) if rng.random() < 0.1 else state
    )
    data = pickle.dumps(whole, protocol=rng.choice([2, 4, 5]))
    return _of_bytes("other contents", f"{deed} {name}", "pdparams", data)


class Call:
    """Pickles as a call, which a careless reader makes."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.reduced = (function, given)

    def __reduce__(self) -> Any:
        return self.reduced


PROOF = "proof"  # the folder that hostile files try to make
_NAMED = (
    *(("posix", "mkdir"), ("os", "mkdir"), ("pathlib", "Path"), ("builtins", "eval"), ("builtins", "exec")),
    *(("builtins", "getattr"), ("builtins", "__import__"), ("os", "system"), ("subprocess", "Popen")),
    *(("numpy", "load"), ("numpy", "fromfile"), ("paddle", "load"), ("builtins", "open"), ("io", "open")),
    *(("copyreg", "_reconstructor"), ("importlib", "import_module"), ("numpy.lib.npyio", "save")),
    *(
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.f2py.crackfortran", "getlincoef"),
        ("code", "x"),
    ),
)


def of_hostile_pickles(arrays: Arrays, rng: random.Random) -> WeightMutant:
    """Pickles that ask the reader to make a folder named ``proof``, to call what it may not, or to nest."""
    module, name = (part.encode() for part in rng.choice(_NAMED))
    command = f"__import__('os').mkdir('{PROOF}')".encode()
    given = rng.choice([PROOF.encode(), command, b"os"])
    text = b"X" + struct.pack("<I", len(given)) + given
    stack = b"\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name + b"\x93"
    made: dict[str, Callable[[], bytes]] = {
        "reduce": lambda: pickle.dumps(
            {**arrays, "x": Call(os.mkdir, PROOF)}, protocol=rng.choice([0, 2, 4])
        ),
        "eval": lambda: pickle.dumps({**arrays, "x": Call(eval, command.decode())}, protocol=2),
        "global": lambda: b"c" + module + b"\n" + name + b"\n(" + text + b"tR.",
        "stack global": lambda: b"\x80\x04" + stack + b"(" + text + b"tR.",
        "inst": lambda: b"(" + text + b"i" + module + b"\n" + name + b"\n.",
        "obj": lambda: b"(c" + module + b"\n" + name + b"\n" + text + b"o.",
        "new": lambda: b"c" + module + b"\n" + name + b"\n(" + text + b"t\x81.",
        "build": lambda: (
            b"cnumpy\nndarray\n}(X\x0c\0\0\0__setstate__c" + module + b"\n" + name + b"\nub" + text + b"b."
        ),
        "build on a function": lambda: b"cnumpy.core.multiarray\n_reconstruct\n}X\x01\0\0\0x" + text + b"sb.",
        "codec": lambda: b"c_codecs\nencode\n(X\x01\0\0\0aX\x03\0\0\0hextR.",
        "persistent": lambda: b"P" + given + b"\n.",
        "extension": lambda: b"\x80\x02\x82\x01.",
        "buffer": lambda: b"\x80\x05\x97\x98.",
        "array of objects": lambda: pickle.dumps(
            {"conv.weight": np.array([Call(os.mkdir, PROOF)], dtype=object)}
        ),
    }
    deed = rng.choice(list(made))
    return _of_bytes("hostile pickles", f"{deed} {module!r} {name!r}", "pdparams", made[deed]())


def of_bombs(arrays: Arrays, rng: random.Random) -> WeightMutant:
    """Small files that ask for very much memory or depth."""
    huge = rng.choice([2**20, 2**31 - 1, 2**40, 2**63 - 1])
    deep = rng.choice([100, 2000, 300_000])
    narrow = struct.pack("<I", min(huge, 2**32 - 1))
    made: dict[str, Callable[[], bytes]] = {
        "memo index": lambda: b"\x80\x04}r" + narrow + b".",
        "memo read": lambda: b"\x80\x04j" + narrow + b".",
        "text length": lambda: b"\x80\x04\x8d" + struct.pack("<Q", huge) + b"abc.",
        "bytes length": lambda: b"\x80\x04\x8e" + struct.pack("<Q", huge) + b"abc.",
        "bytearray length": lambda: b"\x80\x05\x96" + struct.pack("<Q", huge) + b"abc.",
        "short bytes length": lambda: b"\x80\x04B" + narrow + b"abc.",
        "long length": lambda: b"\x80\x04\x8b" + struct.pack("<i", min(huge, 2**31 - 1)) + b"abc.",
        "frame length": lambda: b"\x80\x04\x95" + struct.pack("<Q", huge) + b"}.",
        "decimal": lambda: b"I" + b"9" * min(huge, 2**20) + b"\n.",
        "marks": lambda: b"(" * deep + b"t" * deep + b".",
        "nested tuples": lambda: b"\x80\x04)" + b"\x85" * deep + b".",
        "nested lists": lambda: b"\x80\x04" + b"]" * deep + b"a" * (deep - 1) + b".",
        "doubled": lambda: b"\x80\x04]\x94" + b"2\x86" * min(deep, 2000) + b".",
        "itself": lambda: b"\x80\x04]\x94h\x00a.",
        "shape": lambda: pickle.dumps({"conv.weight": _Shape((huge, huge))}, protocol=2),
        "no pixels": lambda: pickle.dumps({"conv.weight": _Shape((0, huge))}, protocol=2),
        "same pairs": lambda: _dicts_of_the_same_pairs(min(deep, 10_000)),
        "same slices": lambda: _same_slices(min(deep, 3000)),
        "same containers": lambda: b"\x80\x04" + _twice(60) + b"}X\x01\0\0\0wh\x00s.",
        "endless name": lambda: b"\x80\x04" + _twice(60) + b"X\x01\0\0\0a\x93.",
        "endless type": lambda: b"\x80\x04" + _twice(60) + b"cnumpy\ndtype\nh\x00\x85R.",
        "multiplied shape": lambda: pickle.dumps({"conv.weight": _Shape((huge, (0,)))}, protocol=2),
        "gzip of zeros": lambda: gzip.compress(bytes(200 * 2**20), 1),
        "archive of zeros": lambda: archive("w:gz", model_dot_pdparams=bytes(200 * 2**20)),
    }
    deed = rng.choice(list(made))
    suffix = "tar.gz" if deed.endswith("of zeros") else "pdparams"
    return WeightMutant(
        "bombs", f"{deed} ({huge}, {deep})", suffix, lambda path: path.write_bytes(made[deed]())
    )


def _twice(times: int) -> bytes:
    """A tuple of twice the same tuple, of twice the same …; it is in the memo at 0."""
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * times


def _dicts_of_the_same_pairs(count: int) -> bytes:
    pairs = b"(" + b"".join(b"J" + struct.pack("<i", index) + b"N\x86" for index in range(count)) + b"tq\x00"
    calls = b"ccollections\nOrderedDict\nq\x01}X\x01\0\0\0w(" + b"h\x01h\x00\x85R" * count + b"ts."
    return b"\x80\x04" + pairs + calls


def _same_slices(count: int) -> bytes:
    array = np.zeros(1_000_000, np.uint8)
    state: dict[str, Any] = {f"w.{index}": array for index in range(count)}
    table = {"w": {"OriginShape": [array.size * count], "slices": list(state)}}
    return pickle.dumps({**state, "UnpackBigParamInfor@@": table}, protocol=4)


class _Shape:
    """Pickles as an array without data."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __reduce__(self) -> Any:
        from numpy._core.multiarray import _reconstruct

        state = (1, self.shape, np.dtype("f4"), False, b"")
        return _reconstruct, (np.ndarray, (0,), b"b"), state


def of_containers(arrays: Arrays, rng: random.Random) -> WeightMutant:
    """Archives and safetensors headers that lie, other formats, and what is no file."""
    inside, tensors = sound(arrays, "pdparams", rng), sound(arrays, "safetensors", rng)
    header = json.loads(tensors[8 : 8 + struct.unpack("<Q", tensors[:8])[0]])
    name = rng.choice(list(header))
    entry = dict(header[name])
    lying = json.dumps({**header, name: {**entry, **rng.choice(LIES)}}).encode()
    body = tensors[8 + struct.unpack("<Q", tensors[:8])[0] :]
    huge = struct.pack("<Q", rng.choice([0, 2**20, 2**40, 2**64 - 1]))
    files: dict[str, tuple[str, bytes]] = {
        "lying header": ("safetensors", struct.pack("<Q", len(lying)) + lying + body),
        "header length": ("safetensors", huge + tensors[8:]),
        "wrong suffix": ("safetensors", inside),
        "other suffix": ("pdparams", tensors),
        "two members": ("tar.gz", archive("w:gz", a_dot_pdparams=inside, b_dot_pdparams=inside)),
        "no member": ("tar", archive("w", readme=b"x")),
        "paths above": ("tar.gz", archive("w:gz", _dot__dot____dot__dot__evil_dot_pdparams=inside)),
        "empty archive": ("tar.gz", archive("w:gz")),
        "plain as archive": ("tar.gz", inside),
        "zip": ("pdparams", b"PK\x03\x04" + rng.randbytes(99)),
        "web page": ("pdparams", b"<html>403 Forbidden</html>"),
        "git lfs": ("pdparams", b"version https://git-lfs.github.com/spec/v1\n"),
        "empty": (rng.choice(FORMATS), b""),
        "random": (rng.choice(FORMATS), rng.randbytes(999)),
    }
    no_files: dict[str, Callable[[Path], object]] = {
        "folder": lambda path: path.mkdir(),
        "pipe": lambda path: os.mkfifo(path),
        "loop of links": lambda path: path.symlink_to(path.name),
        "missing": lambda path: None,
    }
    deed = rng.choice([*files, *no_files])
    if deed in no_files:
        return WeightMutant("containers", deed, rng.choice(FORMATS), no_files[deed])
    return _of_bytes("containers", deed, *files[deed])


GENERATORS: dict[Callable[[Arrays, random.Random], WeightMutant], int] = {
    of_bytes: 4,
    of_contents: 3,
    of_hostile_pickles: 3,
    of_bombs: 2,
    of_containers: 2,
}


def weight_mutants(arrays: Arrays, count: int, seed: int) -> Iterator[WeightMutant]:
    generators = {functools.partial(make, arrays): share for make, share in GENERATORS.items()}
    return mutants("weights", generators, count, seed)

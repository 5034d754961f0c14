"""The stack machine: agrees with Python's own reader, and cannot be made to hang, crash or swell."""

from __future__ import annotations

import io
import pickle
import pickletools
import resource
import struct
import time
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from paddleseg.models import pickle_machine
from paddleseg.models.pickle_machine import is_stand_in, run_pickle
from paddleseg.models.pickle_names import PickledArray, RefusedError


def run(data: bytes) -> Any:
    return run_pickle(io.BytesIO(data))


VALUES = [
    None,
    True,
    False,
    0,
    255,
    -1,
    70_000,
    -(2**31),
    2**40,
    -(2**100),
    1.5,
    float("inf"),
    "",
    "ü \ud800",
    "x" * 300,
    (),
    (1,),
    (1, "2"),
    (1, 2, 3),
    tuple(range(4)),
    [],
    [1],
    [[1, 2], {"a": [3]}],
    {},
    {"a": 1},
    {"a": {"b": (1, 2)}, 3: None, None: 4, 2.5: 5},
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_are_those_of_pythons_reader(value: Any, protocol: int) -> None:
    result = run(pickle.dumps(value, protocol=protocol))
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("length", [0, 1, 255, 256, 70_000])
def test_bytes_come_as_bytearrays(length: int, protocol: int) -> None:
    value = bytes(range(256)) * 300
    result = run(pickle.dumps(value[:length], protocol=protocol))
    assert result == value[:length]
    assert isinstance(result, bytearray)


def test_shared_objects_stay_shared_and_ordered_dicts_are_dicts() -> None:
    shared = [1]
    first, second = run(pickle.dumps((shared, shared)))
    assert first is second
    assert run(pickle.dumps(OrderedDict(b=1, a=2))) == {"b": 1, "a": 2}


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<c16"])
def test_arrays_and_numbers_keep_type_and_bits(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]], dtype)
    for one in (array, np.asfortranarray(array)):
        result = run(pickle.dumps(one, protocol=4))
        assert isinstance(result, PickledArray)
        assert result.value is not None
        assert (result.value.dtype, result.value.tobytes()) == (array.dtype, array.tobytes())
        assert result.value.flags.writeable
    number = run(pickle.dumps(array[1, 0], protocol=4))
    assert (number, number.dtype) == (array[1, 0], array.dtype.newbyteorder("="))


def test_functions_and_types_are_stand_ins() -> None:
    assert is_stand_in(run(b"\x80\x02cbuiltins\ntuple\n."))
    assert is_stand_in(run(pickle.dumps(np.dtype("f4"))))
    assert not is_stand_in([])


KNOWN = set("N\x88\x89]})\x85\x86\x87KMJG\x8cX\x8dUTCB\x8e\x8a\x8bqrhj\x80\x95(taesu\x94c\x93Rb.")


def test_every_other_instruction_is_refused_by_name() -> None:
    others = [one for one in pickletools.opcodes if one.code not in KNOWN]
    assert len(others) + len(KNOWN) == len(pickletools.opcodes)
    for one in others:
        with pytest.raises(RefusedError, match=f"instruction {one.name},"):
            run(b"\x80\x02" + one.code.encode("latin1") + b"\0" * 20)


def test_a_byte_that_is_no_instruction_is_damage() -> None:
    with pytest.raises(pickle.UnpicklingError, match="no instruction"):
        run(b"\x80\x02\xff")


# --- what would hang, crash or swell ---


def encode_again(times: int) -> bytes:
    """Text that is encoded once more with each five bytes of the file."""
    text = b"X" + struct.pack("<I", 1000) + b"a" * 1000 + b"q\x01"
    call = b"c_codecs\nencode\nq\x00" + text + b"X\x06\x00\x00\x00latin1q\x02\x86R"
    return b"\x80\x02" + call + b"h\x00h\x01h\x02\x86R" * times + b"."


def dicts_of_the_same_pairs(items: int, times: int) -> bytes:
    """Six bytes make one more dictionary of a tuple of pairs that the file holds once."""
    pairs = b"(" + b"".join(b"J" + struct.pack("<i", i) + b"N\x86" for i in range(items)) + b"tq\x00"
    return b"\x80\x04" + pairs + b"ccollections\nOrderedDict\nq\x01(" + b"h\x01h\x00\x85R" * times + b"t."


def nested_twice(times: int) -> bytes:
    """A tuple of twice the same tuple, of twice …; it is in the memo at 0."""
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * times


HOSTILE = {
    "a length beyond the file": (b"\x80\x04\x8e" + struct.pack("<Q", 2**44) + b".", "announced"),
    "a negative length": (b"\x80\x02T\xff\xff\xff\xff.", "announced"),
    "an endless name": (b"\x80\x02c" + b"a" * 5000, "no end"),
    "an endless integer": (b"\x80\x02\x8b\x00\x02\x00\x00" + b"\x7f" * 600, "512 bytes"),
    "a hash of a deep tuple": (b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.", "tuple is the key"),
    "a hash in pairs": (
        b"\x80\x02cbuiltins\ndict\n]" + b")" + b"\x85" * 200_000 + b"K\x01\x86a\x85R.",
        "tuple is the key",
    ),
    "many copies": (encode_again(1000), "again and again"),
    "many dictionaries": (dicts_of_the_same_pairs(10_000, 10_000), "steps"),
    "a name to hash without end": (b"\x80\x04" + nested_twice(60) + b"X\x01\x00\x00\x00a\x93.", "no text"),
    "a type to print without end": (
        b"\x80\x04" + nested_twice(60) + b"cnumpy\ndtype\nh\x00\x85R.",
        r"type \(a tuple\)",
    ),
    "a codec to print without end": (
        b"\x80\x04" + nested_twice(60) + b"c_codecs\nencode\nX\x01\x00\x00\x00ah\x00\x86R.",
        r"encoding \(a tuple\)",
    ),
    "a shape to multiply without end": (
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\xff\xff\xff\x7f)\x86"
        b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x01atb.",
        "no tuple of integers",
    ),
    "a tuple of a buffer": (b"\x80\x03cbuiltins\ntuple\nC\x01a\x85R.", "made of a bytearray"),
    "a buffer of a length": (b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.", "argument"),
    "an unknown protocol": (b"\x80\x99N.", "protocol"),
    "too few values": (b"\x80\x02\x86.", "pop from empty list"),
    "an array of negative sides": (
        pickle.dumps(np.zeros((2, 3), np.float32), protocol=4).replace(
            b"K\x02K\x03\x86", b"J\xfe\xff\xff\xffJ\xfd\xff\xff\xff\x86"
        ),
        "negative dimensions",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_an_error_within_bounds(kind: str) -> None:
    data, expected = HOSTILE[kind]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(Exception, match=expected):
        run(data)
    assert time.monotonic() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024  # KiB


def test_each_copied_item_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(dicts_of_the_same_pairs(10, 3))
    assert made == (dict.fromkeys(range(10)),) * 3
    # PROTO, MARK, (BININT NONE TUPLE2)×10, TUPLE, BINPUT, GLOBAL, BINPUT, MARK, then three times (two BINGET,
    # TUPLE1, REDUCE and ten copies), TUPLE, STOP
    monkeypatch.setattr(pickle_machine, "_MOST_STEPS", 2 + 30 + 5 + 3 * (4 + 10) + 2)
    run(dicts_of_the_same_pairs(10, 3))
    with pytest.raises(RefusedError, match="more than 81 steps"):
        run(dicts_of_the_same_pairs(10, 4))


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
def test_no_container_is_copied_for_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand items of two letters each, made into a dictionary ten times."""
    names = [chr(97 + i // 26 % 26) + chr(97 + i % 26) for i in range(500)]
    value = {"list": names, "tuple": tuple(names), "dict": dict.fromkeys(names, 0)}[kind]
    stored = pickle.dumps(value, protocol=2)[:-1]
    data = stored + b"r\xff\xff\x00\x00cbuiltins\ndict\nr\xfe\xff\x00\x00("
    data += b"j\xfe\xff\x00\x00j\xff\xff\x00\x00\x85R" * 10 + b"t."
    assert len(run(data)) == 10
    monkeypatch.setattr(pickle_machine, "_MOST_STEPS", 4000)
    with pytest.raises(RefusedError, match="more than 4000 steps"):
        run(data)


def test_one_copy_is_let_pass() -> None:
    assert run(encode_again(0)) == b"a" * 1000


def test_a_high_memo_index_costs_nothing() -> None:
    assert run(b"\x80\x02]r\xff\xff\xff\xff.") == []


def test_the_number_of_instructions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_machine, "_MOST_STEPS", 50)
    assert run(b"\x80\x02" + b"N" * 48 + b".") is None
    with pytest.raises(RefusedError, match="more than 50 steps"):
        run(b"\x80\x02" + b"N" * 49 + b".")

"""What stands behind the names that a pickle of arrays may use."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from paddleseg.models.pickle_names import ADMITTED, PickledArray, PickledDtype, RefusedError, make_dict


def call(module: str, name: str, *arguments: Any) -> Any:
    return ADMITTED[module, name].call(*arguments)


def test_the_list_is_closed() -> None:
    """A new name here is a new thing that a file from the internet can make the reader do."""
    names = {
        f"{prefix}.multiarray.{name}"
        for prefix in ("numpy.core", "numpy._core")
        for name in ("_reconstruct", "scalar")
    }
    names |= {f"{prefix}.{n}" for prefix in ("builtins", "__builtin__") for n in ("bytes", "tuple", "dict")}
    names |= {"numpy.ndarray", "numpy.dtype", "_codecs.encode", "collections.OrderedDict"}
    assert {f"{module}.{name}" for module, name in ADMITTED} == names


@pytest.mark.parametrize("code", ["f4", "<f2", ">i8", "|b1", "u1", "c16", "=f8"])
def test_types_of_numbers_are_numpys(code: str) -> None:
    assert PickledDtype(code, False, True).value == np.dtype(code)


@pytest.mark.parametrize(
    "code", ["O", "O8", "V8", "S4", "U4", "M8[ns]", "f4,f4", "f3", "", b"f4", None, ["f4"]]
)
def test_other_types_are_refused(code: object) -> None:
    with pytest.raises(RefusedError, match="not admitted"):
        PickledDtype(code)


def test_a_byte_order_is_set_or_refused() -> None:
    dtype = PickledDtype("f4")
    dtype.set_state((3, ">", None))
    assert dtype.value == np.dtype(">f4")
    with pytest.raises(pickle.UnpicklingError, match="byte order"):
        dtype.set_state((3, "x", None))


def test_an_array_is_its_bytes_and_copies_nothing() -> None:
    raw = bytearray(np.arange(6, dtype="<i2").tobytes())
    array = PickledArray()
    array.set_state((1, (2, 3), PickledDtype("<i2"), False, raw))
    np.testing.assert_array_equal(array.value, [[0, 1, 2], [3, 4, 5]])
    array.set_state((1, (2, 3), PickledDtype("<i2"), True, raw))
    np.testing.assert_array_equal(array.value, [[0, 2, 4], [1, 3, 5]])
    raw[0] = 9
    assert array.value is not None
    assert array.value[0, 0] == 9


@pytest.mark.parametrize(
    ("shape", "dtype", "raw", "expected"),
    [
        ((2,), PickledDtype("f4"), bytearray(7), "has 7 bytes"),
        ((2,), "f4", bytearray(8), "no data type"),
        ((2,), PickledDtype("f4"), [0] * 8, "has 8 bytes"),
    ],
)
def test_an_array_that_is_not_its_bytes_is_refused(
    shape: tuple[int, ...], dtype: Any, raw: Any, expected: str
) -> None:
    with pytest.raises(pickle.UnpicklingError, match=expected):
        PickledArray().set_state((1, shape, dtype, False, raw))


def test_numbers_text_and_containers() -> None:
    scalar = call(
        "numpy._core.multiarray", "scalar", PickledDtype("f8"), bytearray(np.float64(2.5).tobytes())
    )
    assert scalar == 2.5
    assert call("_codecs", "encode", "\xff", "latin1") == b"\xff"
    with pytest.raises(RefusedError, match="rot13"):
        call("_codecs", "encode", "a", "rot13")
    assert call("builtins", "bytes") == b""
    assert call("builtins", "tuple", (1, 2)) == (1, 2)
    assert call("collections", "OrderedDict", [["a", 1]]) == {"a": 1}


@pytest.mark.parametrize("key", [(), (1,), np.float32(1), PickledDtype("f4")])
def test_keys_are_text_or_numbers(key: object) -> None:
    assert make_dict([("a", 1), (2, 3), (None, 4)]) == {"a": 1, 2: 3, None: 4}
    with pytest.raises(pickle.UnpicklingError, match="is the key"):
        make_dict([(key, 1)])

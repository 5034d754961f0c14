"""The reader of untrusted pickles: what paddle.save writes is read, anything else is refused and not run."""

from __future__ import annotations

import io
import operator
import os
import pickle
import resource
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddleseg.errors import WeightsError
from paddleseg.models.safe_pickle import load_pickle

ORIGIN = "weights.pdparams"


def load(data: bytes) -> Any:
    return load_pickle(io.BytesIO(data), ORIGIN)


def save(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    paddle.save(value, buffer, **options)
    return buffer.getvalue()


class Call:
    """Pickles as a call, which an ordinary reader would make."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


# --- what paddle.save writes ---


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_state_dict_of_every_protocol(protocol: int) -> None:
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    expected = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    state = load(save(layer.state_dict(), protocol=protocol))
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias", "1._mean", "1._variance"]
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array)
        assert state[name].dtype == np.float32
        assert state[name].flags.writeable


def test_optimiser_state_with_schedule() -> None:
    parameter = paddle.create_parameter(
        [2], "float32", default_initializer=paddle.nn.initializer.Constant(1.0)
    )
    schedule = paddle.optimizer.lr.PolynomialDecay(0.5, 10)
    optimizer = paddle.optimizer.Momentum(schedule, momentum=0.9, parameters=[parameter])
    (parameter * 3.0).sum().backward()
    optimizer.step()
    schedule.step()
    state = load(save(optimizer.state_dict()))
    np.testing.assert_array_equal(state[f"{parameter.name}_velocity_0"], [3.0, 3.0])
    assert state["LR_Scheduler"]["last_epoch"] == 1
    assert state["LR_Scheduler"]["last_lr"] == pytest.approx(0.5 * 0.9 + 0.0001 * 0.1)


def test_tensors_in_nested_containers_and_plain_values() -> None:
    tensor = paddle.to_tensor([1.0, 2.0])
    state = load(save({"model": OrderedDict(w=tensor), "list": [tensor, 3, None, True, "text"], "best": 0.5}))
    np.testing.assert_array_equal(state["model"]["w"], [1.0, 2.0])
    np.testing.assert_array_equal(state["list"][0], [1.0, 2.0])
    assert state["list"][1:] == [3, None, True, "text"]
    assert state["best"] == 0.5


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
)
def test_dtypes(dtype: str) -> None:
    array = load(save({"x": paddle.to_tensor([0, 1, 1]).astype(dtype)}))["x"]
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array.astype("int64"), [0, 1, 1])


def test_bfloat16_comes_as_its_bits() -> None:
    array = load(save({"x": paddle.to_tensor([1.0, -2.0]).astype("bfloat16")}))["x"]
    np.testing.assert_array_equal(array, np.array([0x3F80, 0xC000], np.uint16))


def test_array_layouts() -> None:
    arrays = {
        "column_major": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.array([1.5, 2.5], ">f4"),
        "empty": np.zeros((0, 3), np.float32),
        "zero_d": np.array(7.0),
        "scalar": np.float32(2.5),
    }
    for protocol in (2, 4):
        state = load(pickle.dumps(arrays, protocol=protocol))
        for name, array in arrays.items():
            np.testing.assert_array_equal(state[name], array)
            assert np.shape(state[name]) == np.shape(array)


def test_names_of_numpy_1_and_of_python_2() -> None:
    data = pickle.dumps({"x": np.array([1.0, 2.0], "<f4")}, protocol=2)
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != data
    np.testing.assert_array_equal(load(old)["x"], [1.0, 2.0])
    # Python 2 wrote the bytes of an array as a plain string: here 1.5 as '<f4'.
    python_2 = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x04\x00\x00\xc0?tb."
    )
    np.testing.assert_array_equal(load(python_2), [1.5])


def test_slices_of_a_large_tensor_are_joined() -> None:
    state = {
        "w@@.0": np.array([1.0, 2.0, 3.0]),
        "w@@.1": np.array([4.0]),
        "b": np.array([5.0]),
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 2), "slices": ["w@@.0", "w@@.1"]}},
    }
    joined = load(pickle.dumps(state, protocol=2))
    assert sorted(joined) == ["b", "w"]
    np.testing.assert_array_equal(joined["w"], [[1.0, 2.0], [3.0, 4.0]])


def test_agrees_with_paddle_load(tmp_path: Path) -> None:
    state = {"w": paddle.rand([3, 4]), "nested": {"b": paddle.rand([2])}}
    path = tmp_path / "x.pdparams"
    paddle.save(state, str(path))
    by_paddle = paddle.load(str(path), return_numpy=True)
    with path.open("rb") as file:
        ours = load_pickle(file, ORIGIN)
    np.testing.assert_array_equal(ours["w"], by_paddle["w"])
    np.testing.assert_array_equal(ours["nested"]["b"], by_paddle["nested"]["b"])


# --- attacks ---


def attacks(canary: Path) -> dict[str, tuple[Any, str]]:
    """Payload and the name that the message must give; each payload would create the canary, or worse."""
    touch = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w')"
    array = np.zeros(2, np.float32)
    return {
        "os.system": (Call(os.system, touch), "posix.system"),
        "eval": (Call(eval, code), "builtins.eval"),
        "exec": (Call(exec, code), "builtins.exec"),
        "open": (Call(open, str(canary), "w"), "_io.open"),
        "getattr": (Call(getattr, os, "system"), "builtins.getattr"),
        "numpy.load": (Call(np.load, str(canary), None, True), "numpy.load"),
        "numpy.memmap": (Call(np.memmap, str(canary), "u1", "w+", 0, (1,)), "numpy.memmap"),
        "pickle.loads": (Call(pickle.loads, pickle.dumps(Call(os.system, touch))), "_pickle.loads"),
        "operator": (Call(operator.methodcaller("touch"), canary), "operator.methodcaller"),
        "nested": ({"w": array, "more": [(1, {"deep": Call(os.system, touch)})]}, "posix.system"),
        "tensor pair": ({"w": ("name", Call(eval, code))}, "builtins.eval"),
        "array of objects": (np.array([Call(os.system, touch)], dtype=object), "O8"),
        "container argument": (Call(tuple, Call(map, os.system, [touch])), "builtins.map"),
    }


@pytest.mark.skipif(os.name != "posix", reason="the payloads name POSIX modules")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", sorted(attacks(Path("canary"))))
def test_attack_is_refused_and_runs_nothing(kind: str, protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload, named = attacks(canary)[kind]
    if kind == "getattr":  # a module does not pickle, so it is named by hand
        data = b"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR."
    else:
        data = pickle.dumps(payload, protocol=protocol)
        data = data.replace(b"__builtin__", b"builtins") if protocol == 2 else data
    with pytest.raises(WeightsError, match=ORIGIN) as caught:
        load(data)
    assert named.split(".")[-1] in str(caught.value)
    assert "refused" in str(caught.value)
    assert not canary.exists()


def test_the_attack_is_real(tmp_path: Path) -> None:
    """Shows that the canary works: an ordinary reader runs the same payload."""
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(attacks(canary)["eval"][0])).close()
    assert canary.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(S'touch canary'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch canary'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",  # a dotted name
        b"\x80\x02c__main__\nWhatever\n.",
    ],
)
def test_every_opcode_that_names_something_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsError, match="refused"):
        load(data)


def test_codecs_other_than_latin1_are_refused() -> None:
    with pytest.raises(WeightsError, match="'rot13'"):
        load(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")


def test_records_that_hide_object_pointers_are_refused() -> None:
    """Bytes taken for pointers would corrupt memory: a record type with an object field and cleared flags."""
    dtype = np.dtype([("a", "O")])
    with pytest.raises(WeightsError, match="'V8'"):
        load(pickle.dumps({"w": np.zeros(1, dtype)}))
    with pytest.raises(WeightsError, match="'O8'"):
        load(pickle.dumps({"w": np.array([None])}))


@pytest.mark.parametrize(
    "name", [b"numpy\ndtype", b"builtins\nlist", b"collections\nOrderedDict", b"_codecs\nencode"]
)
def test_a_file_cannot_alter_what_it_names(name: bytes) -> None:
    """BUILD with a slot state sets attributes; on a shared function that would reach the next file."""
    with pytest.raises(WeightsError):
        load(b"\x80\x02c" + name + b"\n(N}(X\x05\x00\x00\x00_callX\x01\x00\x00\x00xutb.")
    assert load(pickle.dumps(OrderedDict(a=1), protocol=2)) == {"a": 1}


# --- broken files ---


def test_every_cut_of_a_file_is_an_error() -> None:
    data = save({"w": paddle.ones([4])})
    for length in range(len(data)):
        with pytest.raises(WeightsError, match=ORIGIN):
            load(data[:length])


def test_every_damaged_byte_is_an_error_or_a_value_and_needs_no_memory() -> None:
    """No other exception, and no crash, whatever stands in the file; Python's own reader would take 12 GB."""
    datas = [save({"w": paddle.ones([2])}, protocol=protocol) for protocol in (2, 4)]
    generator = np.random.default_rng(0)
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(4000):
        damaged = bytearray(datas[index % 2])
        for _ in range(generator.integers(1, 4)):
            damaged[generator.integers(len(damaged))] = generator.integers(256)
        try:
            load(bytes(damaged))
        except WeightsError:
            refused += 1
    assert 0 < refused < 4000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04rest", "PyTorch"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\x1f\x8b\x08\x00", ".tar.gz"),
        (b"\x00\x01\x02", "damaged or cut short"),
    ],
)
def test_the_message_says_what_the_file_is(data: bytes, expected: str) -> None:
    with pytest.raises(WeightsError, match=expected):
        load(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x80\x02](h\x00q\x00e.", "not a weights file"),  # a memo entry that is not there yet
        (b"\x80\x02]q\x00h\x00a.", "contain themselves"),
        (b"\x80\x02cnumpy\ndtype\n.", "stands where a value should be"),
        (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R.",
            "no data",
        ),
    ],
)
def test_nonsense_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(WeightsError, match=expected):
        load(data)


def test_an_array_without_a_type_is_refused() -> None:
    data = b"\x80\x02cnumpy.core.multiarray\nscalar\nX\x02\x00\x00\x00f4X\x04\x00\x00\x00abcd\x86R."
    with pytest.raises(WeightsError, match="no data type"):
        load(data)


def test_an_array_of_another_size_than_its_data_is_refused() -> None:
    data = pickle.dumps(np.zeros(3, np.float32), protocol=4)
    assert data.count(b"K\x03\x85") == 1  # the shape
    with pytest.raises(WeightsError, match=r"shape \(4,\) has 12 bytes"):
        load(data.replace(b"K\x03\x85", b"K\x04\x85"))


def test_a_failing_disk_is_not_called_a_damaged_file() -> None:
    class Failing(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            raise OSError("input/output error")

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError("input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="input/output error"):
        load_pickle(Failing(save({"w": paddle.ones([4])})), ORIGIN)


def test_containers_within_each_other_again_and_again_are_refused() -> None:
    """Whoever walks through the result makes 2^60 visits: np.shape, repr."""
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(WeightsError, match="the same containers again and again"):
        load(pickle.dumps({"w": value}))


def test_what_a_file_holds_once_is_in_memory_once() -> None:
    array, data, items = np.zeros(3), b"x" * 1000, [1, 2]
    result = load(pickle.dumps([array, array, data, data, items, items], protocol=4))
    assert result[0] is result[1]
    assert result[2] is result[3]
    assert result[4:] == [items, items]


def slices_of(*parts: np.ndarray) -> bytes:
    state: dict[str, Any] = {f"w.{index}": part for index, part in enumerate(parts)}
    length = sum(part.size for part in parts)
    state["UnpackBigParamInfor@@"] = {"w": {"OriginShape": (length,), "slices": list(state)}}
    return pickle.dumps(state, protocol=4)


def test_one_array_cannot_be_joined_with_itself_again_and_again() -> None:
    array = np.arange(1000.0)
    np.testing.assert_array_equal(load(slices_of(array, array[::-1]))["w"], [*array, *array[::-1]])
    with pytest.raises(WeightsError, match="the same data joined again and again"):
        load(slices_of(*[array] * 4))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([np.zeros(9, np.uint8), np.zeros(1, np.complex128)], "several types"),  # all would become complex
        ([np.zeros(9), [0.0]], "no array"),
        ([], "several types"),
    ],
)
def test_slices_that_paddle_does_not_write_are_refused(parts: list[Any], expected: str) -> None:
    state: dict[str, Any] = {f"w.{index}": part for index, part in enumerate(parts)}
    state["UnpackBigParamInfor@@"] = {"w": {"OriginShape": (10,), "slices": list(state)}}
    with pytest.raises(WeightsError, match=expected):
        load(pickle.dumps(state, protocol=4))

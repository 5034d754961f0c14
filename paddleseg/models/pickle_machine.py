"""A stack machine for the part of Python's pickle language that arrays and containers need.

A pickle is a program whose instructions name functions for the reader to call, so an ordinary reader executes
whatever the author of the file wished. This machine knows a closed list of instructions (those of Python's
``pickletools``) and of names, behind which it puts its own. It never reads more than the file holds, hashes
nothing but text and numbers, and makes nothing larger than its data, so that a file can neither run something
nor exhaust the memory.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import IO, Any

from paddleseg.models.pickle_names import (
    ADMITTED,
    PickledArray,
    PickledDtype,
    PickledName,
    RefusedError,
    make_dict,
)

__all__ = ["is_stand_in", "run_pickle"]

_MOST_STEPS = 1_000_000  # some three seconds and 100 MiB; a model of 1000 tensors takes 30 000
_LONGEST_LINE = 1000
_LONGEST_INTEGER = 16


class _Machine:
    """The machine with one file in it.

    Args:
        file: Open at its start.
        size: Its bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self._steps = 0
        self._text_to_copy = 2 * size
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Returns what is on the stack at the STOP instruction."""
        while True:
            self._count_steps(1)
            code = bytes(self._take(1))
            if code == b".":
                return self._stack.pop()
            self._step(code)

    def _count_steps(self, count: int) -> None:
        self._steps += count
        if self._steps > _MOST_STEPS:
            raise RefusedError(f"it takes more than {_MOST_STEPS} steps to read")

    def _step(self, code: bytes) -> None:
        if code in _CONSTANTS:
            self._stack.append(_CONSTANTS[code])
        elif code in _CONTAINERS:
            self._stack.append(_CONTAINERS[code]())
        elif code in _TUPLES:
            self._stack.append(tuple(self._last(_TUPLES[code])))
        elif code in _NUMBERS:
            self._stack.append(self._number(_NUMBERS[code]))
        elif code in _COUNTED:
            length, decode = _COUNTED[code]
            self._stack.append(decode(self._take(self._number(length))))
        elif code in _PUTS:
            self._memo[self._number(_PUTS[code])] = self._stack[-1]
        elif code in _GETS:
            self._stack.append(self._memo[self._number(_GETS[code])])
        elif code in _STEPS:
            _STEPS[code](self)
        elif code in _INSTRUCTIONS:
            raise RefusedError(f"it uses the instruction {_INSTRUCTIONS[code]}, which no array needs")
        else:
            raise pickle.UnpicklingError(f"byte {code!r} is no instruction")

    def _take(self, count: int) -> bytearray:
        if not 0 <= count <= self._left:
            raise pickle.UnpicklingError(f"{count} bytes are announced and {self._left} are left")
        data = bytearray(count)
        if self._file.readinto(data) != count:  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("it ends too early")
        self._left -= count
        return data

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        line = self._file.readline(min(_LONGEST_LINE, self._left))
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise pickle.UnpicklingError("a name has no end")
        return line[:-1].decode()

    def _last(self, count: int) -> list[Any]:
        return [self._stack.pop() for _ in range(count)][::-1]

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _protocol(self) -> None:
        if self._number("<B") > pickle.HIGHEST_PROTOCOL:
            raise pickle.UnpicklingError("its protocol is not known")

    def _frame(self) -> None:
        self._take(8)  # its length; every instruction's is checked instead

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _tuple(self) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _append(self) -> None:
        self._extend(self._last(1))

    def _appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise pickle.UnpicklingError("items without a list")
        self._stack[-1].extend(items)

    def _set_item(self) -> None:
        self._update(self._last(2))

    def _set_items(self) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], dict):
            raise pickle.UnpicklingError("items without a dictionary")
        self._stack[-1].update(make_dict(zip(items[::2], items[1::2], strict=True)))

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _global(self) -> None:
        self._admit(self._line(), self._line())

    def _stack_global(self) -> None:
        self._admit(*self._last(2))

    def _admit(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):  # to hash anything else may never end
            raise pickle.UnpicklingError("a name is no text")
        if (module, name) not in ADMITTED:
            raise RefusedError(f"it asks to use '{module}.{name}', and a weights file holds arrays only")
        self._stack.append(ADMITTED[module, name])

    def _reduce(self) -> None:
        function, arguments = self._last(2)
        if not isinstance(function, PickledName):
            raise RefusedError(f"it calls a {type(function).__name__}")
        self._spend(arguments)
        self._stack.append(function.call(*arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        if not isinstance(self._stack[-1], (PickledArray, PickledDtype)):
            raise RefusedError(f"it sets the state of a {type(self._stack[-1]).__name__}")
        self._spend(state)
        self._stack[-1].set_state(state)

    def _spend(self, arguments: Any) -> None:
        """Counts what is copied: a file could have it copied again and again, in a few bytes each time."""
        self._count_steps(sum(len(one) for one in arguments if isinstance(one, (list, tuple, dict))))
        self._text_to_copy -= sum(len(one) for one in arguments if isinstance(one, str))
        if self._text_to_copy < 0:
            raise RefusedError("it has the same data copied again and again")


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "surrogatepass")


def _old_text(data: bytearray) -> str:
    return data.decode("latin1")  # as paddle.load: the arrays of Python 2 come as such text


def _same_bytes(data: bytearray) -> bytearray:
    return data


def _integer(data: bytearray) -> int:
    if len(data) > _LONGEST_INTEGER:
        raise pickle.UnpicklingError(f"an integer has {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


_INSTRUCTIONS = {one.code.encode("latin1"): one.name for one in pickletools.opcodes}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
_CONTAINERS: dict[bytes, Callable[[], Any]] = {b"]": list, b"}": dict}
_TUPLES = {b")": 0, b"\x85": 1, b"\x86": 2, b"\x87": 3}
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_COUNTED: dict[bytes, tuple[str, Callable[[bytearray], Any]]] = {
    b"\x8c": ("<B", _text),
    b"X": ("<I", _text),
    b"\x8d": ("<Q", _text),
    b"U": ("<B", _old_text),
    b"T": ("<i", _old_text),
    b"C": ("<B", _same_bytes),
    b"B": ("<I", _same_bytes),
    b"\x8e": ("<Q", _same_bytes),
    b"\x8a": ("<B", _integer),
    b"\x8b": ("<i", _integer),
}
_PUTS = {b"q": "<B", b"r": "<I"}
_GETS = {b"h": "<B", b"j": "<I"}
_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine._protocol,
    b"\x95": _Machine._frame,
    b"(": _Machine._mark,
    b"t": _Machine._tuple,
    b"a": _Machine._append,
    b"e": _Machine._appends,
    b"s": _Machine._set_item,
    b"u": _Machine._set_items,
    b"\x94": _Machine._memoize,
    b"c": _Machine._global,
    b"\x93": _Machine._stack_global,
    b"R": _Machine._reduce,
    b"b": _Machine._build,
}


def run_pickle(file: IO[bytes]) -> Any:
    """Runs the program in a file.

    Args:
        file: Open and seekable, at its start.

    Returns:
        A tree of dicts, lists, tuples, numbers, text, bytearrays, NumPy scalars and :class:`PickledArray`;
        where a file asks for it, also things for which :func:`is_stand_in` is true.

    Raises:
        RefusedError: The file asks for something that no array needs.
        OSError: The disk cannot be read.
        Exception: The file is broken; almost any kind of exception.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return _Machine(file, size).run()


def is_stand_in(value: object) -> bool:
    """Whether a value is a function or a data type, which must not stand where a value should."""
    return isinstance(value, (PickledDtype, PickledName))

"""Pickled lists, tuples, numbers, byte strings and numpy arrays, read without running anything.

The opcodes are those of Python's `pickletools`; the module `pickle` is not used. What calls
functions or makes objects is refused, but for the few calls by which byte strings and numpy arrays
are pickled, which are recognised by name and carried out here.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from tasks.data_checks import DatasetError

_ARRAY_MODULES = tuple(f"numpy.{core}.{{}}" for core in ("core", "_core"))
_RECONSTRUCT = {(m.format("multiarray"), "_reconstruct") for m in _ARRAY_MODULES}
_SCALAR = {(m.format("multiarray"), "scalar") for m in _ARRAY_MODULES}
_FROM_BUFFER = {(m.format("numeric"), "_frombuffer") for m in _ARRAY_MODULES}
_NDARRAY, _DTYPE = ("numpy", "ndarray"), ("numpy", "dtype")
_ENCODE = {("_codecs", "encode")}
_BYTES = {("__builtin__", "bytes"), ("builtins", "bytes"), ("builtins", "bytearray"),
          ("__builtin__", "bytearray")}  # fmt: skip
_NAMES = {*_RECONSTRUCT, *_SCALAR, *_FROM_BUFFER, _NDARRAY, _DTYPE, *_ENCODE, *_BYTES}
# Boolean, and whole numbers of 8 to 64 bits.
_KINDS = {kind + size for kind in "iu" for size in "1248"} | {"b1"}

_PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_PYTHON_2_BYTES = {"BINSTRING", "SHORT_BINSTRING"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NOTHING = {"PROTO", "FRAME"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleError(DatasetError):
    """A pickle that is damaged, or holds more than plain data; the message says where."""


@dataclass(frozen=True)
class _Name:
    """A name of a module, which is not imported."""

    module: str
    name: str


@dataclass
class _Type:
    """A numpy dtype, built in two steps."""

    kind: str
    order: str = "|"

    def numpy(self) -> np.dtype:
        return np.dtype(self.kind).newbyteorder(self.order)


@dataclass
class _Array:
    """A numpy array, built in two steps."""

    value: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))


def read_plain_pickle(content: bytes) -> Any:
    """Read what a pickle of plain data holds.

    Args:
        content: A pickle of any protocol, of Python 2 or 3.

    Returns:
        Lists, tuples, numbers, None, str, and byte strings, which strings of Python 2 are as well.
        Numpy arrays of booleans and whole numbers, and their elements.

    Raises:
        PickleError: It is damaged, cut off, or contains code.
    """
    reader = _Reader(content)
    try:
        return reader.read()
    except PickleError:
        raise
    except Exception as error:  # what damaged bytes make of the stack is open
        kind = type(error).__name__
        raise PickleError(f"is damaged at byte {reader.at} ({kind}: {error})"[:300]) from error


class _Mark:
    """What MARK leaves on the stack."""


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.file = io.BytesIO(content)
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        while True:
            self.at = self.file.tell()
            code = self.file.read(1)
            if not code:
                raise PickleError(f"is cut off at byte {self.at}")
            opcode = pickletools.code2op.get(code.decode("latin-1"))
            if opcode is None:
                raise PickleError(f"is no pickle, or a damaged one: byte {self.at} is {code!r}")
            if opcode.name == "STRING":  # pickletools takes ASCII only
                self.stack.append(_quoted(self.file))
                continue
            argument = None if opcode.arg is None else opcode.arg.reader(self.file)
            if opcode.name == "STOP":
                return _plain(self.stack.pop())
            self._do(opcode.name, argument)

    def _do(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _PUSHED:
            stack.append(argument)
        elif name in _PYTHON_2_BYTES:
            stack.append(argument.encode("latin-1"))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            stack.append(_Mark)
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "LIST":
            stack.append([*map(_plain, self._marked())])
        elif name == "TUPLE":
            stack.append(tuple(map(_plain, self._marked())))
        elif name in _TUPLES:
            stack.append(tuple(_plain(stack.pop()) for _ in range(_TUPLES[name]))[::-1])
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._marked()
            if type(stack[-1]) is not list:
                raise PickleError(f"is damaged at byte {self.at}: nothing to append to")
            stack[-1].extend(map(_plain, items))
        elif name == "POP":
            stack.pop()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "POP_MARK":
            self._marked()
        elif name == "GLOBAL":
            self._name(*argument.split(" "))
        elif name == "STACK_GLOBAL":
            last, module = stack.pop(), stack.pop()
            self._name(module, last)
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._call(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name not in _NOTHING:
            raise self._code(f"opcode {name}")

    def _marked(self) -> list[Any]:
        """Take what is above the last mark."""
        items = []
        while (item := self.stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def _name(self, module: str, name: str) -> None:
        if (module, name) not in _NAMES:
            raise self._code(f"{module}.{name}")
        self.stack.append(_Name(module, name))

    def _code(self, what: str) -> PickleError:
        return PickleError(
            f"contains code (`{what[:80]}` at byte {self.at}) and was not read; take a file of "
            "plain lists"
        )

    def _call(self, function: Any, arguments: Any) -> Any:
        name = (function.module, function.name) if isinstance(function, _Name) else None
        if name in _ENCODE:
            text, encoding = arguments
            if encoding not in ("latin1", "latin-1"):
                raise PickleError(f"is damaged at byte {self.at}: the encoding {encoding!r}")
            return text.encode("latin-1")
        if name in _BYTES and (not arguments or isinstance(arguments[0], bytes)):
            return arguments[0] if arguments else b""
        if name == _DTYPE:
            return self._type(_text(arguments[0]))
        if name in _RECONSTRUCT and arguments[0] == _Name(*_NDARRAY):
            return _Array()
        if name in _SCALAR:
            kind, raw = arguments
            return _values(raw, kind.numpy(), ())[()]
        if name in _FROM_BUFFER:
            raw, kind, shape, order = arguments
            return _Array(_values(raw, kind.numpy(), shape, _text(order)))
        raise self._code("a call of something else than a known name")

    def _type(self, kind: str) -> _Type:
        plain = kind.lstrip("<>|=")
        if plain not in _KINDS:
            raise PickleError(
                f"has a numpy array of the type {kind!r} at byte {self.at}; known are booleans and "
                "whole numbers"
            )
        return _Type(plain, kind[0] if kind[0] in "<>" else "|")

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Type) and _text(state[1]) in ("<", ">", "|", "="):
            target.order = _text(state[1])
        elif isinstance(target, _Array):
            _, shape, kind, fortran, raw = state
            target.value = _values(raw, kind.numpy(), shape, "F" if fortran else "C")
        else:
            raise self._code(f"state for a {type(target).__name__}")


def _values(raw: Any, kind: np.dtype, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    if isinstance(raw, str):  # numpy under Python 2, loaded and saved by Python 3
        raw = raw.encode("latin-1")
    return np.frombuffer(raw, kind).reshape(shape, order=order)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _quoted(file: BinaryIO) -> bytes:
    """The argument of STRING: the source text of a byte string of Python 2."""
    line = file.readline()
    text = line.strip()
    if not line.endswith(b"\n") or len(text) < 2 or text[:1] != text[-1:] or text[:1] not in b"'\"":
        raise PickleError("is damaged: a string of Python 2 without its quotes")
    return codecs.escape_decode(text[1:-1])[0]

"""A checked expression as a tree, read from the library's serialised form.

The form is CEL's own `cel.expr.CheckedExpr` (github.com/google/cel-spec, proto/cel/expr/checked.proto), in Protocol
Buffers' wire format. Only what a cost is counted by is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Fields of a message by their numbers: numbers, and bytes of what has a length.
_Fields: TypeAlias = "dict[int, list[int | bytes]]"

_VARINT: Final = 0
_FIXED64: Final = 1
_SIZED: Final = 2
#: In `Any` the message itself, in `CheckedExpr` the expression.
_VALUE, _EXPR = 2, 4
_TEXT_CONSTANT: Final = 6


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; ``text`` is None where it is no string."""

    text: str | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a value, or the question whether it has one."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator; the receiver of a method is the first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A list or a map that is written out."""

    parts: tuple[Node, ...]
    #: Where it is a message of Protocol Buffers, its name.
    message: str = ""


@dataclass(frozen=True, slots=True)
class Loop:
    """What a macro such as ``exists`` stands for."""

    variables: tuple[str, ...]
    #: Where it gathers its result.
    gathered: str
    over: Node
    start: Node
    #: The condition to go on, the step, and the result.
    body: tuple[Node, ...]


Node: TypeAlias = "Constant | Name | Field | Call | Made | Loop"


def tree_of(serialised: bytes) -> Node:
    """Return the tree of an expression that was checked."""
    return _node(_sub(_fields(_sub(_fields(serialised), _VALUE)), _EXPR))


def _node(data: bytes) -> Node:
    for number, values in _fields(data).items():
        if number in _KINDS:
            return _KINDS[number](_bytes(values[0]))
    raise ValueError("an expression of a kind that is not known")


def _constant(data: bytes) -> Constant:
    values = _fields(data).get(_TEXT_CONSTANT)
    return Constant(None if values is None else _bytes(values[0]).decode())


def _name(data: bytes) -> Name:
    return Name(_text(_fields(data), 1))


def _field(data: bytes) -> Field:
    return Field(_node(_sub(_fields(data), 1)))


def _call(data: bytes) -> Call:
    fields = _fields(data)
    return Call(_text(fields, 2), tuple(_node(_bytes(each)) for number in (1, 3) for each in fields.get(number, ())))


def _list(data: bytes) -> Made:
    return Made(tuple(_node(_bytes(each)) for each in _fields(data).get(1, ())))


def _struct(data: bytes) -> Made:
    fields = _fields(data)
    entries = [_fields(_bytes(each)) for each in fields.get(2, ())]
    parts = (_node(_bytes(each)) for entry in entries for number in (3, 4) for each in entry.get(number, ()))
    return Made(tuple(parts), _text(fields, 1))


def _loop(data: bytes) -> Loop:
    fields = _fields(data)
    names = tuple(_text(fields, number) for number in (1, 8) if number in fields)
    over, start, *body = (_node(_sub(fields, number)) for number in (2, 4, 5, 6, 7))
    return Loop(names, _text(fields, 3), over, start, tuple(body))


_KINDS: Final[Mapping[int, Callable[[bytes], Node]]] = {
    3: _constant,
    4: _name,
    5: _field,
    6: _call,
    7: _list,
    8: _struct,
    9: _loop,
}


def _fields(data: bytes) -> _Fields:
    found: _Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind in (_FIXED64, _SIZED):
            length, at = (8, at) if kind == _FIXED64 else _varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {kind}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004 - the highest bit says whether another byte follows
            return value, at


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")  # noqa: TRY004 - a form that is not known, like others
    return value


def _sub(fields: _Fields, number: int) -> bytes:
    return _bytes(fields[number][0])


def _text(fields: _Fields, number: int) -> str:
    return _bytes(fields[number][0]).decode() if number in fields else ""

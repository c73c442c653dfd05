"""Hostile messages, made of a proto's descriptors by chance: valid ones, valid ones that were damaged, and mere bytes.

The same seed makes the same messages.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

#: Text that somebody's parser, database, terminal or log takes for something else.
NASTY_TEXT: Final = (
    "", " ", "\x00", "a\x00b", "\r\n", "X: y\r\nZ: w", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ufeff", "\uffff",
    "\U0010ffff", "✓", "e\u0301" * 50, "../../etc/passwd", "<script>alert(1)</script>", "' OR 1=1 --", "%s%n{0}",
    "NaN", "-1", "null", "{}", "[", "x" * 10_000,
)  # fmt: skip
_WHOLE: Final = (0, 1, -1, 2, 100, 2**31 - 1, -(2**31))
_REAL: Final = (0.0, -0.0, 0.5, -1.0, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
#: How likely a text that should be nasty is one that means something elsewhere.
_MEANT: Final = 0.3
_SECONDS: Final = (0, 1_700_000_000, -62_135_596_801, 253_402_300_800, 2**63 - 1, -(2**63))
_NANOS: Final = (0, 999_999_999, -1, 1_000_000_000, 2**31 - 1, -(2**31))
#: How likely a field of a message gets a nasty value; one of these goes for the whole message.
_NASTINESS: Final = (0.0, 0.0, 0.15, 0.5)
#: How likely a field that may be absent is there.
_PRESENT: Final = 0.6
_STRING, _BYTES, _NESTED = FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE
_OF_TYPE: Final[dict[int, Sequence[Any]]] = {
    FieldDescriptor.TYPE_BOOL: (True, False),
    FieldDescriptor.TYPE_DOUBLE: _REAL,
}
#: A moment's two fields.
_OF_FIELD: Final[dict[str, Sequence[Any]]] = {"seconds": _SECONDS, "nanos": _NANOS}


#: A lone surrogate as UTF-8 would have it, an overlong NUL, a byte that never occurs; each of three bytes.
NOT_UTF8: Final = (b"\xed\xa0\x80", b"\xc0\x80x", b"\xffxx")
#: How many entries a field gets that may have several.
SEVERAL: Final = 100_000


def nasty_values(field: FieldDescriptor) -> Iterator[Any]:
    """Yield what the field may be given and should not: for one that may have several entries, very many too."""
    if field.type == _STRING:
        values: Sequence[Any] = (*NASTY_TEXT, "x" * 1_048_576)
    elif field.type == _BYTES:
        values = (b"", b"\x00", bytes(range(256)) * 8192)
    else:
        values = _OF_FIELD.get(field.name, _OF_TYPE.get(field.type, _WHOLE))
    yield from values
    if field.is_repeated:
        yield ["x"] * SEVERAL if field.type == _STRING else [values[0]] * SEVERAL


class Fuzzer:
    """Makes messages by chance."""

    def __init__(self, chance: random.Random, *, known: Mapping[str, Sequence[Any]]) -> None:
        """``known`` are values that mean something to the server, by the names of the fields that they suit."""
        self._chance = chance
        self._known = known
        self._texts = [each for values in known.values() for each in values if isinstance(each, str)]

    def payload(self, kind: Descriptor) -> bytes:
        """Return bytes for a method that takes such a message: whole ones, damaged ones and mere noise."""
        chance = self._chance.random()
        if chance < 0.1:
            return self._chance.randbytes(self._chance.choice((0, 1, 2, 7, 64, 1000)))
        data = self.message(kind).SerializeToString()
        for _ in range(0 if chance < 0.6 else self._chance.randint(1, 4)):
            data = self._chance.choice(_DAMAGES)(data, self._chance)
        return data

    def message(self, kind: Descriptor) -> Message:
        """Return a message: often a meaningful one, else one of which some fields are missing or nasty."""
        made, nastiness = message_factory.GetMessageClass(kind)(), self._chance.choice(_NASTINESS)
        for field in kind.fields:
            if self._chance.random() < nastiness:
                self._fill(made, field)
            elif field.name in self._known and (not field.has_presence or self._chance.random() < _PRESENT):
                self._mean(made, field)
            elif field.type == _NESTED and self._chance.random() < _PRESENT:
                self._fill(made, field)
        return made

    def _mean(self, made: Message, field: FieldDescriptor) -> None:
        value = self._chance.choice(self._known[field.name])
        if field.is_repeated:
            getattr(made, field.name).append(value)
        else:
            setattr(made, field.name, value)

    def _fill(self, made: Message, field: FieldDescriptor) -> None:
        if field.is_repeated:
            values = [self._value(field) for _ in range(self._chance.choice((0, 1, 2, 30)))]
            getattr(made, field.name).extend(values)
        elif field.type == _NESTED:
            getattr(made, field.name).CopyFrom(self._value(field))
        else:
            setattr(made, field.name, self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:  # noqa: ANN401 - each field has its own type
        chance = self._chance
        if field.type == _NESTED and field.message_type is not None:
            return self.message(field.message_type)
        if field.type == _STRING:
            return chance.choice(self._texts if chance.random() < _MEANT else NASTY_TEXT)
        if field.type == _BYTES:
            return chance.randbytes(chance.choice((0, 1, 999, 4096)))
        return chance.choice(_OF_FIELD.get(field.name, _OF_TYPE.get(field.type, _WHOLE)))


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data or b"\x00")
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _double(data: bytes, chance: random.Random) -> bytes:
    start = chance.randint(0, len(data))
    return data + data[start:] * chance.randint(1, 20)


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.randbytes(chance.randint(1, 20)) + data[at:]


def _varint(data: bytes, chance: random.Random) -> bytes:
    """Append a field whose number never ends, or whose length is more than there is."""
    return data + bytes([chance.randrange(8, 250)]) + b"\xff" * chance.choice((4, 9, 10, 64)) + b"\x01"


def _wrong_wire_type(data: bytes, chance: random.Random) -> bytes:
    number = chance.randint(1, 20)
    tag = number << 3 | chance.randrange(8)
    return data + (bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])) + struct.pack("<q", -1)


def _not_utf8(data: bytes, chance: random.Random) -> bytes:
    """Append a field of text that is none: a lone surrogate, an overlong NUL, a byte that never occurs."""
    text = chance.choice((b"\xed\xa0\x80", b"\xc0\x80", b"\xff\xfe", b"\x80"))
    return data + bytes([chance.randint(1, 12) << 3 | 2, len(text)]) + text


def _deep(data: bytes, chance: random.Random) -> bytes:
    """Append groups within groups, or fields within fields."""
    depth = chance.choice((10, 101, 5000))
    if chance.random() < 0.5:
        return data + b"\x0b" * depth + b"\x0c" * depth
    inner = b""
    for _ in range(min(depth, 60)):
        inner = bytes([chance.randint(1, 12) << 3 | 2, len(inner)]) + inner
    return data + inner


_DAMAGES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _flip, _cut, _double, _insert, _varint, _wrong_wire_type, _not_utf8, _deep,
)  # fmt: skip

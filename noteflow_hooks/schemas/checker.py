"""The checker, on jsonschema-rs: its regular expressions take linear time, and it looks nothing up anywhere.

What one check may cost is bounded by the domain's count, and here by the size of what regular expressions compile to.
The figures are in docs/dependencies.md.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.domain.ports.schemas import SchemaChecker
from noteflow_hooks.domain.schema_bounds import SchemaCost, measured
from noteflow_hooks.errors import InvalidInputError, SchemasMissingError
from noteflow_hooks.schemas.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    from jsonschema_rs import ValidationError

#: The sizes that a regular expression is tried in, compiled, in KiB; it is counted by the first one that it fits into.
_SIZES_KIB: Final = (1, 2, 4, 8, 16, 32, 64)
#: What all of a schema's may have together, each in every place where it is met: some 50 ms for a payload of 10 KiB.
PATTERNS_KIB: Final = 64
#: Expressions that need more states than fit run without a table of them.
_TABLE_BYTES: Final = 262_144
#: What a compiled schema takes, in bytes: of its own, for each byte of its text, for each regular expression, and with
#: its tables for each KiB of those. Measured with 30 of each kind that are made to take much.
_OWN_BYTES: Final = 20_000
_BYTES_A_BYTE: Final = 24
_PATTERN_BYTES: Final = 12_000
_BYTES_A_KIB: Final = 5_000
#: What a payload breaks is named one by one only where that is cheap: each error takes a copy of what it is about and
#: of its rule, a thousand times as long as to find it. This is so many errors times so many characters.
DETAILED: Final = 4_000_000
_CHARACTERS_A_VALUE: Final = 16
#: To look for an expression in a character takes as long as so many copies.
_COPIES_A_LOOK: Final = 400
#: So many are named.
_NAMED: Final = 20
#: How many characters of a message are repeated.
_SHOWN: Final = 200
#: Where the class of Rust's panics says that it is from.
_PANICS: Final = "pyo3_runtime"

log = logging.getLogger(__name__)


class JsonSchemaChecker(SchemaChecker):
    """Checks in the caller's thread; the library is imported at the first check."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: Kept[tuple[Any, SchemaCost]] = Kept()

    @override
    def check_schema(self, text: str) -> None:
        library = _library()
        schema = json.loads(text)
        cost = measured(schema)
        with _no_panic("schema"):
            _check_patterns(library, cost.patterns)
            self._kept.get(text, lambda: _compiled(text))

    @override
    def problems(self, text: str, payload: dict[str, Any]) -> Sequence[InvalidInputError]:
        _library()
        with _no_panic("payload"):
            validator, cost = self._kept.get(text, lambda: _compiled(text))
            if validator.is_valid(payload):
                return ()
            if _copied(payload, text, cost) > DETAILED:
                return (InvalidInputError("payload", "does not fit the type's schema"),)
            return [_problem(each) for each in list(validator.iter_errors(payload))[:_NAMED]]


def _library() -> ModuleType:
    try:
        import jsonschema_rs  # noqa: PLC0415 - 8 MB, for those alone that have types of their own
    except ImportError:
        raise SchemasMissingError from None
    return jsonschema_rs


@contextmanager
def _no_panic(field: str) -> Iterator[None]:
    """Make a refusal of a panic of the library's: that is no Exception, and nobody above would catch it."""
    try:
        yield
    except BaseException as error:
        if type(error).__module__ != _PANICS:
            raise
        log.exception("the schemas' library has failed")
        raise InvalidInputError(field, "can't be checked: the library behind schemas fails on it") from None


def _compiled(text: str) -> tuple[tuple[Any, SchemaCost], int]:
    """Return what checks by the schema, and what it costs; and how many bytes both take, by an estimate."""
    schema = json.loads(text)
    cost = measured(schema)
    library = _library()
    size = _OWN_BYTES + _BYTES_A_BYTE * len(text.encode()) + _PATTERN_BYTES * len(cost.patterns)
    size += _BYTES_A_KIB * sum(_size_kib(library, each) or _SIZES_KIB[-1] for each in cost.patterns)
    return (_validator(library, schema, size_kib=_SIZES_KIB[-1]), cost), size


def _validator(library: ModuleType, schema: object, *, size_kib: int) -> Any:  # noqa: ANN401 - the library is optional
    options = library.RegexOptions(size_limit=size_kib * 1024, dfa_size_limit=_TABLE_BYTES)
    try:
        return library.Draft202012Validator(schema, pattern_options=options, offline=True, mask="the value")
    except (library.ValidationError, library.ReferencingError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).partition("\n")[0][:_SHOWN]
        raise InvalidInputError("schema", f"is no JSON Schema 2020-12: {reason}") from None


def _check_patterns(library: ModuleType, patterns: Mapping[str, int]) -> None:
    total = 0
    for pattern, places in patterns.items():
        size = _size_kib(library, pattern)
        if size is None:
            raise InvalidInputError(
                "schema",
                f"has a regular expression that can't be used, {pattern[:_SHOWN]!r}: allowed is what takes linear time,"
                f" so neither look-around nor back-references, and at most {PATTERNS_KIB} KiB compiled",
            )
        total += size * places
        if total > PATTERNS_KIB:
            raise InvalidInputError(
                "schema",
                f"has regular expressions that take more than {PATTERNS_KIB} KiB together, compiled, each counted in"
                f" every place where it is met; at {pattern[:_SHOWN]!r} it is too much",
            )


def _size_kib(library: ModuleType, pattern: str) -> int | None:
    """Return the size that the expression fits into; None for what is none, or is larger than any."""
    for size in _SIZES_KIB:
        try:
            _validator(library, {"pattern": pattern}, size_kib=size)
        except InvalidInputError:
            continue
        return size
    return None


def _copied(payload: dict[str, Any], text: str, cost: SchemaCost) -> int:
    """Return how many characters all errors together may copy, and what the looks for expressions stand for."""
    values, characters = 0, 0
    waiting: list[Any] = [payload]
    while waiting:
        value = waiting.pop()
        values += 1
        if isinstance(value, dict):
            characters += sum(map(len, value))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            characters += len(value)
    # A list of names has an error for each, which takes four characters at least.
    errors = cost.of(values) + len(text) // 4
    copies = errors * (_CHARACTERS_A_VALUE * values + characters + len(text) // 8)
    return copies + _COPIES_A_LOOK * characters * cost.patterns.total()


def _problem(error: ValidationError) -> InvalidInputError:
    """Return it as other fields' problems are said; the library's words repeat no value of the payload."""
    path, problem = [*error.instance_path], error.message
    if error.kind.name == "required":
        path, problem = [*path, error.kind.value], "is missing"
    shown = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).lstrip(".")
    return InvalidInputError(shown[:_SHOWN] or "payload", problem.removeprefix("the value ")[:_SHOWN])

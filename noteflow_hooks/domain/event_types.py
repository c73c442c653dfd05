"""Event types of a workspace's own: ``custom.<name>``, with the schema that each payload is checked by."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.events import CUSTOM, is_custom
from noteflow_hooks.domain.json_text import parse_object
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES, check_text, encode_nested
from noteflow_hooks.domain.schema_bounds import SCHEMA_LIMIT_BYTES, measured
from noteflow_hooks.domain.violations import Violations
from noteflow_hooks.errors import InvalidInputError, LimitError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: The most types of its own that a workspace may have.
TYPES_LIMIT: Final = 100
#: The most characters of a description.
DESCRIPTION_LIMIT: Final = 1_000
#: The fields that we put into a payload; a schema that names one at its top is shown it.
BASE_FIELDS: Final = ("event", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomEventType:
    """A type of a workspace's own. Make it with :meth:`create`, which checks; the constructor takes what is stored."""

    workspace_id: UUID
    #: With ``custom.`` before it.
    name: str
    #: The JSON Schema as it was given.
    schema: str = field(repr=False)
    description: str = ""
    #: What a payload looks like, as JSON text; None where the caller gave none.
    example: str | None = field(default=None, repr=False)
    #: Whether it is to go: it can be published and subscribed to all the same.
    deprecated: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def create(
        cls,
        workspace_id: UUID,
        name: str,
        schema: str,
        *,
        description: str = "",
        example: str | None = None,
        deprecated: bool = False,
    ) -> CustomEventType:
        """Make a valid type, or raise :class:`InvalidInputError`; whether the schema is one, a library says."""
        found = Violations()
        made = cls(
            workspace_id=workspace_id,
            name=found.take(lambda: check_custom_name("name", name), ""),
            schema=found.take(lambda: _checked_schema(schema), ""),
            description=found.take(lambda: check_text("description", description, limit=DESCRIPTION_LIMIT), ""),
            example=None if example is None else found.take(lambda: _checked_example(example), ""),
            deprecated=deprecated,
        )
        found.raise_all()
        return made

    def shown(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return what the schema is shown of a payload: all that its publisher said, and base fields that it names."""
        top = json.loads(self.schema)
        named = {*_names(top.get("properties")), *_names(top.get("required"))}
        return {name: value for name, value in payload.items() if name not in BASE_FIELDS or name in named}


def check_custom_name(name: str, value: str) -> str:
    """Return the name of a type of the workspace's own, or raise :class:`InvalidInputError`."""
    if not is_custom(value):
        raise InvalidInputError(
            name,
            f"{value[:100]!r} is no name for a type of your own; allowed are {CUSTOM} and words of a-z, 0-9 and _"
            f" with dots between them, 128 characters in all",
        )
    return value


def check_room(stored: int) -> None:
    """Raise :class:`LimitError` where a workspace that has so many types may have no more."""
    if stored >= TYPES_LIMIT:
        raise LimitError(f"the workspace has {stored} types of its own; at most {TYPES_LIMIT} are allowed")


def _checked_schema(text: str) -> str:
    check_text("schema", text)
    size = len(text.encode())
    if size > SCHEMA_LIMIT_BYTES:
        raise InvalidInputError("schema", f"has {size} bytes; at most {SCHEMA_LIMIT_BYTES} are allowed")
    measured(parse_object("schema", text))
    return text


def _checked_example(text: str) -> str:
    check_text("example", text, limit=PAYLOAD_LIMIT_BYTES)
    try:
        encode_nested(parse_object("example", text))
    except InvalidInputError as error:
        raise InvalidInputError("example", error.problem) from None
    return text


def _names(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, (dict, list)) else []

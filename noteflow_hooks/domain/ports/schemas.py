"""What checks payloads of a workspace's own types by their schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.errors import InvalidInputError


class SchemaChecker(Protocol):
    """Checks by JSON Schema 2020-12. Where it can't, each method raises SchemasMissingError, which says what to do."""

    def check_schema(self, text: str) -> None:
        """Raise InvalidInputError, of ``schema``, for a JSON text that is no schema, or one that may cost too much."""
        ...

    def problems(self, text: str, payload: dict[str, Any]) -> Sequence[InvalidInputError]:
        """Return what of the payload breaks the stored schema, each by the field's path; nothing where it fits.

        The payload is one that may be sent: small, and of JSON's values alone.
        """
        ...

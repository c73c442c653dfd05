"""What stands for the schemas' checker where a server is made without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from noteflow_hooks.domain.ports.schemas import SchemaChecker
from noteflow_hooks.errors import SchemasMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.errors import InvalidInputError


class NoSchemas(SchemaChecker):
    """Checks nothing, and says so."""

    @override
    def check_schema(self, text: str) -> None:
        raise SchemasMissingError

    @override
    def problems(self, text: str, payload: dict[str, Any]) -> Sequence[InvalidInputError]:
        raise SchemasMissingError

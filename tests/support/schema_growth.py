"""What of a payload's schema was not merely added to: for a reader of the old one, each of these breaks something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What says something to people only.
_WORDS: Final = ("description", "title", "examples")


def broken_promises(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the new schema of one type and version no longer says that the old one did."""
    for name, before in old["properties"].items():
        after = new["properties"].get(name)
        if after is None:
            yield f"{name} is gone"
        elif _rules(before) != _rules(after):
            yield f"{name} was {_rules(before)} and is {_rules(after)}"
    yield from (f"{name} may be absent" for name in old["required"] if name not in new["required"])
    for name in ("$id", "type", "additionalProperties"):
        if old[name] != new[name]:
            yield f"{name} was {old[name]} and is {new[name]}"


def _rules(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in _WORDS}

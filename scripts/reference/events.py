"""The page of our event types, made of the catalogue: when each is sent, the fields of its payload, an example."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.catalogue import CATALOGUE, EventType
from scripts.generate_catalogue import HEADERS, OPTIONAL_HEADERS
from scripts.reference.markdown import anchor, block, code, page, table, words

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAD: Final = """\
Each payload is one flat JSON object. Ignore fields that you don't know: a version of a payload may get more of them,
and nothing else ([how they may change](../events.md#what-may-change)). `noteflow-hooks events types TYPE` shows the
JSON Schema. Types that a workspace puts itself are called `custom.<name>`
([events.md](../events.md#types-of-your-own))."""
#: What a JSON Schema says beside a field's kind, in words.
_RULES: Final = {
    "const": "always `{}`",
    "format": "{}",
    "minimum": "from {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
}


def generate() -> str:
    """Return the page."""
    kinds = list(CATALOGUE.values())
    rows = [[f"[`{each.name}`](#{anchor(each.name)})", words(each.description)] for each in kinds]
    return page(
        "Events: all types",
        "the catalogue",
        _LEAD,
        table(("type", "when it is sent"), rows),
        *(part for each in kinds for part in _section(each)),
        ["## Headers"],
        table(("header", "on each request", "what"), _headers()),
    )


def _section(kind: EventType) -> Iterator[list[str]]:
    yield [f"## {kind.name}"]
    yield [f"{words(kind.description)} Since {kind.since}{', and deprecated' if kind.deprecated else ''}."]
    for version in reversed(kind.versions):
        schema = kind.schema(version)
        yield [f"Payload version {version}:"]
        yield table(("field", "type", "what"), _fields(schema))
        yield block("json", json.dumps(kind.example(version), indent=2, ensure_ascii=False))


def _fields(schema: dict[str, Any]) -> Iterator[list[str]]:
    for name, rules in schema["properties"].items():
        rules_in_words = [words(text.format(rules[key])) for key, text in _RULES.items() if key in rules]
        optional = [] if name in schema["required"] else ["may be absent"]
        yield [code(name), ", ".join([rules["type"], *rules_in_words, *optional]), words(rules["description"])]


def _headers() -> Iterator[list[str]]:
    for name, (meaning, _) in HEADERS.items():
        yield [code(name), "not always" if name in OPTIONAL_HEADERS else "yes", words(meaning)]

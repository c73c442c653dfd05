"""The page of all settings, made of their fields: each one's default, what it may hold, what it decides."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.settings import CallerSettings, Settings, TraceSettings
from scripts.reference.markdown import code, page, table, words

if TYPE_CHECKING:
    from noteflow_hooks.settings.variables import Variables

_LEAD: Final = """\
Environment variables with the prefix `NOTEFLOW_HOOKS_`; `.env` is read, too. How they are written and checked is in
[Settings](../settings.md)."""
_HEAD: Final = ("setting", "default", "what it decides", "may hold")
_COMMENT: Final = re.compile(r" *#: ?(.*)")


def generate() -> str:
    """Return the page."""
    return page(
        "Settings: all of them",
        "noteflow_hooks/settings",
        _LEAD,
        ["## Of the programs"],
        table(_HEAD, _rows(Settings)),
        ["¹ The processes of one `serve --processes` count as one server."],
        ["## Of the commands", "", "Options of the same names count more."],
        table(_HEAD, _rows(CallerSettings)),
        ["## Of traces", "", "OpenTelemetry's own variables, without our prefix ([traces.md](../traces.md))."],
        table(_HEAD, _rows(TraceSettings, prefix="OTEL_")),
    )


def meanings(kind: type[Variables]) -> dict[str, str]:
    """Return what each field decides: the ``#:`` comment above it."""
    file = Path(inspect.getsourcefile(kind) or "")
    text = file.read_text("utf-8")
    [found] = [each for each in ast.parse(text).body if isinstance(each, ast.ClassDef) and each.name == kind.__name__]
    fields = [each for each in found.body if isinstance(each, ast.AnnAssign)]
    return {ast.unparse(each.target): _above(text.splitlines(), each.lineno - 1) for each in fields}


def _above(lines: list[str], place: int) -> str:
    found: list[str] = []
    while place and (comment := _COMMENT.fullmatch(lines[place - 1])):
        found.insert(0, comment[1])
        place -= 1
    return " ".join(found)


def _rows(kind: type[Variables], *, prefix: str = "") -> list[list[str]]:
    meaning = meanings(kind)
    return [
        [code(f"{prefix}{name.upper()}"), _default(field.default), words(meaning[name]), words(field.description or "")]
        for name, field in kind.model_fields.items()
    ]


def _default(value: Any) -> str:  # noqa: ANN401 - any field's
    if value is None or value == "":
        return "none"
    return code(str(value).lower() if isinstance(value, bool) else str(value))

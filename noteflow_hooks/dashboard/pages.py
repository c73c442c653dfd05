"""From a page's values to its HTML. What others wrote is escaped, always, and a name that is missing is an error."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from noteflow_hooks.dashboard import drawing, words
from noteflow_hooks.dashboard.telling import changes, labelled, spoken
from noteflow_hooks.dashboard.visit import address, without
from noteflow_hooks.printable import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

_HERE: Final = Path(__file__).parent
#: What changes by itself with the time, and makes no other page of it.
_AGO: Final = re.compile(r'<span class="ago">[^<]*</span>')
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
#: What the browser is given beside pages, and as what.
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Pages:
    """The templates, and the files that go with them."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        #: The files by name, each with its type.
        self.files = {
            path.name: (_KINDS[path.suffix], path.read_bytes())
            for path in sorted((_HERE / "static").iterdir())
            if path.suffix in _KINDS
        }
        version = hashlib.sha256(b"".join(body for _, body in self.files.values())).hexdigest()[:12]
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            words=words,
            drawing=drawing,
            address=address,
            without=without,
            when=self._when,
            at=_at,
            has=_has,
            version=version,
        )
        self._templates.filters.update(
            pretty=pretty, shown=shown, short=short, took=took, visible=_visible, grouped=grouped, utc=_utc
        )
        self._templates.filters.update(spoken=spoken, labelled=labelled, changes=changes, field=_field, typed=_typed)

    def html(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the page."""
        return self._templates.get_template(template).render(values)

    def _when(self, moment: Timestamp | datetime | None) -> Markup:
        """Return a time, in UTC, and how long ago it is or how far ahead; a dash for none."""
        found = moment.ToDatetime(UTC) if isinstance(moment, Timestamp) else moment
        if found is None or found.timestamp() == 0:
            return Markup("&ndash;")
        ago = _ago((self._clock() - found).total_seconds())
        text = found.strftime("%Y-%m-%d %H:%M:%S")
        return Markup('<time datetime="{}">{} UTC</time> <span class="ago">{}</span>').format(
            found.isoformat(timespec="milliseconds"), text, ago
        )


def tag_of(html: str) -> str:
    """Return what stands for a page's content: the same while it says the same, however much later."""
    return f'"{hashlib.sha256(_AGO.sub("", html).encode()).hexdigest()[:32]}"'


def with_tag(html: str, tag: str) -> str:
    """Return the page with what stands for it in its head, for its script: who asks again names it."""
    return html.replace('<html lang="en">', f'<html lang="en" data-tag={tag}>', 1)


def _ago(seconds: float) -> str:
    length = abs(seconds)
    if length < 1:
        return "now"
    size, unit = next((size, unit) for size, unit in _UNITS if length >= size)
    counted = f"{int(length // size)} {unit}"
    return f"{counted} ago" if seconds > 0 else f"in {counted}"


def _has(message: Message, name: str) -> bool:
    return message.HasField(name)


def pretty(text: str) -> str:
    """Return JSON text with its fields on lines of their own; whatever else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def shown(message: Message) -> str:
    """Return a message as JSON text, with the API's own names."""
    return json.dumps(MessageToDict(message, preserving_proto_field_name=True), indent=2, ensure_ascii=False)


#: Where an id says of which version it is.
_VERSION_AT: Final = 14


def short(identifier: str) -> str:
    """Return enough of an id to tell it from its neighbours: those that tell the time begin alike for a minute."""
    tells_time = identifier[_VERSION_AT : _VERSION_AT + 1] == "7"
    return f"{identifier[:8]}…{identifier[-4:]}" if tells_time else identifier[:8]


def grouped(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def _utc(moment: Timestamp) -> str:
    return f"{moment.ToDatetime(UTC):%Y-%m-%d %H:%M} UTC"


def _at(moment: Timestamp, names_day: bool, names_time: bool = False) -> Markup:  # noqa: FBT001, FBT002 - templates' calls
    """Return a chart's time, in UTC: the day, the time of the day, or both."""
    found = moment.ToDatetime(UTC)
    kind = "day" if names_day and not names_time else "both" if names_day else "time"
    text = found.strftime({"day": "%d %b", "time": "%H:%M", "both": "%d %b %H:%M"}[kind])
    zone = "" if kind == "day" else " UTC"
    return Markup('<time datetime="{}" data-kind="{}">{}{}</time>').format(
        found.isoformat(timespec="milliseconds"), kind, text, zone
    )


def took(milliseconds: float) -> str:
    """Return a duration as people say it."""
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f}".removesuffix(".0") + " s"


def _field(value: object) -> object:
    """Return what stands in a field of a form: a number as people write it, and nothing for None."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else value


def _typed(text: str) -> str:
    """Return a time as a field for times has it, in UTC; what is none as it was written."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (found if found.tzinfo is None else found.astimezone(UTC)).strftime("%Y-%m-%dT%H:%M:%S")


def _visible(text: str) -> str:
    """Return text that others wrote with what cannot be seen, or turns what stands around it, written as escapes."""
    return escape(text, keep="\n\t")

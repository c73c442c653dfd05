"""How the processes log: one line for each record, as JSON or as text.

Whatever a record contains, its line stays one line of bounded length and steers no terminal. A record with the
attribute ``fields`` has those behind its message, in JSON as keys of the object. Of URLs it shows the host
only, and of what looks like a credential nothing. Our own code logs no secrets anyway; this is for errors that others
raise.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from noteflow_hooks.printable import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

LogFormat: TypeAlias = Literal["json", "text"]

#: The most characters of a message, and of a traceback; longer ones lose their middle.
LIMIT: Final = 8192
#: How many of them are kept of the end, where a traceback names the error.
_END: Final = 2048
#: A scheme's length is limited: without a limit, matching takes quadratic time on a long line of dots.
_URL: Final = re.compile(r"\b([a-z][a-z0-9+.-]{0,30})://(\S*)", re.IGNORECASE)
#: Paths without a host, as in errors of urllib3 and http.client; and credentials, by what stands before them.
_REDACTIONS: Final = (
    (re.compile(r"""\b(url(?:=|: )['"]?)/\S*"""), r"\1/…"),
    (re.compile(r"\b(CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /\S*"), r"\1 /…"),
    (re.compile(r"\b(whsec_|whsk_)[\w+/=-]+"), r"\1…"),
    (re.compile(r"\b(nfh_)[\w-]{8,}"), r"\1…"),
    (re.compile(r"\b(Bearer|Basic) [\w+/=.~-]{16,}", re.IGNORECASE), r"\1 …"),
    (re.compile(r"\b((?:password|passwd)=)(?:'[^']*'|\S+)", re.IGNORECASE), r"\1…"),
)

#: A field's value that needs no quotes.
_WORD: Final = re.compile(r"[\w.:@/+*-]+")
#: A text without any of these, in lower case, matches no pattern above. Most lines have none.
_MARKS: Final = ("/", "whsec_", "whsk_", "nfh_", "bearer ", "basic ", "passw")

log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, in ASCII, so that no reader takes any character in it for the end of a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line or lines."""
        head = (
            f'{{"time": "{_time(record)}", "level": {_quoted(record.levelname)}, "logger": {_quoted(record.name)},'
            f' "process": {json.dumps(record.process)}, "message": '
        )
        exception = _exception(record)
        end = f', "exception": {_quoted(exception)}}}' if exception else "}"
        fields: Mapping[str, object] | None = getattr(record, "fields", None)
        if fields is not None:
            end = "".join(f", {_quoted(name)}: {_json(value)}" for name, value in fields.items()) + end
        return "\n".join([f"{head}{_quoted(each)}{end}" for each in _messages(record)])


class TextFormatter(logging.Formatter):
    """A line for people. Lines of a traceback begin with a bar, so that none of them can pass for a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, and those of its traceback."""
        head = f"{_time(record)} {record.levelname} {record.name} [{record.process}]"
        exception = _exception(record)
        fields: Mapping[str, object] | None = getattr(record, "fields", None)
        tail = "" if fields is None else "".join(f" {name}={_plain(value)}" for name, value in fields.items())
        lines = [f"{head} {escape(each)}{tail}" for each in _messages(record)]
        return "\n".join([*lines, *(f"    | {escape(line)}" for line in exception.splitlines())])


def formatter(log_format: LogFormat) -> logging.Formatter:
    """Return the formatter of that format."""
    return JsonFormatter() if log_format == "json" else TextFormatter()


def configure(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Log to standard error, uncaught errors included; do nothing in a process that has a handler already."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log_format))
    root.addHandler(handler)
    root.setLevel(level)
    set_up()


def set_up() -> None:
    """Log warnings, and errors that end a thread or the process, like all other records."""
    # It logs paths: each request's at DEBUG, and at WARNING those that it retries, in a form that no pattern above
    # finds.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    # None of our lines say where in the code a record was made, or in which thread; to find that out costs as much as
    # the rest of a line.
    logging._srcfile = None  # noqa: SLF001 - as logging's own guide says
    logging.logThreads = logging.logMultiprocessing = False
    sys.excepthook = _end_of_process
    threading.excepthook = _end_of_thread


def redacted(text: str) -> str:
    """Return the text without the user, path and query of URLs, and without what looks like a credential."""
    if not _is_marked(text):
        return text
    text = _URL.sub(_host_alone, text)
    for pattern, rest in _REDACTIONS:
        text = pattern.sub(rest, text)
    return text


def _is_marked(text: str) -> bool:
    lowered = text.lower()
    # A generator would cost more than all the looks.
    for mark in _MARKS:  # noqa: SIM110 - as said
        if mark in lowered:
            return True
    return False


def _host_alone(found: re.Match[str]) -> str:
    scheme, rest = found.groups()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    if "@" in behind:
        # It can't be told whether that is a path, or a password with a slash in it.
        return f"{scheme}://…"
    return f"{scheme}://{authority.rpartition('@')[2]}" + (behind if behind in ("", "/") else "/…")


def _messages(record: logging.LogRecord) -> list[str]:
    """Return what the record says. One with the attribute ``lines`` stands for as many as that has."""
    lines: Sequence[str] | None = getattr(record, "lines", None)
    if lines is None:
        return [_message(record)]
    # One look at all of them takes a fifth of the time of one at each.
    return [_bounded(redacted(each)) for each in lines] if _is_marked("\n".join(lines)) else [*map(_bounded, lines)]


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - logging would print the arguments as they are, past all that is done here
        message = f"{record.msg} (the arguments don't fit the message)"
    return _bounded(redacted(message))


def _json(value: object) -> str:
    """Return a field's value as JSON; a text is made as safe as a message is."""
    return _quoted(_bounded(redacted(value))) if isinstance(value, str) else json.dumps(value)


def _plain(value: object) -> str:
    """Return a field's value for people: ``-`` for none, and in quotes what would not be one word."""
    if value is None:
        return "-"
    text = escape(_bounded(redacted(str(value))))
    return text if _WORD.fullmatch(text) else _quoted(text)


def _exception(record: logging.LogRecord) -> str:
    """Return the traceback and the stack, or nothing."""
    if not (record.exc_info or record.exc_text or record.stack_info):
        return ""
    parts = [record.exc_text, record.stack_info]
    if record.exc_info:
        # Made anew: the record may carry a text that another handler's formatter has left there.
        parts[0] = logging.Formatter().formatException(record.exc_info)
    return _bounded(redacted("\n".join(part for part in parts if part)))


def _bounded(text: str) -> str:
    if len(text) <= LIMIT:
        return text
    return f"{text[: LIMIT - _END]} … [{len(text) - LIMIT} characters left out] … {text[-_END:]}"


def _time(record: logging.LogRecord) -> str:
    second, part = divmod(record.created, 1)
    return f"{_second(int(second))}.{int(part * 1000):03d}Z"


@lru_cache(maxsize=16)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).isoformat().removesuffix("+00:00")


def _end_of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("The process ends with an error that nobody expected", exc_info=(kind, error, trace))


def _end_of_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread is not None else "?"
    if ended.exc_value is not None:
        trace = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        log.error("Thread %s ends with an error that nobody expected", name, exc_info=trace)

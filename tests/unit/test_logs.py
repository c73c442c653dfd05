"""The lines of a log: each one record, whatever is in it, and none with more of a URL than its host."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.logs import LIMIT, JsonFormatter, TextFormatter, redacted

if TYPE_CHECKING:
    from typing import Never

#: What ends a line or steers a terminal: CR LF, ANSI, NUL, DEL, C1, the separators of Unicode, a bidi override.
HOSTILE: Final = "a\r\nb\x1b[31mc\x00d\x7fe\x85f\x9bg\u2028h\u2029i\u202ej"
patiently: Final = settings(deadline=None)


def a_record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("noteflow_hooks.test", logging.WARNING, "f.py", 1, message, args, exc_info)


def a_raised(error: BaseException) -> BaseException:
    """Return the error with a traceback."""

    def fail() -> Never:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    return caught.value


def as_json(message: str, *args: object, error: BaseException | None = None) -> dict[str, Any]:
    line = JsonFormatter().format(a_record(message, *args, error=error))
    assert re.fullmatch(r"[ -~]+", line), "one line of plain ASCII"
    entry: dict[str, Any] = json.loads(line)
    return entry


def as_text(message: str, *args: object, error: BaseException | None = None) -> str:
    return TextFormatter().format(a_record(message, *args, error=error))


def test_a_record_is_one_object_with_its_time_level_logger_and_process() -> None:
    """The time in UTC, to the millisecond."""
    entry = as_json("delivery %s failed", 7)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert isinstance(entry.pop("process"), int)
    assert entry == {"level": "WARNING", "logger": "noteflow_hooks.test", "message": "delivery 7 failed"}


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_706_702_399.999, "2024-01-31T11:59:59.999Z"),
        (1_706_702_400.0, "2024-01-31T12:00:00.000Z"),
        (1_706_702_400.0625, "2024-01-31T12:00:00.062Z"),
        (1_706_702_460.5, "2024-01-31T12:01:00.500Z"),
    ],
)
def test_a_record_says_when_it_was_made(created: float, shown: str) -> None:
    """Cut to the millisecond, never rounded up: whatever was logged before."""
    record = a_record("x")
    record.created = created
    assert json.loads(JsonFormatter().format(record))["time"] == shown
    assert TextFormatter().format(record).startswith(f"{shown} WARNING")


def test_a_record_of_any_name_level_and_process_is_json() -> None:
    """Even of such as our own code never makes."""
    record = a_record("x")
    record.name, record.levelname, record.process = 'a"b', f'"{HOSTILE}', None
    entry = json.loads(JsonFormatter().format(record))
    assert (entry["logger"], entry["level"], entry["process"]) == ('a"b', f'"{HOSTILE}', None)


def test_what_others_wrote_stays_on_its_line_in_json() -> None:
    """As an argument or in the message; it is read back as it was."""
    assert as_json("said %s", HOSTILE)["message"] == f"said {HOSTILE}"
    assert as_json(HOSTILE)["message"] == HOSTILE


def test_what_others_wrote_stays_on_its_line_in_text() -> None:
    """Each such character is written out."""
    line = as_text("said %s", HOSTILE)
    assert line.isprintable()
    shown = r"a\r\nb\x1b[31mc\x00d\x7fe\x85f\x9bg\u2028h\u2029i\u202ej"
    assert line.endswith(f"said {shown}")


@patiently
@given(text=st.text())
def test_no_text_makes_more_than_a_line(text: str) -> None:
    """In either format, also as the message of an error."""
    assert as_json("%s", text)
    assert as_text("%s", text).isprintable()
    assert as_json("failed", error=ValueError(text))["exception"]
    lines = as_text("failed", error=ValueError(text)).split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("    | ") for line in lines[1:])


def test_a_message_of_many_lines_is_as_many_records() -> None:
    """Each with all that a record has, redacted and bounded by itself; other formatters show the lines."""
    said = ["one", "to https://host.example/private", "two\nlines", "x" * (LIMIT + 1)]
    record = a_record("\n".join(said))
    record.lines = said
    alone = [a_record(each) for each in said]
    for each in alone:
        each.created = record.created
    for formatter in (JsonFormatter(), TextFormatter()):
        assert formatter.format(record).split("\n") == [formatter.format(each) for each in alone]


def test_an_error_comes_with_its_traceback() -> None:
    """In a field of its own; as text behind bars, so that none of its lines passes for a record."""
    error = a_raised(ValueError("no\n2026-01-31T12:00:00.000Z INFO noteflow_hooks all is well"))
    exception = as_json("failed", error=error)["exception"]
    assert exception.startswith("Traceback")
    assert "ValueError: no" in exception
    head, *rest = as_text("failed", error=error).split("\n")
    assert head.endswith("failed")
    assert rest[-1] == "    | 2026-01-31T12:00:00.000Z INFO noteflow_hooks all is well"


def test_a_long_message_loses_its_middle() -> None:
    """With a mark that says how much; the end, where errors say what they are, is kept."""
    message = as_json("begin %s end", "x" * 1_000_000)["message"]
    assert len(message) < LIMIT + 100
    assert message.startswith("begin xxx")
    assert message.endswith("xxx end")
    assert f"[{1_000_010 - LIMIT} characters left out]" in message
    assert len(as_json("x", error=ValueError("y" * 1_000_000))["exception"]) < LIMIT + 100
    assert as_json("x" * LIMIT)["message"] == "x" * LIMIT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to https://h.example:8443/canary?key=canary now", "to https://h.example:8443/… now"),
        ("HTTPS://user:canary@h.example", "HTTPS://h.example"),
        ("https://h.example?canary", "https://h.example/…"),
        ("https://h.example#canary", "https://h.example/…"),
        ("https://[2001:db8::1]:443/canary", "https://[2001:db8::1]:443/…"),
        ("https://h.example/ and https://h.example", "https://h.example/ and https://h.example"),
        ("redis://:canary@127.0.0.1:6379/0: refused", "redis://127.0.0.1:6379/… refused"),
        ("postgresql+psycopg://u:can@ary@db/x", "postgresql+psycopg://db/…"),
        ("redis://:can/ary@host/0", "redis://…"),
        ("https://h.example/canary's-own", "https://h.example/…"),
        ("Max retries exceeded with url: /canary?key=canary (Caused by X)", "… exceeded with url: /… (Caused by X)"),
        ("Retry for (url='/canary'): 1", "Retry for (url='/… 1"),
        ('"POST /canary?key=canary HTTP/1.1" 200', '"POST /… HTTP/1.1" 200'),
        ("secret whsec_canary+/canary== given", "secret whsec_… given"),
        ("key whsk_canary+/canary== given", "key whsk_… given"),
        ("token nfh_canary-canary_canary", "token nfh_…"),
        ("Authorization: Bearer canary.canary.canary", "Authorization: Bearer …"),
        ("host=db password=canary user=u", "host=db password=… user=u"),
        ("host=db password='can ary' user=u", "host=db password=… user=u"),
    ],
)
def test_of_a_url_its_host_is_left_and_of_a_credential_nothing(text: str, shown: str) -> None:
    """In messages, in arguments and in what errors say."""
    assert redacted(text).endswith(shown.removeprefix("…"))
    for said in (as_json("%s", text)["message"], as_json("x", error=ValueError(text))["exception"], as_text(text)):
        assert "canary" not in said
        assert "ary" not in said.replace("noteflow", "")


def test_arguments_that_do_not_fit_are_left_out() -> None:
    """Where logging itself would print them as they are."""
    entry = as_json("one %d", "https://h.example/canary")
    assert entry["message"] == "one %d (the arguments don't fit the message)"


@pytest.mark.parametrize("part", ["a.", "https://", "url=/", "@/", "a://@", "password='"])
def test_no_text_takes_long_to_log(part: str) -> None:
    """A text that is four times as long takes about four times as long, not sixteen."""

    def seconds(text: str) -> float:
        started = time.process_time()
        redacted(text)
        return time.process_time() - started

    short = max(seconds(part * 20_000), 0.005)
    assert min(seconds(part * 80_000) for _ in range(3)) < 10 * short

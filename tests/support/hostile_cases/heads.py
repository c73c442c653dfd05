"""What may be wrong up to the end of an answer's head: E1, E2, E4, E10, E11, E13, E14, E16 and E20."""

from __future__ import annotations

from typing import Final

from tests.support.hostile_cases.case import (
    EMPTY_OK,
    LOST,
    OK,
    RESET,
    HostileCase,
    delivered,
    lost,
    malformed,
    refused,
    timeout,
)
from tests.support.hostile_receiver import (
    closes,
    floods,
    in_turn,
    never_answers,
    resets,
    says,
    says_and_waits,
    trickles,
)

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PREFACE: Final = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00\x03\x00\x00\x00\x80\n" * 3


def _with(header: bytes) -> HostileCase:
    """Expect a delivery, whatever that header line is."""
    return delivered(says(OK + header + b"\r\nContent-Length: 2\r\n\r\nok")).keeping("ok")


SILENCE: Final = {
    "E1 never answers": timeout(never_answers),
    "E2 trickles a head": timeout(trickles(b"X-Slow: 1\r\n", after=OK)),
    "E2 trickles a status line": timeout(trickles(b"HTTP/1.1 200 OK")),
    "E2 ends the head with silence": timeout(says_and_waits(OK + b"Content-Length: 0\r\n")),
    "E4 says 100 Continue for ever": timeout(trickles(_CONTINUE)),
    "E4 floods with 100 Continue": timeout(floods(_CONTINUE * 100)),
    "E4 floods with large 103s": timeout(floods(b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </x>\r\n" * 150 + b"\r\n")),
    "E16 closes": lost(closes, LOST),
    # Over TLS an RST may be seen as the end of the stream.
    "E16 resets": lost(resets, RESET, LOST),
    "E16 closes within the status line": malformed(says(b"HTTP/1.1 2"), "head broken off"),
    "E16 closes within the head": malformed(says(OK + b"Content-Le"), "head broken off"),
    "E16 closes before the head's last line": malformed(says(OK + b"X: 1\r\n"), "head broken off"),
}

INTERIM: Final = {
    "E10 says 103 first": delivered(says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + EMPTY_OK)),
    "E10 says 102 and 100 first": delivered(says(b"HTTP/1.1 102 Processing\r\n\r\n" + _CONTINUE, EMPTY_OK)),
    "E10 says 199 first": delivered(says(b"HTTP/1.1 199 Whatever\r\n\r\n" + EMPTY_OK)),
    "E10 says 100 a hundred and five times first": delivered(says(_CONTINUE * 105 + EMPTY_OK)),
    "E10 says 103 and closes": lost(says(b"HTTP/1.1 103 Early Hints\r\n\r\n"), LOST),
    "E11 switches protocols": refused(says_and_waits(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), 101),
    "E11 upgrades to a websocket": refused(
        says_and_waits(b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"), 101
    ),
    "E11 offers an upgrade": _with(b"Connection: upgrade\r\nUpgrade: h2c, websocket"),
    "E11 requires an upgrade": refused(
        says(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.3\r\nContent-Length: 0\r\n\r\n"), 426
    ),
}

MEASURES: Final = {
    "E13 sends a long header": malformed(says(OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n"), "head too large"),
    "E13 sends many headers": malformed(says(OK + b"X: 1\r\n" * 300 + b"\r\n"), "too many headers"),
    "E13 sends large headers": malformed(
        says(OK, *([b"X: " + b"x" * 60_000 + b"\r\n"] * 90), b"\r\n"), "head too large"
    ),
    "E13 never ends its head": malformed(floods(b"x" * 65_536, after=OK), "head too large"),
    "E13 never ends its status line": malformed(floods(b"x" * 65_536, after=b"HTTP/1.1 200 "), "head too large"),
    "E13 sends a long reason": delivered(says(b"HTTP/1.1 200 " + b"x" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n")),
    # A pattern that backtracks takes the square of the blanks: most of a minute, in which no other thread runs.
    "E13 sends a header of blanks": _with(b"X: b" + b" " * 60_000 + b"b"),
    "E13 sends a header of blanks and a CR": _with(b"X: b" + b" \t" * 30_000 + b"\r"),
    "E13 sends a name of blanks": _with(b" " * 60_000 + b": b"),
    "E13 sends a length of commas": delivered(says(OK + b"Content-Length: " + b"5," * 30_000 + b"5\r\n\r\nhello")),
}

NONSENSE: Final = {
    "E14 talks nonsense": malformed(says_and_waits(b"\x00\xff nonsense\r\n"), "no status line"),
    "E14 speaks SSH": malformed(says_and_waits(b"SSH-2.0-OpenSSH_9.2\r\n"), "no status line"),
    "E14 speaks HTTP/0.9": malformed(says(b"<html>hello</html>"), "head broken off"),
    "E14 speaks HTTP/2": malformed(says_and_waits(_PREFACE), "no status line"),
    "E14 speaks HTTP/2 in words": malformed(says(b"HTTP/2 200\r\n\r\n"), "no status line"),
    "E14 speaks HTTP/3": malformed(says(b"HTTP/3 200 OK\r\n\r\n"), "no status line"),
    "E14 sends an empty line first": malformed(says(b"\r\n" + EMPTY_OK), "no status line"),
    "E14 sends a status of two digits": malformed(says(b"HTTP/1.1 20 OK\r\n\r\n"), "no status line"),
    "E14 sends a status of four digits": malformed(says(b"HTTP/1.1 2000 OK\r\n\r\n"), "no status line"),
    "E14 sends a status in words": malformed(says(b"HTTP/1.1 two OK\r\n\r\n"), "no status line"),
    "E14 sends a negative status": malformed(says(b"HTTP/1.1 -200 OK\r\n\r\n"), "no status line"),
    "E14 sends a status below 100": malformed(says(b"HTTP/1.1 099 Low\r\n\r\n"), "no status line"),
    "E14 sends a status of 999": refused(says(b"HTTP/1.1 999 High\r\n\r\n"), 999),
    "E14 sends a status of 600": refused(says(b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n"), 600),
    "E14 ends its lines with CR alone": malformed(
        says_and_waits(EMPTY_OK.replace(b"\r\n", b"\r") + b"\n"), "no status line"
    ),
    "E14 ends its lines with LF alone": delivered(says(EMPTY_OK.replace(b"\r\n", b"\n"))),
}

VALUES: Final = {
    "E14 sends a line that is no header": _with(b"nonsense"),
    "E14 sends a charset without a name": _with(b"Content-Type: text/html; charset\r\nSet-Cookie: \xff=;;="),
    "E14 sends a NUL in a header": _with(b"X-Nul: a\x00b"),
    "E14 sends a NUL in a header's name": _with(b"X\x00Y: 1"),
    "E14 sends a CR in a header": _with(b"X-Cr: a\rSet-Cookie: injected=1"),
    "E14 folds a header": _with(b"X-Fold: a\r\n b\r\n\tc"),
    "E14 folds its first header": _with(b" X-Fold: a"),
    "E14 sends eight bits": _with(bytes(range(128, 256)).join([b"X-Eight: ", b""])),
    "E14 sends escapes for a terminal": _with(b"X-Ansi: \x1b[2J\x1b]0;owned\x07"),
    "E14 sends a blank before a colon": _with(b"X-Blank : 1"),
    "E14 sends a header without a name": _with(b": 1"),
    "E14 sends a script as its reason": refused(
        says(b"HTTP/1.1 500 \xff\xfe<script>alert(1)</script>\x00\x1b[2J\r\nContent-Length: 0\r\n\r\n"), 500
    ),
    "E14 sets cookies": _with(b"Set-Cookie: id=1; Secure\r\nSet-Cookie: \x00\xff"),
    "E20 fails, fails and succeeds": HostileCase(
        in_turn(*[says(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")] * 2, says(EMPTY_OK)),
        (*refused(closes, 503).outcomes, *delivered(closes).outcomes),
    ),
}

HEADS: Final = {**SILENCE, **INTERIM, **MEASURES, **NONSENSE, **VALUES}

"""What may be wrong once the head has decided, which changes the outcome no more: E3, E5 to E9, E12, E15 and E21."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from tests.support.hostile_cases.case import CHUNKED_OK, EMPTY_OK, OK, HostileCase, delivered, redirected, refused
from tests.support.hostile_receiver import (
    breaks_tls,
    floods,
    resets_after_head,
    says,
    says_and_ends_properly,
    says_and_waits,
    says_more_later,
    trickles,
)

#: Bodies of 100 MB in 100 KB.
BOMB: Final = gzip.compress(bytes(10_000_000)) * 10
DEFLATED: Final = zlib.compress(bytes(100_000_000))
FORGED: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
_OOPS: Final = b"HTTP/1.1 500 Oops\r\n"
_EVIL: Final = "nul \0 esc \x1b[2J\x07 line\u2028para\u2029 bom\ufeff rtl\u202e <script>alert(1)</script> '; DROP TABLE"
_CHUNK: Final = b"1000\r\n" + b"x" * 4096 + b"\r\n"


def _bomb(coding: bytes, data: bytes) -> bytes:
    return b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(data)) + data


def _redirect(location: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n"


def _chunked(body: bytes, kept: str) -> HostileCase:
    """Expect a delivery, and so much of the chunks' text."""
    return delivered(says(CHUNKED_OK + body)).keeping(kept)


ENDLESS: Final = {
    "E3 trickles chunks": delivered(trickles(b"1\r\nx\r\n", after=CHUNKED_OK)).drawn_out(),
    "E3 trickles a body": delivered(trickles(b"x", after=OK + b"Content-Length: 1000\r\n\r\n")).drawn_out(),
    "E3 fails and trickles why": refused(
        trickles(b"x", after=_OOPS + b"Content-Length: 1000\r\n\r\n"), 500
    ).drawn_out(),
    "E3 redirects and trickles": redirected(trickles(b"x", after=_redirect(b"/elsewhere") + b"\r\n")).drawn_out(),
    "E5 never ends its body": delivered(floods(b"x" * 65_536, after=OK + b"\r\n")),
    "E5 never ends its chunks": delivered(floods(_CHUNK, after=CHUNKED_OK)),
    "E5 never ends tiny chunks": delivered(floods(b"1\r\nx\r\n" * 1000, after=CHUNKED_OK)),
    "E5 never ends a chunk's extension": delivered(floods(b"1;x" * 999, after=CHUNKED_OK)),
    "E5 never ends its trailers": delivered(floods(b"X-T: 1\r\n", after=CHUNKED_OK + b"0\r\n")),
    "E5 fails without end": refused(floods(b"x" * 65_536, after=_OOPS + b"\r\n"), 500),
}

BOMBS: Final = {
    "E6 sends a bomb": delivered(says(OK + _bomb(b"gzip", BOMB))),
    "E6 sends a deflated bomb": delivered(says(OK + _bomb(b"deflate", DEFLATED))),
    "E6 sends what it says is a brotli bomb": delivered(says(OK + _bomb(b"br", BOMB))),
    "E6 sends a bomb in chunks": delivered(
        says(OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BOMB) + BOMB)
    ),
    "E6 codes the transfer itself": delivered(
        says(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    ),
    "E6 fails with a bomb": refused(says(_OOPS + _bomb(b"gzip", BOMB)), 500),
    "E7 redirects with a bomb": redirected(says(_redirect(b"/elsewhere") + _bomb(b"gzip", BOMB))),
    "E7 redirects with a deflated bomb": redirected(says(_redirect(b"/elsewhere") + _bomb(b"deflate", DEFLATED))),
    "E7 redirects without end": redirected(floods(b"x" * 65_536, after=_redirect(b"/elsewhere") + b"\r\n")),
    "E7 redirects with endless chunks": redirected(
        floods(_CHUNK, after=_redirect(b"/x") + b"Transfer-Encoding: chunked\r\n\r\n")
    ),
    "E7 moves for good without end": redirected(
        floods(b"x" * 65_536, after=b"HTTP/1.1 308 Moved\r\nLocation: /\r\n\r\n"), 308
    ),
    "E8 redirects to nonsense": redirected(says(_redirect(b"http://[::1") + b"\r\n")),
    "E8 redirects to eight bits": redirected(says(_redirect(b"http://\xff\xfe\x00/\x1b[2J") + b"\r\n")),
    "E8 redirects nowhere": redirected(says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")),
    "E9 redirects to the metadata": redirected(says(_redirect(b"http://169.254.169.254/") + b"\r\n")),
    "E9 redirects to itself": redirected(says(_redirect(b"") + b"\r\n")),
    "E9 is not modified": redirected(says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 304),
    "E9 offers choices": redirected(says(b"HTTP/1.1 300 Choices\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), 300),
}

SURPLUS: Final = {
    "E12 has a body where none may be": delivered(says(b"HTTP/1.1 204 No Content\r\n\r\nbody"), 204).keeping(""),
    "E12 has a length where none may be": delivered(
        says_and_waits(b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nbody"), 204
    ).keeping(""),
    "E12 says more than it announced": delivered(says(OK + b"Content-Length: 2\r\n\r\nok and more")).keeping("ok"),
    "E12 answers twice": delivered(says_and_waits(EMPTY_OK + FORGED)).keeping(""),
    "E12 answers again later": delivered(says_more_later(EMPTY_OK, later=FORGED)).keeping(""),
}

BROKEN: Final = {
    "E15 sends a short body": delivered(says(OK + b"Content-Length: 100\r\n\r\nshort")).keeping("short"),
    "E15 sends a bad chunk": _chunked(b"2\r\nok\r\nzz\r\nx", "ok"),
    "E15 sends a negative chunk": _chunked(b"-5\r\nx\r\n0\r\n\r\n", ""),
    "E15 sends a chunk without measure": _chunked(b"ffffffffffffffffffff\r\nx", ""),
    "E15 sends a chunk of exabytes": _chunked(b"fffffffffffffff\r\nabc", "abc"),
    "E15 sends a longer chunk than it says": _chunked(b"2\r\nok, and more\r\n0\r\n\r\n", "ok"),
    "E15 ends within its chunks": _chunked(b"2\r\nok\r\n5\r\nab", "okab"),
    "E15 sends a large extension": _chunked(b"2;" + b"x" * 60_000 + b"\r\nok\r\n0\r\n\r\n", "ok"),
    "E15 sends trailers": _chunked(b"2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nHTTP/1.1 500 No\r\n\r\n", "ok"),
    "E15 sends two lengths": delivered(says_and_waits(OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello")),
    "E15 sends a length that is none": delivered(says_and_waits(OK + b"Content-Length: +5\r\n\r\nhello")),
    "E15 sends a length of 5000 digits": delivered(
        says_and_waits(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx")
    ),
    "E15 sends two framings": delivered(
        says(OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    ).keeping("ok"),
    # Without a framing that can be relied on, a body goes on until its connection ends.
    "E15 folds its framing": delivered(
        says_and_waits(OK + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\nhello")
    ).drawn_out(),
    "E15 codes its chunks": delivered(
        says_and_waits(OK + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")
    ).drawn_out(),
    "E16 resets within the body": delivered(resets_after_head),
    "E21 breaks TLS within the body": delivered(breaks_tls(OK + b"Content-Length: 100\r\n\r\npart"))
    .over_tls()
    .keeping("part"),
    "E21 ends TLS properly within the body": delivered(
        says_and_ends_properly(OK + b"Content-Length: 100\r\n\r\npart")
    ).keeping("part"),
    "E21 ends TLS properly after the head": delivered(says_and_ends_properly(OK + b"\r\n")).keeping(""),
    "E21 ends without a word after the head": delivered(says(OK + b"\r\n")).keeping(""),
}

TEXTS: Final = {
    "E5 says what steers terminals and browsers": refused(says(_OOPS + b"\r\n" + _EVIL.encode()), 500).keeping(
        _EVIL.replace("\0", "\ufffd")
    ),
    "E5 says what is no UTF-8": refused(says(_OOPS + b"\r\na\xffb\xc3(\xed\xa0\x80\xf4\x90\x80\x80"), 500).keeping(
        "a\ufffdb\ufffd(" + "\ufffd" * 7
    ),
    "E5 ends within a character": refused(says(_OOPS + b"\r\n" + b"x" * 4095 + "✓".encode()), 500).keeping("x" * 4095),
    "E5 says NUL alone": refused(says(_OOPS + b"\r\n" + bytes(9000)), 500).keeping("\ufffd" * 1365),
}

BODIES: Final = {**ENDLESS, **BOMBS, **SURPLUS, **BROKEN, **TEXTS}

"""What is read out of the answers to batches, whoever wrote them."""

from __future__ import annotations

import hashlib
import json
import random
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.executor.partial import NOTHING, Named, failed_in

if TYPE_CHECKING:
    from collections.abc import Callable

FUZZED: Final = 10_000
LIMIT: Final = 65_536
EVENTS: Final = {str(each): each for each in (UUID(int=number) for number in range(100))}
FIRST, SECOND, *_ = EVENTS
#: No answer costs more than so many times what ten thousand hashes do: some milliseconds.
BUDGET: Final = 2


def test_the_named_events_have_failed() -> None:
    """By their ids, in whatever case they are written."""
    body = json.dumps({"failed": [FIRST, SECOND.upper(), FIRST]}).encode()
    assert failed_in(body, EVENTS) == Named(frozenset({EVENTS[FIRST], EVENTS[SECOND]}), 0)


def test_what_is_no_event_of_the_batch_is_counted() -> None:
    """Whatever it is, it fails nothing, and the others count all the same."""
    body = json.dumps({"failed": [str(uuid4()), 1, None, {"id": FIRST}, [FIRST], "", FIRST]}).encode()
    assert failed_in(body, EVENTS) == Named(frozenset({EVENTS[FIRST]}), 6)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"failed",
        b"{}",
        b"null",
        b"[]",
        b'"failed"',
        b'["failed"]',
        b'{"failed":null}',
        b'{"failed":true}',
        b'{"failed":"all"}',
        b'{"failed":{}}',
        b'{"failed":[]}',
        b'{"result":{"failed":["%s"]}}' % FIRST.encode(),
        b'{"failed":["%s"]' % FIRST.encode(),
        b'{"failed":["%s"]}}' % FIRST.encode(),
        b'\xff{"failed":["%s"]}' % FIRST.encode(),
        b'{"failed":' + b"[" * 60_000,
        b'{"failed":' * 6_000,
    ],
    ids=lambda body: f"{body[:20]!r}, {len(body)} bytes",
)
def test_an_answer_that_names_none_settles_all(body: bytes) -> None:
    """Empty, not JSON, or without a list of that name."""
    assert failed_in(body, EVENTS) == NOTHING


def test_a_name_that_is_written_with_escapes_is_read() -> None:
    """It is JSON as any other."""
    assert failed_in(b'{"\\u0066ailed":["%s"]}' % FIRST.encode(), EVENTS).failed == {EVENTS[FIRST]}


def test_ten_thousand_fuzzed_answers_raise_nothing_and_cost_little() -> None:
    """Cut, flipped, doubled, spliced, nested and endless ones: each is read within its budget."""
    chance = random.Random(5)
    slowest: tuple[float, bytes] = (0.0, b"")
    named = 0
    for _ in range(FUZZED):
        body = an_answer(chance)
        began = time.thread_time()
        found = failed_in(body, EVENTS)
        slowest = max(slowest, (time.thread_time() - began, body), key=itemgetter(0))
        named += bool(found.failed)
        assert found.failed <= set(EVENTS.values())
    # Again, beside other work of the same size: one measurement among ten thousand says more of the machine.
    assert cost(lambda: failed_in(slowest[1], EVENTS)) < BUDGET * cost(hashes)
    assert FUZZED // 20 < named < FUZZED


@pytest.mark.parametrize(
    "body",
    [
        b'{"failed":[' + b"9" * 65_000 + b"]}",
        b'{"failed":[' + b"1," * 32_000 + b"1]}",
        b'{"failed":["' + b"A" * 65_000 + b'"]}',
        b'{"failed":[' + b'"",' * 21_000 + b'""]}',
        b'{"failed":[' + b"[" * 32_000 + b"]" * 32_000 + b"]}",
        b'{"failed":[1e' + b"9" * 65_000 + b"]}",
        b'{"failed":["' + b"\\u0000" * 10_000 + b'"]}',
        b'{"failed":[]' + b',"failed":[]' * 5_000 + b"}",
    ],
    ids=["digits", "numbers", "a long text", "many texts", "nested", "exponent", "escapes", "doubled"],
)
def test_the_worst_of_64_kib_cost_little(body: bytes) -> None:
    """Nothing that parsers are slow at makes an answer dear."""
    assert cost(lambda: failed_in(body[:LIMIT], EVENTS)) < BUDGET * cost(hashes)


def an_answer(chance: random.Random) -> bytes:
    """Return an answer, with something done to it, at several places maybe."""
    ids = chance.sample(list(EVENTS), chance.randrange(20))
    whole: list[object] = [*ids, *chance.sample([1, None, "x", [], {}, 1e300, str(uuid4())], chance.randrange(4))]
    body = bytearray(json.dumps({"failed": whole, "note": "\u2028" * chance.randrange(50)}).encode())
    for _ in range(chance.choice([0, 0, 1, 2, 10])):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0:
                del body[at:]
            case 1:
                body[at:at] = chance.randbytes(chance.randrange(9))
            case 2:
                body[at:at] = body[: chance.randrange(len(body) + 1)]
            case 3:
                body[at:at] = chance.choice([b"[", b"{", b'"', b"\\", b"9"]) * chance.randrange(30_000)
            case _:
                body[at : at + 1] = chance.choice([b"", b",", b"]", b"}", b"\xff", b"\x00", b"NaN"])
    return bytes(body[:LIMIT])


def hashes() -> None:
    """Do the work that answers are held against."""
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10_000)


def cost(work: Callable[[], object]) -> float:
    """Return the processor time that it takes, in seconds, where nothing else is in its way."""

    def once() -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    return min(once() for _ in range(5))

"""No secret is anywhere: canaries go through the whole system, and are looked for wherever anybody can look.

What each place shows of the work is looked for by the same search. So a place that was not read, or was read in a form
in which nothing could be found, fails too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.key_pairs import public_key
from noteflow_hooks.signing import verify_signature, verify_standard
from tests.support.canary_run import CanaryRun
from tests.support.canary_secrets import CanarySecret, found

if TYPE_CHECKING:
    from tests.support.receiver_connection import ReceivedRequest

#: Where an endpoint's owner, or the operator, sees its URL, which is no secret to him.
OWNERS: Final = ("tables", "answers", "commands")
PLACES: Final = (*OWNERS, "logs", "queues", "monitor", "inspect", "flower", "process list")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> CanaryRun:
    """A run, and all that was seen of it."""
    made = CanaryRun(tmp_path_factory.mktemp("canary"))
    made.go()
    return made


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_to_be_seen(done: CanaryRun, place: str) -> None:
    """No secret, header value, token, key or password, as it is or written in another form."""
    assert found(done.secrets.everywhere, done.seen[place]) == set()


@pytest.mark.parametrize("place", [each for each in PLACES if each not in OWNERS])
def test_no_path_or_query_is_to_be_seen(done: CanaryRun, place: str) -> None:
    """Many put a credential there; logs name the host, and messages name ids."""
    assert found(done.secrets.of_urls, done.seen[place]) == set()


@pytest.mark.parametrize("place", PLACES)
def test_the_search_sees_what_is_there(done: CanaryRun, place: str) -> None:
    """The same search finds a delivery in each place, where that shows one."""
    shown = {"inspect": done.waiting_id, "process list": "workers.app worker"}.get(place, done.delivery_id)
    assert found([CanarySecret.of("shown", shown)], done.seen[place])


def test_the_logs_tell_of_every_fault(done: CanaryRun) -> None:
    """Tracebacks of the server's and of a worker's included, so that what they quote was looked at."""
    for said in (
        b"HTTP 500",
        b"Request timed out",
        b"TLS error",
        b"No key decrypts",
        b"DEBUG",
        b"Traceback",
        b"a call failed for a reason of our own",
        b"could not be stored",
        b"violates check constraint",
    ):
        assert said in done.seen["logs"]


def test_the_endpoints_got_what_nobody_else_sees(done: CanaryRun) -> None:
    """Path, query, header values, and signatures by each secret: the canaries were in use all the time."""
    sent = "\n".join(f"{each.target} {each.headers}" for each in done.requests).encode()
    headers = [*done.secrets.headers.values(), *done.secrets.later_headers.values()]
    for canary in (*done.secrets.of_urls, *(CanarySecret.of("header", each) for each in headers)):
        assert canary.found_in(sent), canary.name
    assert len(done.delivered_keys) == 3
    for secret in (*done.secrets.of_endpoints, *map(public_key, done.delivered_keys)):
        assert any(is_signed(each, secret) for each in done.requests)


def is_signed(request: ReceivedRequest, secret: str) -> bool:
    """Tell whether the secret signs it, as the newest or as the one before."""
    newest = verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", secret)
    return newest or verify_standard(request.body, dict(request.headers), secret)


def test_what_an_endpoint_echoes_is_kept_without_its_credentials(done: CanaryRun) -> None:
    """Each attempt's answer is on record, with marks where headers and secrets stood."""
    assert done.echoed == {"[redacted]\n[redacted]\n[redacted]\nwhsec_[redacted]"}


def test_what_a_chat_echoes_is_kept_without_its_url(done: CanaryRun) -> None:
    """The host is left, which is no secret, and the words of the path that are the vendor's own."""
    assert done.echoed_by_chat is not None
    assert "[redacted]" in done.echoed_by_chat
    assert done.echoed_by_chat.startswith("https://127.0.0.1:")

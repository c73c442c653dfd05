"""Names whose answers change between look-ups: what is dialled is what was checked, and a canary inside stays unseen.

The canary stands for an address inside: it listens where the names lead as soon as they are no longer public, on the
same port as the receiver, with a certificate for the same names. It has counted a connection only if a rule is broken.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from noteflow_hooks.domain.webhooks import WebhookConfig

NAMES: Final = ("receiver.example", "other.example")
#: Stands for a public address: the only one that the policy here permits.
OUTSIDE: Final = "127.0.0.1"
INSIDE: Final = "127.0.0.9"
CLOSES: Final = Answer(headers=(("Connection", "close"),))
PERMITTED: Final = (None, ErrorKind.ADDRESS_NOT_ALLOWED)


class Rebinding:
    """A name server whose answer to each look-up is the next one, over and over, whoever asks."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = cycle(answers)
        self._lock = threading.Lock()
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        with self._lock:
            self.asked.append(host)
            return next(self._answers)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(tls=True, names=NAMES) as running:
        yield running


@pytest.fixture
def canary(receiver: Receiver) -> Iterator[Receiver]:
    """The canary; at the test's end nobody has been there."""
    try:
        listening = Receiver(tls=True, names=NAMES, host=INSIDE, port=receiver.port)
    except OSError as error:
        pytest.skip(f"{INSIDE} is no address of this machine: {error}")
    with listening:
        yield listening
        assert listening.connections == 0


def an_executor(names: Rebinding, *, resolve_cache_s: float = 0.0) -> WebhookExecutor:
    egress = EgressPolicy(allow=[f"{OUTSIDE}/32"], lookup=names, resolve_cache_s=resolve_cache_s)
    # For whose kept connections no time passes, however long a test takes.
    return WebhookExecutor(egress, ca_bundle=authority_pem(), monotonic=lambda: 0.0)


def outcomes(executor: WebhookExecutor, webhooks: Iterable[WebhookConfig]) -> list[ErrorKind | None]:
    """Post to each in turn, and return what went wrong."""
    kinds = [executor.post(Claim(a_delivery(), webhook, b"{}")).error_kind for webhook in webhooks]
    executor.close()
    return kinds


@pytest.mark.usefixtures("canary")
def test_a_name_that_turns_inside_is_refused_at_its_next_dial(receiver: Receiver) -> None:
    """Public first and private next: the first attempt is delivered, and the second one dials nothing."""
    receiver.script("/", CLOSES)
    names = Rebinding([OUTSIDE], [INSIDE])
    webhook = a_webhook(url=receiver.url(host=NAMES[0]))
    assert outcomes(an_executor(names), [webhook] * 6) == [None, ErrorKind.ADDRESS_NOT_ALLOWED] * 3
    assert receiver.connections == 3
    assert names.asked == [NAMES[0]] * 6


@pytest.mark.usefixtures("canary")
def test_while_an_answer_is_kept_a_name_that_turns_inside_leads_where_it_led(receiver: Receiver) -> None:
    """New connections go to the address that was checked; nobody asks what the name says meanwhile."""
    receiver.script("/", CLOSES)
    names = Rebinding([OUTSIDE], [INSIDE])
    webhook = a_webhook(url=receiver.url(host=NAMES[0]))
    assert outcomes(an_executor(names, resolve_cache_s=3600), [webhook] * 6) == [None] * 6
    assert receiver.connections == 6
    assert names.asked == [NAMES[0]]


@pytest.mark.usefixtures("canary")
def test_after_a_dial_that_failed_the_name_is_asked_and_checked_anew(receiver: Receiver) -> None:
    """The receiver has gone from its address, and the name's next answer, which leads inside, is refused."""
    names = Rebinding([OUTSIDE], [INSIDE])
    executor = an_executor(names, resolve_cache_s=3600)
    there = a_webhook(url=receiver.url(host=NAMES[0]))
    gone = a_webhook(url=f"https://{NAMES[0]}:{receiver.port ^ 1}/")
    assert outcomes(executor, [gone, there]) == [ErrorKind.CONNECT, ErrorKind.ADDRESS_NOT_ALLOWED]
    assert receiver.connections == 0
    assert names.asked == [NAMES[0]] * 2


@pytest.mark.usefixtures("canary")
def test_a_dial_rests_on_one_look_up(receiver: Receiver) -> None:
    """Between check and dial, and from one address to the next one, the name is not asked again."""
    names = Rebinding(["127.0.0.1"], [INSIDE])
    egress = EgressPolicy(allow=["127.0.0.0/29"], lookup=Rebinding(["127.0.0.2", "127.0.0.3", OUTSIDE], [INSIDE]))
    webhook = a_webhook(url=receiver.url(host=NAMES[0]))
    assert outcomes(an_executor(names), [webhook]) == [None]
    assert outcomes(WebhookExecutor(egress, ca_bundle=authority_pem()), [webhook]) == [None]
    assert names.asked == [NAMES[0]]
    assert receiver.connections == 2


@pytest.mark.usefixtures("canary")
def test_a_mixed_answer_is_refused_whole_each_time_it_comes(receiver: Receiver) -> None:
    """Public, mixed either way, private, mapped and public again: only the purely public answers are dialled."""
    receiver.script("/", CLOSES)
    answers = [[OUTSIDE], [OUTSIDE, INSIDE], [INSIDE, OUTSIDE], [INSIDE], [f"::ffff:{INSIDE}"], [OUTSIDE, OUTSIDE]]
    kinds = outcomes(an_executor(Rebinding(*answers)), [a_webhook(url=receiver.url(host=NAMES[0]))] * 6)
    assert kinds == [None, *[ErrorKind.ADDRESS_NOT_ALLOWED] * 4, None]
    assert len(receiver.requests) == 2


@pytest.mark.usefixtures("canary")
def test_a_kept_connection_goes_on_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """It is not looked up again, so an answer that has changed meanwhile changes nothing."""
    names = Rebinding([OUTSIDE], [INSIDE])
    assert outcomes(an_executor(names), [a_webhook(url=receiver.url(host=NAMES[0]))] * 3) == [None] * 3
    assert [each.connection for each in receiver.requests] == [1, 1, 1]
    assert names.asked == [NAMES[0]]


@pytest.mark.usefixtures("canary")
def test_a_kept_connection_that_has_ended_is_replaced_by_a_checked_one(receiver: Receiver) -> None:
    """When the other side has closed it, the new dial is looked up and checked anew."""
    receiver.script("/", Answer(), CLOSES)
    names = Rebinding([OUTSIDE], [INSIDE])
    webhook = a_webhook(url=receiver.url(host=NAMES[0]))
    assert outcomes(an_executor(names), [webhook] * 3) == [None, None, ErrorKind.ADDRESS_NOT_ALLOWED]
    assert names.asked == [NAMES[0]] * 2


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("change", ["host", "port", "webhook"])
def test_a_kept_connection_is_not_used_for_another_place(receiver: Receiver, change: str) -> None:
    """Once the webhook's URL names another host or port, or for another webhook, there is a new look-up and check."""
    names = Rebinding([OUTSIDE], [INSIDE])
    before = a_webhook(url=receiver.url("/before", host=NAMES[0]))
    after = {
        "host": replace(before, url=receiver.url("/after", host=NAMES[1])),
        "port": replace(before, url=f"https://{NAMES[0]}:{receiver.port ^ 1}/after"),
        "webhook": a_webhook(url=before.url),
    }[change]
    assert outcomes(an_executor(names), [before, after]) == [None, ErrorKind.ADDRESS_NOT_ALLOWED]
    assert [each.path for each in receiver.requests] == ["/before"]
    assert len(names.asked) == 2


@pytest.mark.usefixtures("canary")
def test_a_new_path_of_the_same_place_goes_over_the_kept_connection(receiver: Receiver) -> None:
    """Nothing is dialled, so nothing needs a check; the request has the new path."""
    names = Rebinding([OUTSIDE], [INSIDE])
    before = a_webhook(url=receiver.url("/before", host=NAMES[0]))
    after = replace(before, url=receiver.url("/after", host=NAMES[0]))
    assert outcomes(an_executor(names), [before, after]) == [None, None]
    assert [(each.path, each.connection) for each in receiver.requests] == [("/before", 1), ("/after", 1)]


@pytest.mark.usefixtures("canary")
def test_attempts_that_share_a_look_up_share_its_answer_and_the_next_one_asks_anew(receiver: Receiver) -> None:
    """Two attempts at once ask once; whoever comes after the answer gets, and has checked, an answer of its own."""
    is_asked, may_answer = threading.Event(), threading.Event()
    names = Rebinding([OUTSIDE], [INSIDE])

    def slow(host: str) -> Sequence[str]:
        answer = names(host)
        is_asked.set()
        assert may_answer.wait(PATIENCE_S)
        return answer

    egress = EgressPolicy(allow=[f"{OUTSIDE}/32"], lookup=slow)
    executor = WebhookExecutor(egress, ca_bundle=authority_pem())
    url = receiver.url(host=NAMES[0])
    with ThreadPoolExecutor(1) as threads:
        patient = threads.submit(executor.post, Claim(a_delivery(), a_webhook(url=url, timeout_ms=60_000), b"{}"))
        assert is_asked.wait(PATIENCE_S)
        hasty = executor.post(Claim(a_delivery(), a_webhook(url=url, timeout_ms=100), b"{}"))
        assert hasty.error_kind is ErrorKind.DNS
        assert names.asked == [NAMES[0]]
        may_answer.set()
        assert patient.result().succeeded
    assert outcomes(executor, [a_webhook(url=url)]) == [ErrorKind.ADDRESS_NOT_ALLOWED]
    assert names.asked == [NAMES[0]] * 2


@pytest.mark.usefixtures("canary")
def test_no_timing_leads_inside(receiver: Receiver) -> None:
    """Eight threads, two names, an answer that turns at every look-up: each POST is delivered outside or refused."""
    receiver.script("/", CLOSES)
    executor = an_executor(Rebinding([OUTSIDE], [INSIDE], [OUTSIDE, INSIDE], [OUTSIDE], [f"::ffff:{INSIDE}"]))
    claims = [Claim(a_delivery(), a_webhook(url=receiver.url(host=NAMES[n % 2])), b"{}") for n in range(80)]
    with ThreadPoolExecutor(8) as threads:
        kinds = [result.error_kind for result in threads.map(executor.post, claims)]
    executor.close()
    assert set(kinds) == set(PERMITTED)
    assert len(receiver.requests) == kinds.count(None)


def test_the_canary_would_be_seen(receiver: Receiver) -> None:
    """Where the operator permits its address, the same change of answers does reach it."""
    names = Rebinding([OUTSIDE], [INSIDE])
    receiver.script("/", CLOSES)
    try:
        canary = Receiver(tls=True, names=NAMES, host=INSIDE, port=receiver.port)
    except OSError as error:
        pytest.skip(f"{INSIDE} is no address of this machine: {error}")
    with canary:
        egress = EgressPolicy(allow=[f"{OUTSIDE}/32", f"{INSIDE}/32"], lookup=names)
        executor = WebhookExecutor(egress, ca_bundle=authority_pem())
        assert outcomes(executor, [a_webhook(url=receiver.url(host=NAMES[0]))] * 2) == [None, None]
        assert (receiver.connections, len(canary.requests)) == (1, 1)

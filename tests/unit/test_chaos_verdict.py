"""The verdict on ledgers of a few lines: what is lost, what was sent twice and why, and each way to be red."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.endpoints import Endpoint
from tests.chaos.evidence import OVERSTAY_S, Evidence
from tests.chaos.figures import ROWS
from tests.chaos.ledgers import Accepted, Fault, Ledgers, Post
from tests.chaos.options import Kind
from tests.chaos.report import report
from tests.chaos.script import Did, kept
from tests.chaos.tables import Attempt, Delivery, Tables
from tests.chaos.verdict import judge
from tests.chaos.violations import Broken

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/first"
PAIR = ("e1", PATH)


def accepted(event_id: str = "e1") -> Accepted:
    number = int(event_id[1:])
    return Accepted(f"key of {event_id}", event_id, 0.0, 1, number, meeting_id="m", sequence=place(event_id))


def place(event_id: str) -> int:
    """Return an event's place in its meeting: e1 and e10 are the first of one."""
    return int(event_id[1:]) % 9


def posts(*did: Did, event_id: str = "e1", path: str = PATH) -> list[Post]:
    """Make a pair's POSTs, a second apart from the first second on."""
    one = Post(
        event_id,
        path,
        1,
        1.0,
        1.0,
        Did.ANSWERED,
        f"delivery of {event_id}",
        is_signed=True,
        webhook_id=event_id,
        digest=f"digest of {event_id}",
        sequence=place(event_id),
    )
    return [
        replace(one, nth=nth, at=float(nth), clock_at=float(nth), did=each) for nth, each in enumerate(did, start=1)
    ]


def ledgers(came: Sequence[Post], *faults: Fault, events: Sequence[str] = ("e1",)) -> Ledgers:
    return Ledgers([accepted(each) for each in events], list(came), list(faults), (Endpoint(PATH),))


def a_kill(at: float, *, kind: Kind = Kind.WORKER) -> Fault:
    return Fault(kind, at, frozenset({PAIR}))


def broken(given: Ledgers) -> set[Broken]:
    return {each.broken for each in judge(given).violations}


@pytest.mark.parametrize(
    "did",
    [
        [Did.ANSWERED],
        [Did.FAILED, Did.ANSWERED],
        [Did.FAILED, Did.FAILED, Did.ANSWERED],
        [Did.RESET, Did.ANSWERED],
        [Did.HUNG, Did.RESET, Did.ANSWERED],
    ],
)
def test_what_arrives_in_the_end_is_green(did: list[Did]) -> None:
    """However often the receiver failed, reset or hung it before."""
    assert broken(ledgers(posts(*did))) == set()


def test_what_follows_a_failure_is_no_duplicate() -> None:
    """The receiver asked for it."""
    assert judge(ledgers(posts(Did.FAILED, Did.ANSWERED))).duplicates == 0


def test_what_follows_silence_is_an_explained_duplicate() -> None:
    """The sender can't know whether the request has arrived; each silence allows one."""
    verdict = judge(ledgers(posts(Did.RESET, Did.HUNG, Did.ANSWERED)))
    assert (verdict.duplicates, verdict.after_silence, verdict.allowed) == (2, 2, 2)


@pytest.mark.parametrize("kind", [Kind.WORKER, Kind.WORKERS, Kind.CHILD])
def test_what_was_in_flight_when_a_worker_died_is_an_explained_duplicate(kind: Kind) -> None:
    """Whether a whole group died or one child of a pool."""
    verdict = judge(ledgers(posts(Did.ANSWERED, Did.ANSWERED), a_kill(1.5, kind=kind)))
    assert (verdict.after_death, verdict.violations) == (1, [])


@pytest.mark.parametrize("kind", [Kind.BROKER, Kind.FROZEN, Kind.DATABASE, Kind.SERVER, Kind.BEAT])
def test_no_other_death_explains_a_duplicate(kind: Kind) -> None:
    """Nobody else makes POSTs."""
    found = broken(ledgers(posts(Did.ANSWERED, Did.ANSWERED), a_kill(1.5, kind=kind)))
    assert found == {Broken.UNEXPLAINED, Broken.TOO_MANY}


def test_a_second_post_of_what_was_answered_is_red() -> None:
    """Nothing died, and nothing was silent."""
    assert Broken.UNEXPLAINED in broken(ledgers(posts(Did.ANSWERED, Did.ANSWERED)))


def test_a_death_after_the_duplicate_explains_nothing() -> None:
    """It comes too late for that."""
    assert broken(ledgers(posts(Did.ANSWERED, Did.ANSWERED), a_kill(2.5))) == {Broken.UNEXPLAINED}


def test_a_death_with_others_in_flight_explains_nothing() -> None:
    """Only what was `sending` at that moment may come again."""
    death = Fault(Kind.WORKER, 1.5, frozenset({("e2", PATH)}))
    assert broken(ledgers(posts(Did.ANSWERED, Did.ANSWERED), death)) == {Broken.UNEXPLAINED}


def test_more_duplicates_than_were_in_flight_are_red() -> None:
    """One death explains each of a storm of POSTs, but not all of them."""
    assert broken(ledgers(posts(*[Did.ANSWERED] * 3), a_kill(1.5))) == {Broken.TOO_MANY}


@pytest.mark.parametrize("did", [[], [Did.FAILED], [Did.RESET], [Did.HUNG]])
def test_what_was_never_answered_200_is_lost(did: list[Did]) -> None:
    """Whether it came and failed, or never came."""
    verdict = judge(ledgers(posts(*did)))
    assert verdict.lost == {PAIR}
    assert {each.broken for each in verdict.violations} == {Broken.LOST}


def test_each_endpoint_is_owed_each_event() -> None:
    """One of two endpoints went without."""
    given = replace(ledgers(posts(Did.ANSWERED)), endpoints=(Endpoint(PATH), Endpoint("/second")))
    assert judge(given).lost == {("e1", "/second")}


def test_a_post_of_what_nobody_accepted_is_red() -> None:
    """As where a line of the publisher's ledger is missing."""
    given = ledgers([*posts(Did.ANSWERED), *posts(Did.ANSWERED, event_id="e2")])
    assert broken(given) == {Broken.FOREIGN}


def test_one_delivery_under_two_webhook_ids_is_red() -> None:
    """A receiver could not tell that they are the same."""
    came = [*posts(Did.ANSWERED), *(replace(each, event_id="e2", sequence=2) for each in posts(Did.ANSWERED))]
    assert broken(ledgers(came, events=("e1", "e2"))) == {Broken.MIXED}


def test_a_signature_that_does_not_fit_is_red() -> None:
    """A receiver would have refused the POST."""
    assert broken(ledgers([replace(each, is_signed=False) for each in posts(Did.ANSWERED)])) == {Broken.UNSIGNED}


def test_what_a_filter_holds_back_is_owed_to_nobody_and_foreign_where_it_comes() -> None:
    """Its row says that it was filtered; another's doesn't."""
    filtered = Endpoint("/filtered", {"filter": "..."})
    given = replace(ledgers([], events=("e10", "e11")), endpoints=(filtered,))
    assert given.expected == {("e11", "/filtered")}
    came = posts(Did.ANSWERED, event_id="e10", path="/filtered")
    assert broken(replace(given, posts=came)) == {Broken.LOST, Broken.FOREIGN}
    passed = posts(Did.ANSWERED, event_id="e11", path="/filtered")
    rows = [
        Delivery("delivery of e10", "e10", "/filtered", "skipped", 0, "filtered"),
        Delivery("delivery of e11", "e11", "/filtered", "succeeded", 1, None),
    ]
    sound = Evidence(replace(given, posts=passed), Tables(rows, [an_attempt(passed[0])]))
    assert report(sound).is_green
    unsaid = [replace(rows[0], skip_reason="disabled"), rows[1]]
    assert report(with_tables(sound, deliveries=unsaid)).broken == {Broken.PASSED}


@pytest.mark.parametrize("changes", [{"digest": "another"}, {"webhook_id": "another"}])
def test_another_attempt_with_other_bytes_or_another_id_is_red(changes: dict[str, Any]) -> None:
    """A receiver could not tell that it has had it."""
    first, second = posts(Did.FAILED, Did.ANSWERED)
    assert broken(ledgers([first, replace(second, **changes)])) == {Broken.REMADE}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # The later one came first.
        (posts(Did.ANSWERED), [replace(each, at=0.5) for each in posts(Did.ANSWERED, event_id="e2")]),
        # The earlier one had failed, and was sent again only after the later one.
        (posts(Did.FAILED, Did.ANSWERED), [replace(each, at=1.5) for each in posts(Did.ANSWERED, event_id="e2")]),
    ],
    ids=["overtaken", "overtaken in its wait"],
)
def test_an_event_that_overtakes_its_meeting_is_red_where_order_is_asked_for(
    first: list[Post], second: list[Post]
) -> None:
    """Others promise none."""
    given = ledgers([*first, *second], events=("e1", "e2"))
    assert broken(given) == set()
    assert broken(replace(given, endpoints=(Endpoint(PATH, {"ordering": "per_meeting"}),))) == {Broken.DISORDERED}


def test_a_hole_in_a_meeting_s_sequence_is_red() -> None:
    """An event would be missing, for all that a receiver can tell."""
    came = [*posts(Did.ANSWERED), *posts(Did.ANSWERED, event_id="e3")]
    assert broken(ledgers(came, events=("e1", "e3"))) == {Broken.MISNUMBERED}


def test_a_post_that_names_another_place_than_the_publisher_was_told_is_red() -> None:
    """Both are the row's."""
    assert broken(ledgers([replace(each, sequence=2) for each in posts(Did.ANSWERED)])) == {Broken.MISNUMBERED}


def an_attempt(post: Post, **overrides: Any) -> Attempt:  # noqa: ANN401 - a field's value
    """Make what is to be on record of the POST: begun a little before it arrived, and 100 ms long."""
    told: dict[Did, tuple[int | None, str | None, str | None]] = {
        Did.ANSWERED: (200, kept(post.did, post.nth), None),
        Did.FAILED: (500, kept(post.did, post.nth), "status"),
        Did.RESET: (None, None, "connect"),
        Did.HUNG: (None, None, "timeout"),
    }
    return replace(Attempt(post.delivery_id, post.nth, post.clock_at - 0.01, 100, *told[post.did]), **overrides)


def an_interruption(post: Post) -> Attempt:
    return an_attempt(post, status_code=None, body=None, error_kind="interrupted")


def evidence(came: Sequence[Post], attempts: Sequence[Attempt], *faults: Fault, status: str = "succeeded") -> Evidence:
    """Make the evidence of one delivery."""
    rows = [Delivery("delivery of e1", *PAIR, status, len(attempts), None)]
    return Evidence(ledgers(came, *faults), Tables(rows, list(attempts)))


def well() -> Evidence:
    """Make evidence of every kind of answer, and of a worker's death in mid-POST."""
    came = posts(Did.FAILED, Did.RESET, Did.HUNG, Did.ANSWERED, Did.ANSWERED)
    attempts = [an_interruption(each) if each.nth == 4 else an_attempt(each) for each in came]
    return evidence(came, attempts, a_kill(4.5))


def with_tables(given: Evidence, **changes: Any) -> Evidence:  # noqa: ANN401 - the tables' rows
    return replace(given, tables=replace(given.tables, **changes))


def test_a_record_that_tells_of_each_post_is_green() -> None:
    """Status, error, time and truncated body of each, and the one that a death cut off."""
    assert report(well()).is_green


def test_a_missing_row_is_red() -> None:
    """With it its attempts are nobody's."""
    assert Broken.ROWS in report(with_tables(well(), deliveries=[])).broken


def test_two_rows_of_one_event_for_one_endpoint_are_red() -> None:
    """However well each of them ended."""
    rows = well().tables.deliveries
    assert Broken.ROWS in report(with_tables(well(), deliveries=[*rows, replace(rows[0], id="another")])).broken


def test_a_row_of_what_nobody_accepted_is_red() -> None:
    """However it came there."""
    rows = well().tables.deliveries
    stray = Delivery("another", "e2", PATH, "skipped", 0, "disabled")
    assert report(with_tables(well(), deliveries=[*rows, stray])).broken == {Broken.ROWS}


@pytest.mark.parametrize("status", ["pending", "sending"])
def test_a_row_that_waits_for_ever_is_red(status: str) -> None:
    """Also where the receiver has had all that it was owed."""
    came = posts(Did.ANSWERED)
    assert report(evidence(came, [an_attempt(came[0])], status=status)).broken == {Broken.OPEN}


def test_a_success_that_the_receiver_knows_nothing_of_is_red() -> None:
    """The row says succeeded; no POST of it was answered."""
    made_up = an_attempt(posts(Did.ANSWERED)[0])
    assert report(evidence([], [made_up])).broken == {Broken.LOST, Broken.PHANTOM, Broken.INVENTED}


@pytest.mark.parametrize(
    "changes",
    [
        {"status_code": 201},
        {"body": "another"},
        {"started_at": 60.0},
        {"duration_ms": 0, "started_at": 0.0},
        {"status_code": None, "body": None, "error_kind": "timeout"},
    ],
)
def test_an_attempt_that_tells_another_story_is_red(changes: dict[str, Any]) -> None:
    """Of its status, its body, its time, or of what went wrong."""
    came = posts(Did.ANSWERED)
    assert Broken.UNRECORDED in report(evidence(came, [an_attempt(came[0], **changes)])).broken


def test_one_interrupted_attempt_tells_of_one_post_only() -> None:
    """Two POSTs under one claim would be one too many."""
    came = [replace(each, clock_at=1.0) for each in posts(Did.ANSWERED, Did.ANSWERED)]
    found = report(evidence(came, [an_interruption(came[0])], a_kill(1.5))).broken
    assert found == {Broken.UNRECORDED}


def a_redial(*dids: Did, **changes: Any) -> Evidence:  # noqa: ANN401 - an attempt's fields
    """Make the evidence of two POSTs that came at once, and of one attempt that tells of the second."""
    first, second = (replace(each, clock_at=1.0) for each in posts(*dids))
    return evidence([first, second], [an_attempt(second, number=1, **changes)])


def test_a_redialled_attempt_tells_of_a_reset_and_of_what_came_after_it() -> None:
    """Two receipts, one attempt."""
    assert report(a_redial(Did.RESET, Did.ANSWERED, redialled=True)).is_green


@pytest.mark.parametrize("later", [Did.ANSWERED, Did.HUNG])
def test_an_attempt_that_a_crash_cut_off_may_have_been_dialled_anew_before(later: Did) -> None:
    """The worker died after the second POST, so that nothing on record says of the first one's connection."""
    cut_off = {"status_code": None, "error_kind": "interrupted", "body": None}
    came = [replace(each, clock_at=1.0) for each in posts(Did.RESET, later, Did.ANSWERED)]
    came[2] = replace(came[2], clock_at=9.0)
    attempts = [an_attempt(came[1], number=1, **cut_off), an_attempt(came[2], number=2)]
    assert Broken.UNRECORDED not in report(evidence(came, attempts)).broken


@pytest.mark.parametrize(
    ("dids", "changes"),
    [
        # Sent twice, and not said so.
        ((Did.RESET, Did.ANSWERED), {}),
        # Only a connection that ended is dialled anew.
        ((Did.HUNG, Did.ANSWERED), {"redialled": True}),
        ((Did.FAILED, Did.ANSWERED), {"redialled": True}),
    ],
)
def test_an_attempt_that_may_not_have_been_redialled_tells_of_one_post(
    dids: tuple[Did, Did], changes: dict[str, Any]
) -> None:
    """The other one is nowhere on record."""
    assert report(a_redial(*dids, **changes)).broken == {Broken.UNRECORDED}


def test_a_redialled_attempt_tells_of_two_posts_at_the_most() -> None:
    """A third one under the same attempt would be one too many."""
    came = [replace(each, clock_at=1.0) for each in posts(Did.RESET, Did.RESET, Did.ANSWERED)]
    found = report(evidence(came, [an_attempt(came[2], number=1, redialled=True)])).broken
    assert found == {Broken.UNRECORDED}


def test_attempts_that_are_not_numbered_through_are_red() -> None:
    """One of them was lost, or counted twice."""
    came = posts(Did.ANSWERED)
    assert report(evidence(came, [an_attempt(came[0], number=2)])).broken == {Broken.MISCOUNTED}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"overstay_s": OVERSTAY_S + 1}, Broken.OVERSTAYED),
        ({"overstay_s": 3 * OVERSTAY_S, "stretch": 2.0}, Broken.OVERSTAYED),
        ({"left_by_sweeps": 1}, Broken.OVERSTAYED),
        ({"figures": {ROWS: {"events": 2}, "GetStats": {"events": 1}}}, Broken.FIGURES),
        ({"figures": {ROWS: {}, "the exporter": {"dead: timeout": 1}}}, Broken.FIGURES),
        ({"leaks": frozenset({"the token, as it is"})}, Broken.LEAKED),
        ({"refusals": ["event-1: INTERNAL"]}, Broken.REFUSED),
        ({"deaths": ["worker-1"]}, Broken.DIED),
    ],
)
def test_what_else_was_seen_is_red(changes: dict[str, Any], expected: Broken) -> None:
    """A lease held too long, a secret in a log, a wrong answer to a publisher, a process that ended by itself."""
    assert report(replace(well(), **changes)).broken == {expected}


def test_recovery_is_the_time_to_the_last_arrival_of_what_was_on_its_way() -> None:
    """What was accepted later, had arrived before, or was held up by the receiver itself, does not count."""
    failed = [replace(each, at=8.0) for each in posts(Did.FAILED, Did.ANSWERED, event_id="e3")]
    came = [*posts(Did.ANSWERED), *(replace(each, at=4.0) for each in posts(Did.ANSWERED, event_id="e2")), *failed]
    late = replace(accepted("e4"), at=3.0)
    given = ledgers([*came, *(replace(each, at=9.0) for each in posts(Did.ANSWERED, event_id="e4"))])
    given = replace(given, accepted=[*map(accepted, ("e1", "e2", "e3")), late], faults=[Fault(Kind.BEAT, 2.5)])
    [recovery] = report(Evidence(given, Tables([], []))).recoveries
    assert (recovery.kind, recovery.faults, recovery.max_s) == (Kind.BEAT, 1, 1.5)

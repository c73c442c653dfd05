"""What `doctor` makes of what it finds: each check's verdict, and what becomes of checks that can't be made."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from noteflow_hooks import __version__
from noteflow_hooks.broker.names import QUEUES
from noteflow_hooks.cli.doctor import broker, database, endpoints, flow, place
from noteflow_hooks.cli.doctor.examination import examine
from noteflow_hooks.cli.doctor.findings import Check, State, Verdict, looked, ok, seconds
from noteflow_hooks.cli.doctor.place import Place
from noteflow_hooks.concurrency.identity import Process
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.maintenance.diagnostics import MOST, Sample, Server, Unverified, Waiting
from noteflow_hooks.persistence.sql.maintenance.system_diagnostics import Endpoints
from noteflow_hooks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SERVER: Final = Server(
    version=18,
    full_version="18.1",
    read_only=False,
    fsync=True,
    full_page_writes=True,
    synchronous_commit="on",
    waits_for_standbys=False,
    standbys=0,
    connections=10,
    max_connections=100,
)
KEY_OF_ONE: Final = uuid4()
KNOWN: Final = ("0001", "0002", "0003")
EVERY: Final = timedelta(seconds=5)
OK, WARNING, FAILED = State


def assert_told(verdict: Verdict, state: State, found: str) -> None:
    """Expect that state, these words, and advice where something is not well."""
    assert verdict.state is state, verdict
    assert found in verdict.found
    assert (verdict.advice is None) == (state is OK)


@pytest.mark.parametrize(
    ("major", "state"), [(14, FAILED), (15, OK), (16, OK), (17, OK), (18, OK), (19, WARNING), (9, FAILED)]
)
def test_postgresql_15_to_18_is_what_it_takes(major: int, state: State) -> None:
    """An older one lacks something; a newer one may do."""
    server = replace(SERVER, version=major, full_version=f"{major}.1")
    assert_told(database.version(server), state, f"PostgreSQL {major}.1")


@pytest.mark.parametrize(
    ("change", "state", "found"),
    [
        ({}, OK, "fsync, full_page_writes on, synchronous_commit on"),
        ({"fsync": False}, FAILED, "fsync off"),
        ({"full_page_writes": False}, FAILED, "full_page_writes off"),
        ({"synchronous_commit": "off"}, FAILED, "synchronous_commit off"),
        ({"fsync": False, "synchronous_commit": "off"}, FAILED, "fsync, synchronous_commit off"),
        ({"synchronous_commit": "local"}, OK, "synchronous_commit local"),
        ({"standbys": 2}, WARNING, "no commit waits for any of 2 standbys"),
        ({"standbys": 1, "waits_for_standbys": True}, OK, "synchronous_commit on"),
        ({"standbys": 1, "waits_for_standbys": True, "synchronous_commit": "remote_write"}, OK, "remote_write"),
        ({"standbys": 1, "waits_for_standbys": True, "synchronous_commit": "local"}, WARNING, "no commit waits"),
        ({"read_only": True}, FAILED, "it takes no writes"),
    ],
)
def test_what_was_accepted_must_outlive_a_crash(change: Mapping[str, object], state: State, found: str) -> None:
    """As docs/reliability.md demands it of PostgreSQL."""
    assert_told(database.durability(replace(SERVER, **change)), state, found)  # type: ignore[arg-type]  # as the names say


@pytest.mark.parametrize(("used", "state"), [(89, OK), (90, WARNING), (100, WARNING)])
def test_connections_that_run_out_are_a_warning(used: int, state: State) -> None:
    """Before the next worker finds none."""
    assert_told(database.connections(replace(SERVER, connections=used), {}), state, f"{used} of 100 in use")


@pytest.mark.parametrize(
    ("revision", "state", "found"),
    [
        (None, FAILED, "no tables of ours"),
        ("0002", FAILED, "at 0002, and this release needs 0003"),
        ("0003", OK, "at 0003"),
        ("0004", WARNING, "at 0004, and this release knows none after 0003"),
    ],
)
def test_the_schema_is_this_releases_or_newer(revision: str | None, state: State, found: str) -> None:
    """A newer one serves older workers, an older one nobody."""
    assert_told(database.schema(revision, known=KNOWN), state, found)


@pytest.mark.parametrize(
    ("skew_s", "asking_s", "state"),
    [(0, 0, OK), (29, 0, OK), (-29, 0, OK), (31, 0, WARNING), (-31, 0, WARNING), (31, 4, OK), (600, 4, WARNING)],
)
def test_a_clock_is_off_beyond_thirty_seconds(skew_s: int, asking_s: int, state: State) -> None:
    """What it took to ask is no skew."""
    there = datetime(2026, 1, 1, tzinfo=UTC)
    asked_at = there + timedelta(seconds=skew_s - asking_s / 2)
    moments = iter([asked_at, asked_at + timedelta(seconds=asking_s)])
    assert_told(database.clock(lambda: there, now=lambda: next(moments)), state, "this machine is")


def a_sample(key: str, *, count: int = 1) -> Sample:
    """Return a ciphertext under that key."""
    webhook_id = uuid4()
    sealed = SecretBox(parse_keys(key)).encrypt("secret", webhook_id=webhook_id, column="secret")
    return Sample(count, webhook_id, "secret", sealed)


def test_keys_open_what_is_stored_or_are_missing() -> None:
    """A missing one is told of by its name; a ciphertext that was moved to another row is a warning."""
    old, new = generate_key(), generate_key()
    box = SecretBox(parse_keys(f"{new},{old}"))
    samples = [a_sample(old, count=3), a_sample(new, count=2)]
    assert_told(database.keys([], box=box), OK, "no secret is stored")
    assert_told(database.keys(samples, box=box), WARNING, "3 of 5 secrets are still under older keys")
    assert_told(database.keys(samples[1:], box=box), OK, "2 secrets under 1 of 2 keys")
    [lost] = SecretBox(parse_keys(old)).key_ids
    assert_told(database.keys(samples, box=SecretBox(parse_keys(new))), FAILED, f"3 of 5 secrets are under key {lost}")
    moved = replace(samples[0], webhook_id=uuid4())
    assert_told(database.keys([moved, samples[1]], box=box), WARNING, "does not open")


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        ({}, OK),
        ({"failing": 40, "slow": 40, "paused": 10, "disabled": 30}, OK),
        ({"circuit_open": 4}, OK),
        ({"circuit_open": 5}, WARNING),
        ({"circuit_open": 10}, WARNING),
        ({"disabled": 10, "disabled_today": 10}, WARNING),
    ],
    ids=str,
)
def test_many_endpoints_in_trouble_are_a_warning_with_the_figures(trouble: Mapping[str, int], state: State) -> None:
    """Of a hundred some are always down; a twentieth at once has a cause that somebody should look for."""
    none = {"circuit_open": 0, "failing": 0, "slow": 0, "paused": 0, "disabled": 0, "disabled_today": 0}
    found = endpoints.endpoints(Endpoints(100, **{**none, **trouble}, named=[KEY_OF_ONE]))
    assert_told(found, state, "100 enabled")
    assert found.numbers == {"enabled": 100, **none, **trouble}
    assert (str(KEY_OF_ONE) in found.found) == (state is WARNING)


@pytest.mark.parametrize(
    ("days", "own_days", "state"),
    [
        ((90,), 90, OK),
        ((90,), None, OK),
        ((), 3, WARNING),
        ((90, 3), 90, WARNING),
        ((-1,), None, WARNING),
        ((), -1, FAILED),
    ],
)
def test_certificates_that_end_are_told_of(days: Sequence[int], own_days: int | None, state: State) -> None:
    """Endpoints' own are a warning, and so is the server's; once that has ended nobody calls it any more."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ends = {uuid4(): now + timedelta(days=each) for each in days}
    own = None if own_days is None else now + timedelta(days=own_days)
    assert_told(endpoints.certificates(ends, own=own, now=now), state, f"certificates of {len(days)} endpoints")


def test_another_release_than_the_others_is_a_warning() -> None:
    """By what the connections say; a command of another release counts for nothing."""
    same, other = Process(__version__, "server", ""), Process("0.0.9", "worker", "celery@a")
    assert_told(database.releases({}), OK, "nobody else is connected")
    assert_told(database.releases({same: 3, other._replace(kind="cli"): 1}), OK, f"1 of {__version__}")
    assert_told(database.releases({same: 3, other: 2}), WARNING, f"1 of 0.0.9, 1 of {__version__}")
    assert_told(database.releases({other: 2}), WARNING, "1 of 0.0.9")


def test_a_pooler_that_the_setting_names_has_to_be_there() -> None:
    """One that it does not name is refused before."""
    assert_told(database.pooler(expected=False, found=False), OK, "none")
    assert_told(database.pooler(expected=True, found=True), OK, "as POSTGRES_POOLER says")
    assert_told(database.pooler(expected=True, found=False), WARNING, "nothing pools")


def test_a_worker_that_is_connected_and_does_not_answer_is_named() -> None:
    """A warning while others take from all queues; without any that answers it has failed."""
    taken = {"a@h": QUEUES}
    assert_told(broker.workers(taken, {"a@h"}), OK, "1 worker answers (a@h)")
    assert_told(broker.workers(taken, {"a@h", "b@h"}), WARNING, "connected and silent: b@h")
    assert_told(broker.workers({}, {"b@h"}), FAILED, "connected and silent: b@h")
    assert broker.workers(taken, {"a@h", "b@h"}).numbers == {"answer": 1, "silent": 1}


@pytest.mark.parametrize(
    ("every_s", "age_s", "state"),
    [(0.2, 14.9, OK), (0.2, 15.1, FAILED), (5, 14.9, OK), (5, 15.1, FAILED), (60, 179, OK), (60, 181, FAILED)],
)
def test_relay_and_sweep_may_miss_two_periods_or_fifteen_seconds(every_s: float, age_s: float, state: State) -> None:
    """So that a beat or sweeper that died is seen within half a minute, and one that starts again is not."""
    verdict = flow.last_run(timedelta(seconds=age_s), every=timedelta(seconds=every_s))
    assert_told(verdict, state, f"ago, and should every {every_s:.{0 if every_s >= 10 else 1}f} s")


def test_a_task_that_never_ran_has_failed() -> None:
    """It says so, and when the first time is due."""
    verdict = flow.last_run(None, every=EVERY)
    assert_told(verdict, FAILED, "has never run to its end")
    assert "the first time is 5.0 s after" in (verdict.advice or "")


@pytest.mark.parametrize(
    ("longest_s", "late_s", "state"),
    [(None, 20, OK), (19, 20, OK), (21, 20, WARNING), (299, 20, WARNING), (301, 20, FAILED), (301, 400, OK)],
)
def test_what_waits_is_late_first_and_then_stuck(longest_s: int | None, late_s: int, state: State) -> None:
    """Late is what relay and sweep should have found; stuck is what has waited for five minutes besides."""
    longest = None if longest_s is None else timedelta(seconds=longest_s)
    verdict = flow.waits(Waiting(0 if longest is None else 7, longest), "events", late=timedelta(seconds=late_s))
    assert_told(verdict, state, "events: 0" if longest is None else "events: 7, the first for")


@pytest.mark.parametrize(
    ("hours", "state"), [((), State.OK), ((0.9,), State.OK), ((1.1, 0.5), State.WARNING), ((9,) * 5, State.WARNING)]
)
def test_endpoints_that_owe_an_answer_for_an_hour_are_named(hours: tuple[float, ...], state: State) -> None:
    """The first three of them, and how many more there are."""
    waiting = [Unverified(uuid4(), timedelta(hours=each)) for each in hours]
    verdict = flow.unverified(waiting)
    assert verdict.state is state
    assert verdict.found.startswith(f"endpoints not verified: {len(hours)}")
    named = [each for each in waiting if str(each.webhook_id) in verdict.found]
    assert named == [each for each in waiting if each.waits > timedelta(hours=1)][:3]
    assert ("and 2 more" in verdict.found) == (len(hours) == 5)


@pytest.mark.parametrize(("longest_s", "state"), [(None, State.OK), (10, State.WARNING), (301, State.FAILED)])
def test_what_waits_for_a_worker_with_the_extra_is_counted(longest_s: int | None, state: State) -> None:
    """It says what to install; after five minutes that is a failure."""
    longest = None if longest_s is None else timedelta(seconds=longest_s)
    verdict = flow.unjudged(Waiting(0 if longest is None else 7, longest))
    assert verdict.state is state
    assert verdict.found.startswith("deliveries whose filter no worker could evaluate: ")
    assert ("pip install 'noteflow-hooks[filters]'" in str(verdict.advice)) == (longest is not None)


def test_nobody_counts_for_ever() -> None:
    """Beyond ten thousand it says that there are more."""
    verdict = flow.waits(Waiting(MOST, timedelta(seconds=1)), "events", late=EVERY)
    assert_told(verdict, OK, "events: 10000 or more, the first")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"maxmemory": 0, "maxmemory_policy": "noeviction"}, OK),
        ({"maxmemory": 200, "maxmemory_policy": "noeviction"}, OK),
        ({"maxmemory": 125, "maxmemory_policy": "noeviction"}, WARNING),
        ({"maxmemory": 0, "maxmemory_policy": "allkeys-lru"}, WARNING),
        ({}, OK),
    ],
)
def test_a_redis_that_is_nearly_full_or_drops_keys_is_a_warning(told: Mapping[str, object], state: State) -> None:
    """Wake-ups are refused or lost then, which costs time."""
    assert_told(broker.memory({"used_memory": 100, **told}), state, "0.0 MB")


@pytest.mark.parametrize(("length", "state"), [(1_000, OK), (1_001, WARNING)])
def test_a_long_queue_is_a_warning(length: int, state: State) -> None:
    """Our own wake-ups stop long before."""
    assert_told(broker.queues({"dispatch": 0, "maintenance": length}), state, f"dispatch 0, maintenance {length}")


@pytest.mark.parametrize(
    ("taken", "state", "found"),
    [
        ({}, FAILED, "none answers"),
        ({"a": QUEUES}, OK, "1 worker answers (a), and all 4 queues"),
        ({"a": QUEUES[:2], "b": QUEUES[2:]}, OK, "2 workers answer (a, b), and all 4 queues"),
        ({"a": QUEUES[:2]}, FAILED, "none takes from deliver.slow, maintenance"),
        (dict.fromkeys("abcdef", QUEUES), OK, "6 workers answer (a, b, c, d, ...)"),
    ],
)
def test_each_queue_needs_a_worker(taken: Mapping[str, Sequence[str]], state: State, found: str) -> None:
    """One worker may take from all, or several from some each."""
    assert_told(broker.workers(taken), state, found)


def a_check(name: str, look: Callable[[], Verdict], *needs: str) -> Check:
    return Check(name, look, remedy=f"mend {name}", needs=needs)


def raises(error: Exception) -> Callable[[], Verdict]:
    """Return a look that ends so."""

    def look() -> Verdict:
        raise error

    return look


def test_a_check_that_needs_a_broken_one_is_not_made() -> None:
    """It has failed too, and says where to begin; others go on."""
    row = [
        a_check("a", raises(UnavailableError("away", detail="no route\nmore"))),
        a_check("b", raises(KeyError()), "a"),
    ]
    found = examine([[*row, a_check("c", lambda: ok("well"))]])
    assert found == {
        "a": Verdict(FAILED, "no route", "mend a"),
        "b": Verdict(FAILED, "not known", "see to a first"),
        "c": Verdict(OK, "well"),
    }


def test_whatever_a_check_raises_is_a_finding() -> None:
    """With the error's kind, since many say nothing without."""
    found = examine([[a_check("a", raises(ZeroDivisionError("of one\nin two lines")))]])
    assert found == {"a": Verdict(FAILED, "ZeroDivisionError: of one", "mend a")}


def test_a_check_that_hangs_holds_up_nobody() -> None:
    """What was found before it stands, what comes after it is not known, and the other rows are made."""
    released = threading.Event()

    def hang() -> Verdict:
        released.wait(20)
        return ok("too late")

    rows = [
        [a_check("a", lambda: ok("well")), a_check("b", hang), a_check("c", lambda: ok("well"))],
        [a_check("d", lambda: ok("well"))],
    ]
    found = examine(rows, within_s=0.2)
    released.set()
    assert list(found) == ["a", "b", "c", "d"]
    assert [each.state for each in found.values()] == [OK, FAILED, FAILED, OK]
    assert found["b"] == Verdict(FAILED, "no answer within 0.2 s", "mend b")


@pytest.mark.parametrize(
    ("length_s", "said"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (12.3, "12 s"), (119, "119 s"), (180, "3 min"), (9000, "2.5 h"), (1e6, "277.8 h")],
)
def test_lengths_of_time_are_said_as_people_read_them(length_s: float, said: str) -> None:
    """With as many digits as mean something."""
    assert seconds(timedelta(seconds=length_s)) == said


def test_a_variable_that_is_no_setting_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the nearest one: the setting that was meant has its default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", generate_key())
    there = Place(Settings.load(), "the environment's", "127.0.0.1:7", server_is_named=False, own=None)
    assert looked(place.check(there)).state is State.OK
    monkeypatch.setenv(f"{PREFIX}RETRY_CAP", "9")
    assert_told(looked(place.check(there)), State.WARNING, "the nearest is NOTEFLOW_HOOKS_RETRY_CAP_S")

"""The product's tables held against the ledgers: what it has on record is what happened.

Exactly this holds: each POST has an attempt of its delivery that tells what came of it, or an attempt that a crash
interrupted and that was under way when the POST came; no attempt tells of two, but that one which was redialled, or cut
off, may tell of a POST before whose connection was reset; and none has a status that no POST got.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.chaos.script import Did, kept
from tests.chaos.violations import Broken, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.ledgers import Ledgers, Pair, Post
    from tests.chaos.tables import Attempt, Delivery, Tables
    from tests.chaos.violations import Violation

_TERMINAL: Final = frozenset({"succeeded", "dead", "skipped"})
_STATUS: Final = {Did.ANSWERED: (200, None), Did.FAILED: (500, "status")}
#: What a sender may call a connection that ended, or stayed silent, after the whole request.
_SILENCE: Final = {Did.RESET: ("connect", "protocol"), Did.HUNG: ("timeout",)}
_INTERRUPTED: Final = "interrupted"
#: How far the moments of two processes, each noted a little before or after what it stands for, may be apart.
_SLACK_S: Final = 0.25


def reconcile(ledgers: Ledgers, tables: Tables) -> Iterator[Violation]:
    """Yield what the tables have wrong."""
    rows, expected = Counter(each.pair for each in tables.deliveries), Counter(ledgers.expected | ledgers.held_back)
    yield from found(Broken.ROWS, (pair for pair in expected | rows if rows[pair] != expected[pair]))
    yield from found(Broken.OPEN, (each.pair for each in tables.deliveries if each.status not in _TERMINAL))
    answered = {post.pair for post in ledgers.posts if post.did is Did.ANSWERED}
    succeeded = (each for each in tables.deliveries if each.status == "succeeded")
    yield from found(Broken.PHANTOM, (each.pair for each in succeeded if each.pair not in answered))
    yield from found(Broken.PASSED, _passed(ledgers, tables))
    yield from found(Broken.MISCOUNTED, _miscounted(tables))
    yield from _attempts(ledgers, tables)


def _passed(ledgers: Ledgers, tables: Tables) -> Iterator[Pair]:
    """Yield what a filter holds back and is not on record as such, and what is and should not."""
    for each in tables.deliveries:
        if (each.pair in ledgers.held_back) != (each.skip_reason == "filtered"):
            yield each.pair


def _miscounted(tables: Tables) -> Iterator[str]:
    attempts = tables.by_delivery()
    for delivery in tables.deliveries:
        numbers = [each.number for each in attempts.get(delivery.id, [])]
        if numbers != list(range(1, delivery.attempt_count + 1)):
            yield f"{delivery.id} has {numbers} of {delivery.attempt_count}"


def _attempts(ledgers: Ledgers, tables: Tables) -> Iterator[Violation]:
    """Yield POSTs without an attempt, and attempts without a POST."""
    posts, attempts = ledgers.by_pair(), tables.by_delivery()
    unrecorded, invented = [], []
    for delivery in tables.deliveries:
        left = list(attempts.get(delivery.id, []))
        redialled = [each for each in left if each.redialled or each.error_kind == _INTERRUPTED]
        # An attempt that was cut off may have made two POSTs: the later one is told of by it, the reset one beside it.
        came = sorted(posts.get(delivery.pair, []), key=_is_reset)
        untold = [post for post in came if not _taken(post, left)]
        unrecorded += [_told(delivery, post) for post in untold if not _was_redialled(post, redialled)]
        invented += [f"{delivery.id} attempt {each.number}" for each in left if each.status_code is not None]
    yield from found(Broken.UNRECORDED, unrecorded)
    yield from found(Broken.INVENTED, invented)


def _is_reset(post: Post) -> bool:
    return post.did is Did.RESET


def _told(delivery: Delivery, post: Post) -> str:
    return f"{delivery.id} POST {post.nth}, {post.did}"


def _taken(post: Post, left: list[Attempt]) -> bool:
    """Take the attempt that tells of the POST out of those that are left; tell whether there was one."""
    exact = (each for each in left if _tells(each, post))
    cut_off = (
        each for each in left if each.error_kind == _INTERRUPTED and each.covers(post.clock_at, slack_s=_SLACK_S)
    )
    attempt = next(exact, None) or next(cut_off, None)
    if attempt is not None:
        left.remove(attempt)
    return attempt is not None


def _was_redialled(post: Post, redialled: list[Attempt]) -> bool:
    """Take the attempt that the POST was the first of two of; tell whether there was one."""
    if not _is_reset(post):
        return False
    attempt = next((each for each in redialled if each.covers(post.clock_at, slack_s=_SLACK_S)), None)
    if attempt is not None:
        redialled.remove(attempt)
    return attempt is not None


def _tells(attempt: Attempt, post: Post) -> bool:
    """Tell whether the attempt is the POST's: its time, its status or error, and the answer's body as far as kept."""
    if not attempt.covers(post.clock_at, slack_s=_SLACK_S):
        return False
    if post.did in _SILENCE:
        return attempt.status_code is None and attempt.error_kind in _SILENCE[post.did]
    return (attempt.status_code, attempt.error_kind, attempt.body) == (*_STATUS[post.did], kept(post.did, post.nth))

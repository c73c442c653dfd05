"""The verdict, from the ledgers and what was in flight at each death: what was lost, what was sent twice, and why.

A POST is needed where it is its pair's first, or follows one that was answered 500; every other one is a duplicate.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.chaos.options import WORKER_KILLS
from tests.chaos.places import disordered, misnumbered
from tests.chaos.script import UNKNOWN, Did
from tests.chaos.violations import Broken, found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.ledgers import Fault, Ledgers, Pair, Post
    from tests.chaos.violations import Violation


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledgers say."""

    lost: frozenset[Pair]
    foreign: frozenset[Pair]
    #: Sent again after a reset or a POST that hung: the sender can't have known.
    after_silence: int
    #: Sent again after a worker died that may have sent it.
    after_death: int
    unexplained: list[Post]
    #: How many duplicates there may be at the most.
    allowed: int
    violations: list[Violation]

    @property
    def duplicates(self) -> int:
        """How many POSTs were not needed."""
        return self.after_silence + self.after_death + len(self.unexplained)


def judge(ledgers: Ledgers) -> Verdict:
    """Hold the ledgers against each other."""
    answered = {post.pair for post in ledgers.posts if post.did is Did.ANSWERED}
    lost, foreign = ledgers.expected - answered, {post.pair for post in ledgers.posts} - ledgers.expected
    after_silence, after_death, unexplained = _sorted_out(ledgers)
    allowed = sum(len(each.in_flight) for each in ledgers.faults if each.kind in WORKER_KILLS)
    allowed += sum(post.did in UNKNOWN for post in ledgers.posts)
    sent_again = after_silence + after_death + len(unexplained)
    violations = [
        *found(Broken.LOST, lost),
        *found(Broken.FOREIGN, foreign),
        *found(Broken.UNEXPLAINED, (f"{' '.join(post.pair)} POST {post.nth}" for post in unexplained)),
        *found(Broken.TOO_MANY, [f"{sent_again} and not {allowed} at the most"] if sent_again > allowed else []),
        *found(Broken.MIXED, _mixed(ledgers.posts)),
        *found(Broken.REMADE, _remade(ledgers.posts)),
        *found(Broken.DISORDERED, disordered(ledgers)),
        *found(Broken.MISNUMBERED, misnumbered(ledgers)),
        *found(Broken.UNSIGNED, (post.pair for post in ledgers.posts if not post.is_signed)),
    ]
    return Verdict(frozenset(lost), frozenset(foreign), after_silence, after_death, unexplained, allowed, violations)


def _sorted_out(ledgers: Ledgers) -> tuple[int, int, list[Post]]:
    """Return how many duplicates followed silence and death, and those that nothing explains."""
    after_silence, after_death, unexplained = 0, 0, []
    deaths = _deaths(ledgers.faults)
    for posts in ledgers.by_pair().values():
        for earlier, post in _duplicates(posts):
            if any(each.did in UNKNOWN for each in earlier):
                after_silence += 1
            elif any(at <= post.at for at in deaths.get(post.pair, [])):
                after_death += 1
            else:
                unexplained.append(post)
    return after_silence, after_death, unexplained


def _duplicates(posts: Sequence[Post]) -> Iterator[tuple[Sequence[Post], Post]]:
    """Yield each POST of a pair that was not needed, behind all that came before it."""
    for place, (before, post) in enumerate(pairwise(posts), start=1):
        if before.did is not Did.FAILED:
            yield posts[:place], post


def _deaths(faults: Sequence[Fault]) -> dict[Pair, list[float]]:
    """Return when workers died while a pair was in flight."""
    moments: dict[Pair, list[float]] = {}
    for fault in faults:
        for pair in fault.in_flight if fault.kind in WORKER_KILLS else ():
            moments.setdefault(pair, []).append(fault.at)
    return moments


def _remade(posts: Sequence[Post]) -> set[Pair]:
    """Return what was sent in two shapes: each attempt of a delivery has the same bytes, and each of a batch, too."""
    shapes: dict[Pair, tuple[str, str]] = {}
    return {post.pair for post in posts if shapes.setdefault(post.pair, (post.webhook_id, post.digest)) != _shape(post)}


def _shape(post: Post) -> tuple[str, str]:
    return post.webhook_id, post.digest


def _mixed(posts: Sequence[Post]) -> set[str]:
    """Return the deliveries whose POSTs differ in what they deliver."""
    pairs: dict[str, Pair] = {}
    return {post.delivery_id for post in posts if pairs.setdefault(post.delivery_id, post.pair) != post.pair}

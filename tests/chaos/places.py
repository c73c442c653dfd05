"""The places of events among those of their meetings: without a hole, told to all, kept where one asks for it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.chaos.script import Did

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.ledgers import Accepted, Ledgers


def misnumbered(ledgers: Ledgers) -> Iterator[str]:
    """Yield meetings whose events are not numbered from 1 on, and POSTs that say another number than the answer."""
    for meeting_id, events in _by_meeting(ledgers).items():
        places = sorted(each.sequence for each in events)
        if places != list(range(1, len(places) + 1)):
            yield f"{meeting_id} has {places}"
    places_of = {each.event_id: each.sequence for each in ledgers.accepted}
    for post in ledgers.posts:
        if post.sequence != places_of.get(post.event_id, post.sequence):
            yield f"{post.event_id} to {post.path} says {post.sequence}"


def disordered(ledgers: Ledgers) -> Iterator[str]:
    """Yield POSTs to ordered endpoints that came before an earlier event of the same meeting was answered 200."""
    events = {each.event_id: each for each in ledgers.accepted}
    meetings = _by_meeting(ledgers)
    for path in (each.path for each in ledgers.endpoints if each.is_ordered):
        posts = [post for post in ledgers.posts if post.path == path and post.event_id in events]
        answered: dict[str, float] = {}
        for post in posts:
            if post.did is Did.ANSWERED:
                answered[post.event_id] = min(post.at, answered.get(post.event_id, post.at))
        for post in posts:
            own = events[post.event_id]
            for before in meetings[own.meeting_id]:
                is_late = answered.get(before.event_id, float("inf")) > post.at
                if before.sequence < own.sequence and is_late:
                    yield f"{own.event_id} of {own.meeting_id}: {own.sequence} before {before.sequence}"


def _by_meeting(ledgers: Ledgers) -> dict[str, list[Accepted]]:
    found: dict[str, list[Accepted]] = defaultdict(list)
    for each in ledgers.accepted:
        found[each.meeting_id].append(each)
    return found

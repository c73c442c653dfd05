"""What must be so of batches: who may share one, and that it stays as it was begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.domain.batches import BatchClaim
from tests.conformance.model.batch_ends import Begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from noteflow_hooks.domain.deliveries import Claim
    from tests.conformance.model.delivery_tracks import Track
    from tests.conformance.model.ledger import Ledger
    from tests.conformance.model.rows import Rows


def singly(claims: Iterable[Claim]) -> Iterator[Claim]:
    """Yield the claim of each delivery, those of a batch's members in their order."""
    for each in claims:
        if isinstance(each, BatchClaim):
            yield from each.members
        else:
            yield each


def check_batches(claims: Sequence[Claim], *, ledger: Ledger, before: Rows) -> None:
    """Check which deliveries go together, and note it; before their claims are noted."""
    for each in claims:
        if isinstance(each, BatchClaim):
            _check_batch(each, ledger=ledger, before=before)
        else:
            track = ledger.tracks[each.delivery.id]
            assert not _is_live(track, ledger), "sent alone, though it was begun as part of a batch"
            track.batch = None


def check_membership(rows: Rows, ledger: Ledger) -> None:
    """Check that what waits, or is under way, as part of a batch is part of that one, and nothing else is of any."""
    for delivery_id, track in ledger.tracks.items():
        row = rows.deliveries[delivery_id]
        if row.status == "sending" or (row.status == "pending" and (track.batch is None or _is_live(track, ledger))):
            assert row.batch_id == track.batch, "part of another batch, or of none"
        elif row.status == "pending":
            assert row.batch_id in {None, track.batch}


def _check_batch(claim: BatchClaim, *, ledger: Ledger, before: Rows) -> None:
    members = tuple(each.delivery.id for each in claim.members)
    tracks = [ledger.tracks[each] for each in members]
    begun = Begun(claim.webhook.id, members, claim.rendering)
    if claim.id in ledger.batches:
        assert ledger.batches[claim.id] == begun, "a batch is another one than it was"
        assert all(each.batch == claim.id for each in tracks)
        return
    ledger.batches[claim.id] = begun
    webhook = before.webhooks[claim.webhook.id]
    limit = min([webhook.batch_max, *(each.limit for each in tracks if each.limit is not None)])
    assert 1 <= len(members) <= limit, "a larger batch than is allowed"
    assert len({(each.failures, each.interruptions) for each in tracks}) == 1, "not as many attempts left"
    for each in tracks:
        is_begun = each.rendering is not None or each.failures > 0 or each.interruptions > 0
        rendering = each.rendering if is_begun else ledger.wanted(claim.webhook.id)
        assert claim.rendering.stored == rendering, "rendered otherwise than one of its members"
        assert not _is_live(each, ledger), "taken out of a batch that goes on"
        assert ledger.events[each.event_id].target is None, "a test in a batch"
        begun_alone = (each.failures > 0 or each.interruptions > 0) and each.limit is None and each.batch is None
        assert not begun_alone, "begun alone, and now in a batch"
        each.batch = claim.id


def _is_live(track: Track, ledger: Ledger) -> bool:
    """Tell whether it is part of a batch of which no member has gone another way."""
    if track.batch is None:
        return False
    members = [ledger.tracks[each] for each in ledger.batches[track.batch].members]
    return all(each.batch == track.batch and each.status in {"pending", "sending"} for each in members)

"""What is noted of a batch: as it was begun, and when its answer dissolves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from noteflow_hooks.domain.filters import UNAVAILABLE
from noteflow_hooks.domain.skipping import SkipReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Settlement
    from noteflow_hooks.domain.renderings import Rendering
    from tests.conformance.model.delivery_tracks import Track

#: How many may share a batch where no answer has asked for fewer.
_MOST = 100
_TOO_LARGE, _OK = 413, 200


class Begun(NamedTuple):
    """A batch as it was first claimed."""

    webhook_id: UUID
    members: tuple[UUID, ...]
    rendering: Rendering


def settle_batches(settlements: Sequence[Settlement], all_tracks: Mapping[UUID, Track]) -> None:
    """Note which batches are dissolved by these results, which are noted already."""
    for batch_id in {each.batch_id for each in settlements if each.batch_id is not None}:
        own = [each for each in settlements if each.batch_id == batch_id]
        tracks = [all_tracks[each.delivery.id] for each in own]
        answers = [each.attempt for each in own if each.attempt is not None]
        limit = _MOST if any(map(_is_held_back, own)) else _limit_after(tracks, answers)
        if limit is not None:
            for track in tracks:
                if track.status == "pending":
                    track.leave_batch(limit)


def _is_held_back(settlement: Settlement) -> bool:
    """Tell whether the endpoint's filter does not let a member pass."""
    after = settlement.delivery
    is_unjudged = settlement.attempt is None and after.error_message == UNAVAILABLE and bool(settlement.wait)
    return after.skip_reason in (SkipReason.FILTERED, SkipReason.FILTER_FAILED) or is_unjudged


def _limit_after(tracks: Sequence[Track], answers: Sequence[AttemptResult]) -> int | None:
    """Return how many may share a new batch of what is left; None where the batch stays one."""
    if any(each.status_code == _TOO_LARGE for each in answers) and len(tracks) > 1:
        return len(tracks) // 2
    is_partial = any(each.error_kind is not None and each.status_code == _OK for each in answers)
    return _MOST if is_partial or any(each.skipped_by_claim for each in tracks) else None

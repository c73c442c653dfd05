"""Of a batch that was leased as a whole, a member is made only where it is looked at."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from noteflow_hooks.delivery.service import may_be_sent
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.renderings import USUAL
from noteflow_hooks.domain.whole_batches import FreshColumns, FreshMembers, fresh_batch, ids_of, whole_success
from noteflow_hooks.executor.batch_posts import rendered_batch
from noteflow_hooks.executor.http.prepared import PreparedEndpoint
from noteflow_hooks.signing import generate_secret
from tests.support.builders import EXACT, NOON, a_webhook, an_attempt_result

if TYPE_CHECKING:
    import pytest

    from noteflow_hooks.domain.batches import BatchClaim

_COUNT: Final = 100


def _a_batch() -> BatchClaim:
    columns = FreshColumns(
        id=uuid4(),
        rendering=USUAL,
        lease_expires_at=NOON + timedelta(seconds=30),
        created_at=NOON,
        delivery_ids=[str(uuid4()) for _ in range(_COUNT)],
        event_ids=[str(uuid4()) for _ in range(_COUNT)],
        event_types=["meeting.completed"] * _COUNT,
        sequences=[str(1 + number) for number in range(_COUNT)],
        payloads=["{}"] * _COUNT,
        facts=json.dumps([["m-1", NOON.isoformat()]] * _COUNT),
    )
    return fresh_batch(columns, a_webhook(options=EndpointOptions(batch_max=_COUNT), secret=generate_secret()))


def test_a_batch_that_succeeds_has_no_member_made_but_one_of_each_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the lease to the result: a hundred would cost more than the POST."""
    made: list[int] = []
    make = FreshMembers.made

    def counted(members: FreshMembers, place: int) -> object:
        made.append(place)
        return make(members, place)

    monkeypatch.setattr(FreshMembers, "made", counted)
    batch = _a_batch()
    assert may_be_sent(batch)
    endpoint = PreparedEndpoint(batch.webhook, user_agent="test", allow_http_loopback=False)
    request = endpoint.batch(batch, rendered_batch(batch), NOON)
    assert f"X-NoteFlow-Batch: {_COUNT}\r\n".encode() in request.head
    assert whole_success(batch, an_attempt_result(), policy=EXACT) is not None
    assert len(ids_of(batch)) == _COUNT
    assert set(made) == {0}
    assert [str(each.delivery.id) for each in batch.members] == list(ids_of(batch))


def test_a_member_says_what_its_columns_have() -> None:
    """Each at its own place."""
    last = _a_batch().members[_COUNT - 1]
    assert (last.rank is not None, last.content.meeting_id, last.content.occurred_at) == (True, "m-1", NOON)
    assert last.rank is not None
    assert last.rank.sequence == _COUNT
    assert isinstance(last.delivery.id, UUID)

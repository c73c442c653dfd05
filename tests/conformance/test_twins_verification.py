"""The SQL of verification says what the domain says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.challenges import NEVER_ASKED
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.verification import verified
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery import claim_statements
from noteflow_hooks.persistence.sql.delivery.verification_keeper import VerificationKeeper
from tests.support.builders import a_delivery, an_attempt_result
from tests.support.twins import Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

BOX: Final = SecretBox([bytes(32)])


@twin("domain.webhooks.WebhookConfig.keeps_back_since")
@given(generated=st.lists(endpoints(), min_size=1, max_size=8))
def test_since_when_an_endpoint_keeps_back_is_one_thing(tables: Engine, generated: list[Endpoint]) -> None:
    """Paused, or not verified, or both."""

    def check(rows: Rows) -> None:
        for each in generated:
            webhook_id = rows.endpoint(each)
            query = f"SELECT {claim_statements.KEEPS_BACK_SINCE} FROM noteflow.webhook_configs AS config WHERE id = :id"  # noqa: S608 - our own constants
            [found] = rows.ids(query, id=webhook_id)
            assert found == rows.read_endpoint(webhook_id)[0].keeps_back_since

    in_transaction(tables, check)


@twin("domain.verification.verified")
@given(
    generated=endpoints(),
    pending=st.sampled_from([None, "https://new.example/hooks"]),
    before=st.sampled_from([None, -60.0]),
)
def test_what_an_answer_makes_of_an_endpoint_is_one_thing(
    tables: Engine, generated: Endpoint, pending: str | None, before: float | None
) -> None:
    """Whatever it was, and wherever it is to move; a deleted one stays as it is."""
    event_id = uuid4()
    config = dict(generated.config) | {
        "pending_url": None if generated.config["deleted_at"] else pending,
        "verified_at": before,
        # No preset is ever asked.
        "format": "noteflow",
    }
    if not config["deleted_at"]:
        asked = {"challenge_event_id": event_id, "challenge_expires_at": 60.0}
        config |= asked | {"challenge": BOX.encrypt("x", webhook_id=uuid4(), column="challenge")}

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(Endpoint(config, generated.health))
        was, _ = rows.read_endpoint(webhook_id)
        delivery = a_delivery(webhook_id=webhook_id, event_id=event_id, event_type="webhook.verification")
        settlement = Settlement(delivery, attempt=an_attempt_result())
        keeper = VerificationKeeper(WebhookConverter(BOX))
        locked = keeper.lock(rows.connection, [settlement])
        keeper.apply(rows.connection, locked, [settlement], kept={settlement.fencing_key})
        found, _ = rows.read_endpoint(webhook_id)
        expected = was if was.deleted_at is not None else verified(was, now=rows.now)
        assert (found.url, found.verification) == (expected.url, expected.verification)
        assert (found.verification is NEVER_ASKED) == (was.deleted_at is not None and was.verification is NEVER_ASKED)
        assert rows.now - (found.verified_at or rows.now) <= timedelta(hours=2)

    in_transaction(tables, check)

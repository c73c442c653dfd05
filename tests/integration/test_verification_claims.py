"""What belongs to an endpoint that is asked can't be claimed by a release that knows nothing of verification."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.domain.challenges import NEVER_ASKED, Challenge, Verification
from noteflow_hooks.domain.verification import verification_event
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.integration.test_migration_signing import BOX, Releases, claim, dispatch, former_claims
from tests.support.builders import a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.webhooks import WebhookConfig

NOW: Final = datetime.now(UTC)
ASKED: Final = {
    "new": Verification(NOW, challenge=Challenge.new(NOW)),
    "disabled when it was registered": Verification(NOW),
    "moving": Verification(pending_url="https://new.example/", challenge=Challenge.new(NOW)),
}


@pytest.fixture
def releases(clean_database: str) -> Iterator[Releases]:
    made = Releases(clean_database)
    yield made
    made.close()


def publish(releases: Releases, verification: Verification) -> WebhookConfig:
    """Store an endpoint, an event for it, and the one that asks it."""
    with SqlAlchemyUnitOfWork(releases.engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, verification=verification))
        unit.events.append(an_event(workspace_id=workspace.id))
        if verification.challenge is not None:
            unit.events.append(verification_event(webhook, verification.challenge, now=NOW))
        unit.commit()
    return webhook


@pytest.mark.parametrize("verification", ASKED.values(), ids=ASKED)
def test_the_release_before_claims_none_of_it(releases: Releases, verification: Verification) -> None:
    """Neither as it dispatches nor later: it would send without a challenge, or to whom has not answered."""
    own, plain = publish(releases, verification), publish(releases, NEVER_ASKED)
    assert dispatch(releases.former_store, claim=10) == [plain.id]
    assert claim(releases.former_store) == []
    assert {each[0] for each in releases.rows(own)} == {"pending"}
    asking = verification.challenge is not None
    goes = asking + (verification.pending_url is not None)
    assert claim(releases.present_store) == [own.id] * goes


@pytest.mark.parametrize("verification", ASKED.values(), ids=ASKED)
def test_workers_of_0009_claim_none_either(releases: Releases, verification: Verification) -> None:
    """By their statements to the letter."""
    own, plain = publish(releases, verification), publish(releases, NEVER_ASKED)
    assert former_claims(releases.former) == {plain.id}
    assert {each[0] for each in releases.rows(own)} == {"pending"}


def test_what_a_server_of_that_release_deletes_leaves_no_challenge(releases: Releases) -> None:
    """It knows nothing of the columns, so a trigger erases them."""
    own = publish(releases, ASKED["moving"])
    with releases.former.begin() as connection:
        connection.execute(
            text("UPDATE noteflow.webhook_configs SET deleted_at = now(), enabled = false WHERE id = :id"),
            {"id": own.id},
        )
        left = connection.execute(
            text(
                "SELECT challenge, challenge_event_id, challenge_expires_at, pending_url"
                " FROM noteflow.webhook_configs WHERE id = :id"
            ),
            {"id": own.id},
        ).one()
    assert tuple(left) == (None, None, None, None)

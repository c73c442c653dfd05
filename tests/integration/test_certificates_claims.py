"""What belongs to an endpoint with certificates can't be claimed by a release that knows of none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.client_certificates import PLAIN_TLS, ClientTls
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.integration.test_migration_signing import BOX, Releases, claim, dispatch, former_claims
from tests.support.builders import a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.webhooks import WebhookConfig

OPTIONS: Final = {"certificate": ClientTls("cert", "key"), "server_ca": ClientTls(server_ca="ca")}


@pytest.fixture
def releases(clean_database: str) -> Iterator[Releases]:
    made = Releases(clean_database)
    yield made
    made.close()


def publish(releases: Releases, tls: ClientTls, *, is_test: bool = False) -> WebhookConfig:
    """Store an endpoint, and an event for it."""
    with SqlAlchemyUnitOfWork(releases.engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, tls=tls))
        target = webhook.id if is_test else None
        unit.events.append(an_event(workspace_id=workspace.id, target_webhook_id=target))
        unit.commit()
    return webhook


@pytest.mark.parametrize("is_test", [False, True], ids=["event", "test"])
@pytest.mark.parametrize("tls", OPTIONS.values(), ids=OPTIONS)
def test_the_release_before_claims_none_of_it(releases: Releases, tls: ClientTls, *, is_test: bool) -> None:
    """Neither as it dispatches nor later; it stays pending, and a worker of this release claims it once."""
    own, plain = publish(releases, tls, is_test=is_test), publish(releases, PLAIN_TLS)
    assert dispatch(releases.former_store, claim=10) == [plain.id]
    assert claim(releases.former_store) == []
    assert releases.rows(own) == [("pending", 0)]
    assert claim(releases.present_store) == [own.id]
    assert releases.rows(own) == [("sending", 1)]


@pytest.mark.parametrize("tls", OPTIONS.values(), ids=OPTIONS)
def test_workers_of_0009_claim_none_either(releases: Releases, tls: ClientTls) -> None:
    """By their statements to the letter."""
    own, plain = publish(releases, tls), publish(releases, PLAIN_TLS)
    assert former_claims(releases.former) == {plain.id}
    assert releases.rows(own) == [("pending", 0)]


def test_once_its_certificates_are_gone_it_may_be_claimed(releases: Releases) -> None:
    """By either release."""
    own = publish(releases, OPTIONS["certificate"])
    assert dispatch(releases.former_store, claim=10) == []
    with SqlAlchemyUnitOfWork(releases.engine, BOX) as unit:
        found = unit.webhooks.get_by_id(own.id)
        assert found is not None
        unit.webhooks.update(a_webhook(id=own.id, workspace_id=own.workspace_id))
        unit.commit()
    assert claim(releases.former_store) == [own.id]

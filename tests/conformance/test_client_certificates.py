"""Client certificates in both stores: kept as they were set, gone with their endpoint, and told of before they end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.client_certificates import PLAIN_TLS, CertificateInfo, ClientTls

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

DAY: Final = timedelta(days=1)
EXPIRING: Final = "webhook.certificate_expiring"


def tls(days_left: float = 90) -> ClientTls:
    """Return a certificate that ends in so many days, with its first warning where that belongs."""
    end = datetime.now(UTC) + days_left * DAY
    info = CertificateInfo("CN=a\0b \u202e", "CN=root", end, "ab" * 32)
    return ClientTls("cert", "key", "ca", info=info, server_ca_info=(info,), warn_at=end - 30 * DAY)


def stored(world: World, webhook: WebhookConfig) -> WebhookConfig:
    with world.units() as unit:
        found = unit.webhooks.get_by_id(webhook.id, with_deleted=True)
    assert found is not None
    return found


def told_of(world: World, workspace_id: UUID) -> list[tuple[str, str]]:
    """Have all be told who are due; return of which endpoints, and by which type."""
    found = []
    for event_id in world.certificates.tell(limit=100):
        with world.units() as unit:
            event = unit.events.get_by_id(event_id)
        assert event is not None
        assert event.workspace_id == workspace_id
        found.append((event.event_type, json.loads(event.payload)["webhook_id"]))
    return found


def test_certificates_come_back_as_they_were_set(world: World) -> None:
    """Whatever stands in a name; and an endpoint that has none has none."""
    workspace_id = world.workspace()
    given = tls()
    webhook = world.webhook(workspace_id, tls=given)
    assert stored(world, webhook).tls == webhook.tls == given
    plain = world.webhook(workspace_id)
    assert stored(world, plain).tls is PLAIN_TLS
    for after in (replace(tls(), server_ca=None, server_ca_info=()), PLAIN_TLS, tls(3)):
        changed = world.change(replace(webhook, tls=after))
        assert stored(world, changed).tls == after
        assert not stored(world, changed).secret_unavailable


def test_headers_and_secrets_are_beside_them_as_ever(world: World) -> None:
    """Set, replaced and taken away while there is a certificate, and when it goes."""
    headers = (("X-Key", "value"),)
    own: dict[str, Any] = {"headers": headers, "header_names": ("X-Key",), "secret": "a-secret-x"}
    webhook = world.webhook(world.workspace(), tls=tls(), **own)
    for after in (webhook, replace(webhook, headers=(), header_names=()), webhook, replace(webhook, tls=PLAIN_TLS)):
        found = stored(world, world.change(after))
        assert (found.headers, found.secret, found.tls) == (after.headers, after.secret, after.tls)
        assert not found.secret_unavailable


def test_they_go_with_their_endpoint(world: World) -> None:
    """Nothing is left to be told of, either."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, tls=tls(3))
    assert world.delete(webhook)
    assert stored(world, webhook).tls == PLAIN_TLS
    assert told_of(world, workspace_id) == []


def test_each_that_ends_soon_is_told_once(world: World) -> None:
    """Those that end in 29, 6 and half a day are due, and the one that has ended; one of 31 days is not."""
    workspace_id = world.workspace()
    due = [world.webhook(workspace_id, tls=tls(days)) for days in (29, 6, 0.5, -1)]
    world.webhook(workspace_id, tls=tls(31))
    world.webhook(workspace_id)
    assert sorted(told_of(world, workspace_id)) == sorted((EXPIRING, str(each.id)) for each in due)
    assert told_of(world, workspace_id) == []
    warn_at = [stored(world, each).tls.warn_at for each in due]
    ends = [each.tls.info.not_after for each in due if each.tls.info is not None]
    assert warn_at == [ends[0] - 7 * DAY, ends[1] - DAY, None, None]
    assert [stored(world, each).updated_at for each in due] == [each.updated_at for each in due]


def test_a_later_warning_is_told_in_its_turn(world: World) -> None:
    """And a change of something else neither repeats nor loses one."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, tls=tls(29))
    assert len(told_of(world, workspace_id)) == 1
    renamed = world.change(replace(stored(world, webhook), name="renamed"))
    assert told_of(world, workspace_id) == []
    world.change(replace(renamed, tls=replace(renamed.tls, warn_at=datetime.now(UTC) - DAY)))
    assert told_of(world, workspace_id) == [(EXPIRING, str(webhook.id))]


def test_no_more_are_told_at_once_than_are_asked_for(world: World) -> None:
    """The others are told by the next call."""
    workspace_id = world.workspace()
    for _ in range(3):
        world.webhook(workspace_id, tls=tls(3))
    assert [len(world.certificates.tell(limit=2)) for _ in range(3)] == [2, 1, 0]


def test_other_endpoints_hear_of_it_and_not_the_one_itself(world: World) -> None:
    """As of `webhook.failing`."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, events=(EXPIRING,), tls=tls(3))
    hears = world.webhook(workspace_id, events=(EXPIRING,))
    [event_id] = world.certificates.tell(limit=9)
    made = world.deliveries.dispatch([event_id], limit=9)
    assert len(made.delivery_ids) == 1
    with world.units() as unit:
        assert [each.event_id for each in unit.webhooks.get_deliveries(hears.id)] == [event_id]
        assert unit.webhooks.get_deliveries(webhook.id) == []

"""Presets in both stores: the URL comes back whole for workers, is shown masked, and goes with the endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import NO_OPTIONS, Format
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.domain.skipping import SkipReason
from tests.conformance.model.throttling import claim_slots, dispatch, settle
from tests.support.builders import PRESET_URLS, a_failure, preset_fields

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World


def stored(world: World, webhook: WebhookConfig) -> WebhookConfig:
    """Return the endpoint as it is stored, deleted or not."""
    with world.units() as unit:
        found = unit.webhooks.get_by_id(webhook.id, with_deleted=True)
    assert found is not None
    return found


@pytest.mark.parametrize("form", PRESETS)
def test_a_url_comes_back_whole_and_is_shown_masked(world: World, form: Format) -> None:
    """By the id, in lists, and with a claim."""
    webhook = world.webhook(world.workspace(), **preset_fields(form))
    with world.units() as unit:
        [(listed, _)] = unit.webhooks.list_with_health(webhook.workspace_id, limit=9)
    dispatch(world, webhook)
    [taken] = claim_slots(world)
    for found in (webhook, stored(world, webhook), listed, taken.webhook):
        assert found.address == PRESET_URLS[form]
        assert found.url.endswith("/…")
        assert found.url.removesuffix("…") in PRESET_URLS[form]
        assert (found.url_unreadable, found.secret_unavailable) == (False, False)


def test_a_url_is_hidden_when_an_endpoint_becomes_a_preset_and_plain_when_it_ceases(world: World) -> None:
    """With each change, and with a changed URL of a preset."""
    webhook = world.webhook(world.workspace(), url="https://hooks.slack.com/services/T1/B1/before")
    entered = world.change(replace(webhook, **preset_fields(Format.SLACK)))
    assert stored(world, entered).address == PRESET_URLS[Format.SLACK]
    other = world.change(replace(entered, hidden_url="https://hooks.slack.com/services/T1/B1/other"))
    assert stored(world, other).address == "https://hooks.slack.com/services/T1/B1/other"
    left = world.change(replace(other, url="https://receiver.example/", hidden_url=None, options=NO_OPTIONS))
    assert (stored(world, left).url, stored(world, left).hidden_url) == ("https://receiver.example/", None)


def test_a_url_goes_with_its_endpoint(world: World) -> None:
    """What is left is what was shown."""
    webhook = world.webhook(world.workspace(), **preset_fields(Format.TEAMS))
    assert world.delete(webhook)
    found = stored(world, webhook)
    assert (found.hidden_url, found.url, found.url_unreadable) == (None, webhook.url, False)


def test_what_a_vendor_calls_gone_disables_as_a_410_does(world: World) -> None:
    """The delivery is dead at once, what waits is skipped as gone, and the reason has the vendor's words."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, **preset_fields(Format.SLACK))
    world.webhook(workspace_id, events=("webhook.disabled",))
    ids = dispatch(world, webhook, 2)
    answer = a_failure(status_code=404, vendor_gone="404 no_service", error_message="HTTP 404")
    assert len(settle(world, claim_slots(world, limit=1), answer).event_ids) == 1
    found = [world.read(workspace_id, each) for each in ids]
    assert sorted(each.status for each in found) == [DeliveryStatus.DEAD, DeliveryStatus.SKIPPED]
    [skipped] = [each for each in found if each.status is DeliveryStatus.SKIPPED]
    assert skipped.skip_reason is SkipReason.GONE
    reason = stored(world, webhook).disabled_reason
    assert reason is not None
    assert reason.startswith("The endpoint answered 410 Gone, in its vendor's words 404 no_service, at ")

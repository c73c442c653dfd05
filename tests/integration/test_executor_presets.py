"""POSTs to chats by the vendors' own names, which resolve to loopback here: what goes out, what an answer means."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.presets import PRESETS, masked
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.batches import a_batch
from tests.support.builders import NOON, PRESET_URLS, a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.chats.api import ChatApis
from tests.support.golden import an_occurrence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from tests.support.chats.api import Channel

HOSTS: Final = {form: PRESET_URLS[form].split("/")[2] for form in PRESETS}


@pytest.fixture
def chats() -> Iterator[ChatApis]:
    with ChatApis(names=tuple(HOSTS.values())) as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    egress = EgressPolicy(allow=["127.0.0.0/8"], lookup=lambda _: ["127.0.0.1"])
    made = WebhookExecutor(egress, ca_bundle=authority_pem())
    yield made
    made.close()


def joined(chats: ChatApis, form: Format, **state: Any) -> tuple[Claim, Channel]:  # noqa: ANN401 - a channel's
    """Make a channel at the vendor's own name, and return the claim of an event for it."""
    channel = chats.channel(form, f"/{uuid4().hex}", **state)
    url = chats.url(channel.path, host=HOSTS[form])
    webhook = a_webhook(url=masked(url), hidden_url=url, options=EndpointOptions(format=form))
    return _claim(webhook, a_delivery(rendering=Rendering.of(webhook).stored)), channel


def _claim(webhook: Any, delivery: WebhookDelivery) -> Claim:  # noqa: ANN401 - an endpoint
    return Claim(delivery, webhook, an_occurrence().payload, facts=EventFacts("m-1", NOON))


@pytest.mark.parametrize("form", PRESETS)
def test_a_message_goes_out_with_nothing_of_ours(executor: WebhookExecutor, chats: ChatApis, form: Format) -> None:
    """The name is the vendor's, in TLS and in ``Host``; beside it stands only what HTTP needs."""
    claim, channel = joined(chats, form)
    result = executor.post(claim)
    assert (result.succeeded, channel.refusals, len(channel.messages)) == (True, [], 1)
    [request] = chats.requests
    assert {name.lower() for name, _ in request.headers} == {
        "host", "user-agent", "accept", "accept-encoding", "content-type", "content-length",
    }  # fmt: skip
    assert request.header("Host") == f"{HOSTS[form]}:{chats.port}"


@pytest.mark.parametrize("form", PRESETS)
@pytest.mark.parametrize("event_type", ["webhook.failing", "webhook.disabled", "webhook.certificate_expiring"])
def test_a_chat_hears_of_another_endpoints_trouble(
    executor: WebhookExecutor, chats: ChatApis, form: Format, event_type: str
) -> None:
    """With the endpoint and the reason, in a message that its vendor takes."""
    claim, channel = joined(chats, form)
    trouble = CATALOGUE[event_type].example(1)
    delivery = claim.delivery._replace(event_type=event_type)
    result = executor.post(replace(claim, delivery=delivery, payload=json.dumps(trouble).encode()))
    assert (result.succeeded, channel.refusals, len(channel.messages)) == (True, [], 1)
    [request] = chats.requests
    # Discord and Teams have what would be markup behind backslashes.
    body = request.body.decode().replace("\\", "")
    for words in (trouble["webhook_id"], trouble["reason"].partition(".")[0]):
        assert str(words) in body


@pytest.mark.parametrize("form", PRESETS)
def test_gone_is_understood(executor: WebhookExecutor, chats: ChatApis, form: Format) -> None:
    """Whatever its status is."""
    claim, _ = joined(chats, form, gone="no_service")
    result = executor.post(claim)
    assert (result.status_code, result.error_message, result.is_gone) == (404, "HTTP 404", True)


@pytest.mark.parametrize(("words", "status"), [("action_prohibited", 403), ("channel_is_archived", 410)])
def test_each_of_slack_s_ways_to_be_gone_is(
    executor: WebhookExecutor, chats: ChatApis, words: str, status: int
) -> None:
    """With the words that it has used."""
    claim, _ = joined(chats, Format.SLACK, gone=words)
    result = executor.post(claim)
    assert (result.status_code, result.vendor_gone) == (status, f"{status} {words}")


@pytest.mark.parametrize(
    ("form", "state", "seconds"),
    [
        (Format.SLACK, {}, 1),
        (Format.DISCORD, {}, 0.3),
        (Format.TEAMS, {}, 1),
        (Format.TEAMS, {"is_connector": True}, 30),
    ],
)
def test_too_many_is_understood(
    executor: WebhookExecutor, chats: ChatApis, form: Format, state: dict[str, Any], seconds: float
) -> None:
    """With the wait that the vendor names, wherever it does; a connector's 200 is none."""
    claim, _ = joined(chats, form, too_many=1, **state)
    result = executor.post(claim)
    assert (result.succeeded, result.status_code, result.is_gone) == (False, 429, False)
    assert result.retry_after is not None
    assert result.retry_after.total_seconds() == seconds


@pytest.mark.parametrize("answer", ["no_service", '{"code": 10015}', '{"error": {"code": "WorkflowNotFound"}}'])
def test_no_other_endpoint_is_gone_by_a_vendor_s_words(executor: WebhookExecutor, chats: ChatApis, answer: str) -> None:
    """A 404 of anybody's is a failure, whatever its body says."""
    channel = chats.channel(Format.SLACK, "/plain", gone=answer)
    url = chats.url(channel.path, host=HOSTS[Format.SLACK])
    result = executor.post(_claim(a_webhook(url=url), a_delivery()))
    assert (result.status_code, result.is_gone) == (404, False)


@pytest.mark.parametrize("form", PRESETS)
def test_what_was_begun_before_an_endpoint_became_a_preset_has_no_header_of_ours(
    executor: WebhookExecutor, chats: ChatApis, form: Format
) -> None:
    """Its bytes stay what they were, which the vendor refuses."""
    claim, _ = joined(chats, form)
    assert executor.post(_claim(claim.webhook, a_delivery(attempt_count=1, budget_used=1))).status_code == 400
    [request] = chats.requests
    assert request.body == an_occurrence().payload
    assert not [name for name, _ in request.headers if name.lower().startswith(("x-noteflow", "webhook-"))]


def test_a_batch_that_was_begun_before_has_no_header_of_ours_either(executor: WebhookExecutor, chats: ChatApis) -> None:
    """It is tried again as that batch, and what a vendor's answer means is what it means for each of its messages."""
    claim, _ = joined(chats, Format.SLACK, gone="no_service")
    batch = a_batch("https://crm.example/", options=EndpointOptions(batch_max=3, batch_partial=True))
    preset = replace(claim.webhook, options=replace(claim.webhook.options, batch_partial=True))
    result = executor.post(replace(batch, webhook=preset))
    assert (result.status_code, result.is_gone) == (404, True)
    [request] = chats.requests
    assert json.loads(request.body)["id"] == str(batch.id)
    assert not [name for name, _ in request.headers if name.lower().startswith(("x-noteflow", "webhook-"))]


def test_a_stub_refuses_what_its_vendor_refuses(executor: WebhookExecutor, chats: ChatApis) -> None:
    """What it takes says something, since another body is refused."""
    for form in PRESETS:
        claim, channel = joined(chats, form)
        result = executor.post(_claim(claim.webhook, a_delivery()))
        assert (result.succeeded, result.status_code) == (False, 400), form
        assert channel.refusals

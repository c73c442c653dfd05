"""Endpoints of chats: whose hosts they may be at, what they can't have, and what is shown of their URLs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.application.endpoints import (
    EndpointRules,
    EndpointView,
    Registration,
    change_webhook,
    check_changes,
    new_webhook,
)
from noteflow_hooks.application.rotations import Rotation, rotate_secret
from noteflow_hooks.domain.audit.telling import tell_update, tell_webhook
from noteflow_hooks.domain.client_certificates import ClientTls
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.presets import PRESETS, masked
from noteflow_hooks.errors import InvalidInputError, PreconditionError
from tests.support.builders import BY, PRESET_URLS, a_preset, preset_fields

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.support.application_world import World

RULES: Final = EndpointRules(preset_hosts=frozenset({"chat.example"}), allow_http_loopback=True)
PLAIN: Final = "https://receiver.example/hooks"
#: What a preset can't have, as a registration asks for it.
CONFLICTS: Final[dict[str, dict[str, Any]]] = {
    "secret": {"secret": "a-first-secret-of-24-characters"},
    "signing": {"signing": "ed25519"},
    "headers": {"headers": [("X-Key", "v")]},
}


def registered(form: Format, url: str | None = None, **fields: Any) -> WebhookConfig:  # noqa: ANN401 - a registration's
    """Return what a registration of a preset makes."""
    asked = Registration(url=url if url is not None else PRESET_URLS[form], options={"format": str(form)}, **fields)
    return new_webhook(uuid4(), asked, rules=RULES)


def change(world: World, webhook_id: UUID, **changes: Any) -> EndpointView:  # noqa: ANN401 - its fields
    """Change an endpoint in a unit of work of its own."""
    checked = check_changes(changes, rules=RULES)
    return world.do(
        lambda unit: change_webhook(
            unit, world.service, world.workspace.id, webhook_id, checked, rules=RULES, now=world.now, by=BY
        )
    )


@pytest.mark.parametrize("form", PRESETS)
def test_what_is_shown_of_a_url_is_its_host(form: Format) -> None:
    """POSTs go to the whole one, which no representation has."""
    made = registered(form)
    host = PRESET_URLS[form].split("/")[2]
    assert (made.url, made.address) == (f"https://{host}/…", PRESET_URLS[form])
    assert PRESET_URLS[form].rpartition("/")[2] not in repr(made)


@pytest.mark.parametrize(
    ("form", "url"),
    [
        (Format.SLACK, "https://hooks.slack.com/services/T1/B1/x"),
        (Format.SLACK, "https://HOOKS.slack.com./services/T1/B1/x"),
        (Format.SLACK, "https://hooks.slack-gov.com/services/T1/B1/x"),
        (Format.DISCORD, "https://discord.com/api/webhooks/1/x"),
        (Format.DISCORD, "https://canary.discord.com/api/webhooks/1/x"),
        (Format.DISCORD, "https://ptb.discord.com/api/webhooks/1/x"),
        (Format.DISCORD, "https://discordapp.com/api/webhooks/1/x"),
        (Format.TEAMS, "https://acme.webhook.office.com/webhookb2/x"),
        (Format.TEAMS, "https://prod-01.westeurope.logic.azure.com:443/workflows/x"),
        (Format.TEAMS, "https://default1.2.environment.api.powerplatform.com:443/powerautomate/x"),
        (Format.SLACK, "https://chat.example/x"),
        (Format.TEAMS, "https://chat.example:8443/x"),
    ],
)
def test_a_vendor_s_hosts_are_taken_and_those_of_the_setting(form: Format, url: str) -> None:
    """In any case, with the root's dot, and at any port that the egress rules allow."""
    assert registered(form, url).address.startswith("https://")


@pytest.mark.parametrize(
    "url",
    [
        PLAIN,
        "https://hooks.slack.com.evil.example/services/x",
        "https://evil.example/hooks.slack.com/",
        "https://xhooks.slack.com/",
        "https://slack.com/",
        "https://webhook.office.com/",
        "https://evil-webhook.office.com/",
        "https://xlogic.azure.com/",
        "http://localhost/x",
        "https://127.0.0.1/x",
    ],
)
@pytest.mark.parametrize("form", PRESETS)
def test_other_hosts_are_refused_with_the_field_and_what_is_allowed(form: Format, url: str) -> None:
    """A suffix is no host, and neither is what only looks like one."""
    with pytest.raises(InvalidInputError) as caught:
        registered(form, url)
    assert caught.value.field == "url"
    assert PRESETS[form].vendor in caught.value.problem
    assert all(each.lstrip(".") in caught.value.problem for each in PRESETS[form].hosts)
    assert "PRESET_HOSTS" in caught.value.problem
    assert "evil" not in caught.value.problem


@pytest.mark.parametrize("field", CONFLICTS)
@pytest.mark.parametrize("form", PRESETS)
def test_a_preset_with_something_that_no_vendor_looks_at_is_refused(form: Format, field: str) -> None:
    """At registration, with the field's name."""
    with pytest.raises(InvalidInputError) as caught:
        registered(form, **CONFLICTS[field])
    assert caught.value.field == field
    assert PRESETS[form].vendor in caught.value.problem


def test_all_that_is_wrong_with_a_preset_is_said_at_once() -> None:
    """Its host and its parts."""
    parts = {name: value for each in CONFLICTS.values() for name, value in each.items()}
    with pytest.raises(InvalidInputError) as caught:
        registered(Format.SLACK, PLAIN, **parts)
    assert {field for field, _ in caught.value.violations} == {"url", *CONFLICTS}


def test_a_generated_secret_is_refused_too() -> None:
    """Nobody would ever verify with it."""
    with pytest.raises(InvalidInputError) as caught:
        registered(Format.TEAMS, generate_secret=True)
    assert caught.value.field == "secret"


def test_batches_of_a_preset_are_refused() -> None:
    """A message is one event's."""
    asked = Registration(url=PRESET_URLS[Format.SLACK], options={"format": "slack", "batch_max": 10})
    with pytest.raises(InvalidInputError) as caught:
        new_webhook(uuid4(), asked, rules=RULES)
    assert caught.value.field == "batch_max"


@pytest.mark.parametrize(
    "own",
    [
        {"secret": "a-first-secret-of-24-characters"},
        {"secret_unreadable": True},
        {"signing": "both", "signing_key": "x"},
        {"headers": (("X-Key", "v"),), "header_names": ("X-Key",)},
        {"header_names": ("X-Key",)},
        {"tls": ClientTls("cert", "key")},
        {"tls": ClientTls(unreadable=frozenset({"client_certificate"}))},
    ],
)
def test_an_endpoint_that_has_such_a_thing_becomes_no_preset(world: World, own: dict[str, Any]) -> None:
    """Also where no key decrypts it; and nothing of it is changed."""
    webhook = world.webhook(url=PRESET_URLS[Format.SLACK], **own)
    with pytest.raises(InvalidInputError):
        change(world, webhook.id, format="slack")
    assert world.stored_webhook(webhook.id).options.format is Format.NOTEFLOW


@pytest.mark.parametrize(
    ("field", "value"), [("headers", [("X-Key", "v")]), ("signing", "both"), ("signing", "ed25519"), ("batch_max", 5)]
)
def test_a_preset_gets_none_of_it_by_a_change(world: World, field: str, value: object) -> None:
    """Refused by the field's name."""
    webhook = world.webhook(**preset_fields(Format.SLACK))
    with pytest.raises(InvalidInputError) as caught:
        change(world, webhook.id, **{field: value})
    assert caught.value.field == field


def test_a_preset_s_secret_can_not_be_made_by_rotation(world: World) -> None:
    """Nothing would be signed with it."""
    webhook = world.webhook(**preset_fields(Format.DISCORD))
    with pytest.raises(PreconditionError, match="discord"):
        world.do(
            lambda unit: rotate_secret(unit, world.workspace.id, webhook.id, Rotation.create(), now=world.now, by=BY)
        )


def test_authorities_of_its_own_are_no_conflict() -> None:
    """They say whom to trust, and nothing goes to the vendor."""
    assert a_preset(tls=ClientTls(server_ca="ca")).lost is None


def test_a_url_as_it_is_shown_is_refused(world: World) -> None:
    """Of whatever endpoint, at registration and at a change: somebody has copied it from an answer."""
    shown = masked(PRESET_URLS[Format.SLACK])
    for form in ("slack", "noteflow"):
        with pytest.raises(InvalidInputError, match="ends in …"):
            new_webhook(uuid4(), Registration(url=shown, options={"format": form}), rules=RULES)
    webhook = world.webhook(**preset_fields(Format.SLACK))
    with pytest.raises(InvalidInputError) as caught:
        change(world, webhook.id, url=shown)
    assert caught.value.field == "url"


def test_a_preset_s_url_is_changed_and_stays_hidden(world: World) -> None:
    """A change that names no URL leaves it; one that names none of the vendor's is refused."""
    webhook = world.webhook(**preset_fields(Format.SLACK))
    assert change(world, webhook.id, name="Standup").webhook.address == PRESET_URLS[Format.SLACK]
    other = "https://hooks.slack.com/services/T1/B1/other"
    changed = change(world, webhook.id, url=other).webhook
    assert (changed.url, changed.address) == ("https://hooks.slack.com/…", other)
    with pytest.raises(InvalidInputError, match="Slack"):
        change(world, webhook.id, url=PLAIN)


def test_an_endpoint_becomes_a_preset_with_the_url_that_it_has(world: World) -> None:
    """Its host is looked at then, too."""
    webhook = world.webhook(url=PRESET_URLS[Format.DISCORD])
    with pytest.raises(InvalidInputError) as caught:
        change(world, webhook.id, format="slack")
    assert caught.value.field == "url"
    changed = change(world, webhook.id, format="discord").webhook
    assert (changed.url, changed.address) == ("https://discord.com/…", PRESET_URLS[Format.DISCORD])


def test_another_preset_needs_its_own_vendor_s_url(world: World) -> None:
    """The stored one is another's."""
    webhook = world.webhook(**preset_fields(Format.SLACK))
    with pytest.raises(InvalidInputError) as caught:
        change(world, webhook.id, format="teams")
    assert caught.value.field == "url"
    changed = change(world, webhook.id, format="teams", url=PRESET_URLS[Format.TEAMS]).webhook
    assert changed.address == PRESET_URLS[Format.TEAMS]


@pytest.mark.parametrize("format_", ["noteflow", "standard", "cloudevents", "cloudevents-binary"])
def test_leaving_a_preset_needs_another_url(world: World, format_: str) -> None:
    """The stored one is a credential, and would be shown to whoever may read from then on."""
    webhook = world.webhook(**preset_fields(Format.SLACK))
    with pytest.raises(InvalidInputError) as caught:
        change(world, webhook.id, format=format_)
    assert caught.value.field == "url"
    assert "Slack" in caught.value.problem
    changed = change(world, webhook.id, format=format_, url=PLAIN).webhook
    assert (changed.url, changed.hidden_url) == (PLAIN, None)


def test_a_preset_whose_url_no_key_decrypts_gets_a_new_one(world: World) -> None:
    """Until then other fields can be changed, and it says what is lost."""
    webhook = world.webhook(**preset_fields(Format.SLACK) | {"hidden_url": None, "url_unreadable": True})
    assert change(world, webhook.id, name="x").webhook.secret_unavailable
    changed = change(world, webhook.id, url=PRESET_URLS[Format.SLACK]).webhook
    assert (changed.address, changed.secret_unavailable) == (PRESET_URLS[Format.SLACK], False)


def test_the_trail_tells_a_changed_url_by_its_host(world: World) -> None:
    """Whole or in part it is nowhere, also where a preset is entered, changed or left."""
    plain, preset = world.webhook(url=PRESET_URLS[Format.SLACK]), a_preset(Format.SLACK)
    other = replace(preset, hidden_url="https://hooks.slack.com/services/T1/B1/other")
    told = [tell_webhook(preset), *(tell_update(*pair) for pair in ((plain, preset), (preset, other), (other, plain)))]
    assert tell_update(preset, other) == ({"url": "https://hooks.slack.com/…"}, {"url": "https://hooks.slack.com/…"})
    assert "T0000CANARY" not in json.dumps(told, default=str)
    assert "services" not in json.dumps(told, default=str)


@pytest.mark.parametrize("form", PRESETS)
def test_a_preset_s_rate_is_its_vendor_s_until_it_names_its_own(form: Format) -> None:
    """What is shown of its own stays what it has named."""
    webhook = a_preset(form)
    assert (webhook.rate_limit_per_s, webhook.rate_per_s) == (None, PRESETS[form].rate_per_s)
    assert replace(webhook, rate_limit_per_s=20.0).rate_per_s == 20.0


def test_the_view_of_a_preset_has_nothing_of_its_url() -> None:
    """But in the one field that is for workers."""
    view = EndpointView.new(a_preset(created_at=datetime.now(UTC), updated_at=datetime.now(UTC) + timedelta(1)))
    fields = asdict(view.webhook)
    assert fields.pop("hidden_url") == PRESET_URLS[Format.SLACK]
    assert "CANARY" not in str(fields)

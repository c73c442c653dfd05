"""Sentences of the server's on the dashboard's pages."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.telling import LABELS, changes, labelled, spoken

_ID = "01a22b79-bb0e-7111-accb-c877111b85ac"


def test_moments_in_a_reason_become_the_readers_own() -> None:
    """They are times for the page's script, which say UTC where it does not run."""
    found = spoken("The endpoint is paused since 2026-11-30 08:02:06 UTC; it goes out when that resumes")
    assert '<time datetime="2026-11-30T08:02:06Z">2026-11-30 08:02:06 UTC</time>; it goes out' in found


def test_a_reason_leads_to_the_dead_one_that_holds_it() -> None:
    """In place of the word for programs."""
    found = spoken(f"order_stopped: delivery {_ID} of the same meeting is dead")
    assert found == f'Delivery <a class="id" href="/deliveries/{_ID}">{_ID}</a> of the same meeting is dead'


@pytest.mark.parametrize(
    "text",
    [
        f"Waits. Last attempt: order_stopped: delivery {_ID} of",
        f"HTTP 500: delivery {_ID} of the same meeting",
        "<a href=/x>x</a>",
        "`<script>`",
        "\u202eevil",
    ],
)
def test_what_a_receiver_said_is_never_markup_and_leads_nowhere(text: str) -> None:
    """Whatever it looks like."""
    assert "<a" not in spoken(text)
    assert "<script" not in spoken(text)
    assert "\u202e" not in spoken(text)


def test_commands_in_advice_stand_out() -> None:
    """As they are typed."""
    assert spoken("try it by `webhooks filter-test`: then") == "try it by <code>webhooks filter-test</code>: then"


def test_a_refusal_calls_filters_as_their_labels_do() -> None:
    """What has no label keeps its name."""
    assert labelled("status_code: is 9999; allowed are 100 to 599") == "Answered: is 9999; allowed are 100 to 599"
    assert labelled("page_token: is none") == "page_token: is none"
    templates = files("noteflow_hooks.dashboard") / "templates"
    pages = "".join(each.read_text("utf-8") for each in templates.iterdir() if each.name.endswith(".html"))
    assert [label for label in LABELS.values() if label not in pages] == []


def test_few_and_short_changes_are_told_in_their_row() -> None:
    """Only those that are changes; what is longer stands below."""
    entry = pb.AuditEntry(old=json.dumps({"enabled": True, "name": "CRM"}), new='{"enabled": false, "name": "CRM"}')
    assert changes(entry) == [("enabled", "true", "false")]
    assert changes(pb.AuditEntry(old='{"name": "CRM"}')) == [("name", "CRM", "")]
    assert changes(pb.AuditEntry(new=json.dumps({"filter": "x" * 41}))) == []
    assert changes(pb.AuditEntry(new=json.dumps(dict.fromkeys("abcd", 1)))) == []
    assert changes(pb.AuditEntry(new="no JSON", old="[1]")) == []

"""The pages of endpoints, and their buttons: what is pressed is done, and what is refused stands by its field."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.sample import fill, publish, work
from tests.integration.rpc.known import code_of
from tests.support.client_certificates import Issuer
from tests.support.contacts import ADDRESS
from tests.support.html_form import fields_of, filled

if TYPE_CHECKING:
    from tests.integration.rpc.world import World
    from tests.support.visitor import Answered, Visitor


def _fields(answer: Answered) -> list[tuple[str, str]]:
    return fields_of(answer.text, marked="sheet")


def _get(world: World, webhook_id: str) -> pb.Webhook:
    return world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id))


def _only(world: World) -> pb.Webhook:
    [found] = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    return found


def test_an_endpoint_is_added_and_its_secret_shown_once(world: World, operator: Visitor) -> None:
    """The form that is sent twice, by a reload, registers one."""
    given = {"name": "CRM", "url": "https://crm.example/hooks", "events": "meeting.completed", "max_retries": "7"}
    fields = filled(_fields(operator.get("/endpoints/new")), **given)
    shown = operator.post("/endpoints/new", fields)
    assert shown.status == 200, shown.text
    [secret] = re.findall(r"whsec_[A-Za-z0-9+/=]+", shown.text)
    made = _only(world)
    assert (made.name, made.url, list(made.events), made.max_retries) == (
        "CRM",
        "https://crm.example/hooks",
        ["meeting.completed"],
        7,
    )
    assert made.secret_hint == secret[-4:]
    assert operator.post("/endpoints/new", fields).status == 200
    assert _only(world).id == made.id
    assert secret not in operator.get(f"/endpoints/{made.id}").text


@pytest.mark.parametrize("chat", ["slack", "discord", "teams"])
def test_a_chat_is_added_and_changed_and_its_url_is_on_no_page(world: World, operator: Visitor, chat: str) -> None:
    """It has no secret; what the form shows of its URL is left as it is."""
    host = {"slack": "hooks.slack.com", "discord": "discord.com", "teams": "a.webhook.office.com"}[chat]
    given = {"name": "Standup", "url": f"https://{host}/services/c4n4ry", "format": chat}
    added = operator.post("/endpoints/new", filled(_fields(operator.get("/endpoints/new")), **given))
    assert added.status == 200, added.text
    made = _only(world)
    assert (made.format, made.signed, made.url) == (chat, False, f"https://{host}/…")
    fields = filled(_fields(operator.get(f"/endpoints/{made.id}/edit")), name="Talk")
    changed = operator.post(f"/endpoints/{made.id}/edit", fields)
    assert changed.status in (200, 303), changed.text
    assert _only(world).name == "Talk"
    pages = [added.text, *(operator.get(path).text for path in ("/endpoints", f"/endpoints/{made.id}", "/audit"))]
    assert not any("c4n4ry" in page for page in pages)
    assert all(host in page for page in pages[1:])


def test_all_that_is_wrong_stands_by_its_field(world: World, operator: Visitor) -> None:
    """And what was typed is still there."""
    given = {"name": "N" * 300, "url": "ftp://x", "timeout_ms": "5", "headers": "X-Key: v"}
    fields = filled(_fields(operator.get("/endpoints/new")), **given)
    page = operator.post("/endpoints/new", fields)
    assert page.status == 422
    for name in ("name", "url", "timeout_ms"):
        assert f'id="{name}-problem"' in page.text
        assert f'aria-describedby="{name}-problem"' in page.text
    assert 'value="ftp://x"' in page.text
    assert "X-Key: v" in page.text
    assert not world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks


@pytest.mark.parametrize(
    ("field", "text"), [("max_retries", "many"), ("rate_limit_per_s", "fast"), ("headers", "no colon")]
)
def test_what_is_no_number_or_header_is_refused(operator: Visitor, field: str, text: str) -> None:
    """By its field, before the server is asked."""
    fields = filled(_fields(operator.get("/endpoints/new")), url="https://a.example", **{field: text})
    page = operator.post("/endpoints/new", fields)
    assert (page.status, f'id="{field}-problem"' in page.text) == (422, True)


def test_an_edit_sends_what_was_changed_alone(world: World, operator: Visitor) -> None:
    """What the form does not show, headers and certificates, stays as it is."""
    made = world.a_webhook(name="CRM", headers=[pb.Header(name="X-Key", value="v")], rate_limit_per_s=2.5)
    fields = filled(_fields(operator.get(f"/endpoints/{made.id}/edit")), name="CRM 2")
    fields.append(("events", "summary.generated"))
    assert operator.post(f"/endpoints/{made.id}/edit", fields).location == f"/endpoints/{made.id}?done=changed"
    now = _get(world, made.id)
    assert (now.name, list(now.events), list(now.header_names), now.rate_limit_per_s) == (
        "CRM 2",
        ["meeting.completed", "summary.generated"],
        ["X-Key"],
        2.5,
    )
    entries = world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(action="webhook.updated"))
    [entry] = entries.audit_entries
    assert "rate_limit" not in entry.new


def test_a_limit_is_taken_away_and_headers_are_replaced(world: World, operator: Visitor) -> None:
    """An empty field is no limit; a ticked box replaces all headers."""
    made = world.a_webhook(headers=[pb.Header(name="X-Old", value="v")], rate_limit_per_s=2.5)
    given = {"rate_limit_per_s": "", "headers": "X-New: a: b", "replace_headers": "yes"}
    fields = filled(_fields(operator.get(f"/endpoints/{made.id}/edit")), **given)
    operator.post(f"/endpoints/{made.id}/edit", fields)
    now = _get(world, made.id)
    assert (now.HasField("rate_limit_per_s"), list(now.header_names)) == (False, ["X-New"])


def test_a_certificate_is_given_and_taken_away(world: World, operator: Visitor) -> None:
    """With the line ends that forms make of PEM."""
    made = world.a_webhook()
    pair = Issuer.root().pair(name="client.example")
    fields = _fields(operator.get(f"/endpoints/{made.id}/edit"))
    pem = {"client_certificate": pair.certificate, "client_key": pair.key}
    given = {name: text.replace("\n", "\r\n") for name, text in pem.items()}
    assert operator.post(f"/endpoints/{made.id}/edit", filled(fields, **given)).status == 303
    subject = _get(world, made.id).client_certificate_info.subject
    page = operator.get(f"/endpoints/{made.id}").text
    assert subject
    assert html.escape(subject) in page
    assert "PRIVATE KEY" not in page + operator.get(f"/endpoints/{made.id}/edit").text
    operator.post(f"/endpoints/{made.id}/edit", filled(fields, remove_client_certificate="yes"))
    assert not _get(world, made.id).HasField("client_certificate_info")


def test_buttons_pause_resume_disable_and_enable(world: World, operator: Visitor) -> None:
    """And the page says so."""
    made = world.a_webhook()
    at = f"/endpoints/{made.id}"
    for button, words in (("pause", "Paused"), ("resume", "Well"), ("disable", "Disabled"), ("enable", "Well")):
        answer = operator.press(f"{at}/{button}")
        assert answer.status == 303
        page = operator.get(answer.location).text
        assert 'class="banner good"' in page
        assert words in page.partition('id="state"')[2][:120]
    actions = [e.action for e in world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest()).audit_entries]
    assert len(actions) == 5
    assert made.id in operator.get(f"/audit?target_id={made.id}").text


def test_a_secret_is_rotated_and_shown_once(world: World, operator: Visitor) -> None:
    """The former one signs on for as long as was chosen; a reload makes no second one."""
    made = world.a_webhook(generate_secret=True)
    page = operator.get(f"/endpoints/{made.id}/rotate")
    [request_id] = re.findall(r'name="request_id" value="(\w+)"', page.text)
    fields = {"form_token": page.form_token, "request_id": request_id, "what": "secret", "overlap_seconds": "3600"}
    shown = operator.post(f"/endpoints/{made.id}/rotate", fields)
    [secret] = re.findall(r"whsec_[A-Za-z0-9+/=]+", shown.text)
    assert operator.post(f"/endpoints/{made.id}/rotate", fields).status == 200
    now = _get(world, made.id)
    assert (now.secret_hint, len(now.previous_secrets)) == (secret[-4:], 1)
    assert secret not in operator.get(f"/endpoints/{made.id}").text


def test_an_endpoint_is_deleted_by_its_name(world: World, operator: Visitor) -> None:
    """Another name deletes nothing."""
    made = world.a_webhook(name="CRM & more")
    at = f"/endpoints/{made.id}/delete"
    assert operator.press(at, {"name": "CRM"}, on=at).status == 422
    assert _get(world, made.id).id == made.id
    assert operator.press(at, {"name": "CRM & more"}, on=at).location == "/endpoints?done=deleted"
    assert "No endpoint yet." in operator.get("/endpoints").text


def test_a_test_leads_to_its_delivery(world: World, operator: Visitor) -> None:
    """Or to its event, while no worker has matched it."""
    made = world.a_webhook(url="https://a.example/well")
    answer = operator.press(f"/endpoints/{made.id}/test")
    assert answer.location.startswith("/events/")
    work(world)
    page = operator.get(answer.location).text
    assert "webhook.test" in page
    assert "Delivered" in page


def test_the_list_says_how_each_does(world: World, operator: Visitor) -> None:
    """The state in words, the last success, and what waits, with the way to it."""
    made = fill(world)
    page = operator.get("/endpoints").text
    rows = {name: page.partition(f'id="r-{each.id}"')[2].partition("</tr>")[0] for name, each in made.items()}
    assert "Well" in rows["well"]
    assert "<time" in rows["well"]
    assert "Failing" in rows["broken"]
    assert "6 failed in a row" in rows["broken"]
    assert f"/deliveries?webhook_id={made['hangs'].id}&amp;status=pending" in rows["hangs"]


def test_many_endpoints_are_paged(world: World, operator: Visitor) -> None:
    """25 on a page, each once."""
    made = {world.a_webhook(url=f"https://a.example/{number}").id for number in range(30)}
    first = operator.get("/endpoints").text
    [older] = re.findall(r'href="(/endpoints\?page_token=[^"]+)"', first)
    second = operator.get(html.unescape(older)).text
    found = [set(re.findall(r'id="r-([0-9a-f-]+)"', page)) for page in (first, second)]
    assert (len(found[0]), found[0] | found[1]) == (25, made)


def test_what_happens_meanwhile_is_on_the_endpoints_page(world: World, operator: Visitor) -> None:
    """Its newest deliveries, and how it does by then."""
    made = world.a_webhook(url="https://a.example/broken", max_retries=1)
    assert "Nothing yet." in operator.get(f"/endpoints/{made.id}").text
    publish(world)
    work(world)
    page = operator.get(f"/endpoints/{made.id}").text
    assert "Given up" in page
    assert "Failing" in page


def test_a_contact_waits_on_its_page_until_its_code_is_typed(world: World, operator: Visitor) -> None:
    """Named in the form; a wrong code is refused with the reason, and the right one is confirmed."""
    webhook = world.a_webhook(name="CRM")
    page = f"/endpoints/{webhook.id}"
    assert "nobody is told by mail" in operator.get(page).text
    operator.post(f"{page}/edit", filled(_fields(operator.get(f"{page}/edit")), contact=ADDRESS, digest="weekly"))
    assert (_get(world, webhook.id).contact, _get(world, webhook.id).digest) == (ADDRESS, "weekly")
    assert "waiting for confirmation" in operator.get(page).text
    refused = operator.press(f"{page}/contact", {"code": "AAAA"}, on=page)
    assert (refused.status, "is not the one of the confirmation mail" in refused.text) == (400, True)
    assert operator.press(f"{page}/contact/ask", on=page).status == 303
    assert operator.press(f"{page}/contact", {"code": code_of(world, webhook.id)}, on=page).status == 303
    assert "waiting for confirmation" not in operator.get(page).text
    operator.post(f"{page}/edit", filled(_fields(operator.get(f"{page}/edit")), contact=""))
    assert not _get(world, webhook.id).HasField("contact")

"""The pages of deliveries, events, replays, types and the audit trail."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.dashboard.words import endpoint_state
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.sample import fill, publish, work
from tests.support.dashboard import Dashboard
from tests.support.visitor import Visitor

if TYPE_CHECKING:
    from tests.integration.rpc.world import World


def _deliveries(world: World, **fields: Any) -> list[pb.Delivery]:  # noqa: ANN401 - the message's own
    return list(world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(**fields)).deliveries)


def _rows(page: str) -> list[str]:
    return re.findall(r'<tr id="r-([0-9a-f-]+)"', page)


def test_the_lists_filters_stand_in_its_address(world: World, operator: Visitor) -> None:
    """Each alone and all together; what is chosen is shown as chosen."""
    made = fill(world)
    every = _deliveries(world)
    dead = [each.id for each in every if each.status == "dead"]
    hangs = [each.id for each in every if each.webhook_id == made["hangs"].id]
    assert _rows(operator.get("/deliveries").text) == [each.id for each in every]
    assert _rows(operator.get("/deliveries?status=dead").text) == dead
    assert _rows(operator.get(f"/deliveries?webhook_id={made['hangs'].id}").text) == hangs
    assert _rows(operator.get(f"/deliveries?id_prefix={dead[0][:8]}").text) == [dead[0]]
    assert _rows(operator.get("/deliveries?created_before=2020-01-01T00:00").text) == []
    assert _rows(operator.get("/deliveries?event_type=summary.generated").text) == []
    page = operator.get(f"/deliveries?status=dead&webhook_id={made['broken'].id}&event_type=meeting.completed").text
    assert _rows(page) == dead
    assert len(re.findall(r'name="status" value="dead" checked|<option selected>meeting.completed', page)) == 2
    assert f'<option value="{made["broken"].id}" selected>' in page


@pytest.mark.parametrize(
    "query", ["status=odd", "created_after=yesterday", "id_prefix=XYZ", "webhook_id=1", "page_token=x"]
)
def test_a_filter_that_can_be_none_is_refused_in_words(operator: Visitor, query: str) -> None:
    """Not with a fault of ours."""
    answer = operator.get(f"/deliveries?{query}")
    assert (answer.status, "That can&#39;t be taken" in answer.text or "can't be taken" in answer.text) == (400, True)


@pytest.mark.parametrize("path", ["/deliveries", "/undelivered", "/events", "/audit"])
def test_no_match_is_another_thing_than_nothing_yet(operator: Visitor, path: str) -> None:
    """An empty list says which of the two it is; nothing yet comes with what to do next."""
    nothing, no_match = operator.get(path).text, operator.get(f"{path}?id_prefix=abc").text
    assert "No match." in no_match
    assert "No match." not in nothing
    assert 'class="nothing"' in nothing


def test_a_deliverys_life_is_told(world: World, operator: Visitor) -> None:
    """From the event to each answer, with the reason and what to do about it."""
    fill(world)
    dead = _deliveries(world, status="dead")[0]
    page = operator.get(f"/deliveries/{dead.id}").text
    life = page.partition('id="life"')[2].partition("</ol>")[0]
    moments = ["It happened", "was stored", "was matched", "Attempt 1: HTTP 500", "no database"]
    found = [life.index(each) for each in moments]
    assert found == sorted(found)
    assert "took 210 ms" in life
    assert "What to do:" in page
    assert "It has no attempts left." in page
    assert "&#34;title&#34;: &#34;Weekly" in page


def test_an_endpoint_state_of_another_release_is_shown_as_it_is() -> None:
    """Rather than as a fault."""
    health = pb.WebhookHealth(state="napping")
    assert endpoint_state(pb.Webhook(enabled=True, verified_at=Timestamp(seconds=1), health=health)).word == "napping"


def test_a_delivery_is_sent_again(world: World, operator: Visitor) -> None:
    """And its page shows who asked for it."""
    fill(world)
    dead = _deliveries(world, status="dead")[0]
    answer = operator.press(f"/deliveries/{dead.id}/resend")
    assert answer.location == f"/deliveries/{dead.id}?done=resent"
    page = operator.get(answer.location).text
    assert "Somebody sent it again; it was given up before" in page
    assert "Waits" in page
    assert operator.press(f"/deliveries/{dead.id}/resend").status == 409


def test_those_selected_are_sent_again_and_each_refusal_is_told(world: World, operator: Visitor) -> None:
    """One that is under way already does not keep the others from it."""
    fill(world)
    dead = [each.id for each in _deliveries(world, status="dead")]
    waiting = _deliveries(world, status="pending")[0].id
    token = operator.get("/deliveries").form_token
    fields = [("form_token", token), *(("delivery_id", each) for each in [*dead, waiting])]
    page = operator.post("/deliveries/resend", fields)
    assert f"{len(dead)} of {len(dead) + 1} are sent again" in page.text
    assert "Refused" in page.text.partition(f"/deliveries/{waiting}")[2]
    assert not _deliveries(world, status="dead")


@pytest.mark.parametrize("count", [0, 101])
def test_up_to_a_hundred_may_be_selected(operator: Visitor, count: int) -> None:
    """None is nothing to do, and more is a replay."""
    fields = [("form_token", operator.get("/deliveries").form_token)]
    fields += [("delivery_id", f"{number:032x}") for number in range(count)]
    assert operator.post("/deliveries/resend", fields).status == 400


def test_an_event_says_who_gets_it_and_who_does_not(world: World, operator: Visitor) -> None:
    """With the reason."""
    made = fill(world)
    event = world.client.events.ListEvents(pb.ListEventsRequest(page_size=1)).events[0]
    page = operator.get(f"/events/{event.id}").text
    got, _, without = page.partition("Who does not, and why")
    assert all(made[name].id in got for name in ("well", "broken", "hangs"))
    assert made["other"].id in without
    assert "does not subscribe to this type" in without


def test_a_meetings_events_are_found(world: World, operator: Visitor) -> None:
    """By the meeting's id, also one of another server's own form."""
    fill(world)
    answer = operator.get("/find?q=m-3")
    assert answer.location == "/events?meeting_id=m-3"
    assert len(_rows(operator.get(answer.location).text)) == 1


def test_one_box_finds_any_id_and_any_beginning(world: World, operator: Visitor) -> None:
    """Of a delivery, an event, an endpoint, a meeting, a replay; several are listed."""
    made = fill(world)["well"]
    meeting = world.a_meeting("Weekly")
    delivery = _deliveries(world)[0]
    replay = world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(status="dead"))
    for sought, found in (
        (delivery.id, f"/deliveries/{delivery.id}"),
        (delivery.id[:13].upper(), f"/deliveries/{delivery.id}"),
        (f"  {made.id} ", f"/endpoints/{made.id}"),
        (delivery.event_id, f"/events/{delivery.event_id}"),
        (meeting.id[:20], f"/events?meeting_id={meeting.id}"),
        (replay.id, f"/replays/{replay.id}"),
    ):
        assert operator.get(f"/find?q={sought.replace(' ', '+')}").location == found
    several = operator.get(f"/find?q={delivery.event_id[:4]}")
    assert several.text.count('class="id row"') > 1
    assert "No match" in operator.get("/find?q=%27%3Cscript%3E").text
    assert operator.get("/find?q=%00").status == 400
    assert "The box above" in operator.get("/find?q=").text


def test_the_box_of_the_list_takes_any_id(world: World, operator: Visitor) -> None:
    """Of a delivery, an event, an endpoint or a meeting; the other filters stay, and each can be taken away again."""
    made = fill(world)
    [delivery, *_] = _deliveries(world, webhook_id=made["broken"].id)
    beside = "&status=dead&status=skipped"
    for sought, kept in (
        (delivery.id, f"id_prefix={delivery.id}"),
        (delivery.event_id, f"event_id={delivery.event_id}"),
        (made["broken"].id, f"webhook_id={made['broken'].id}"),
        ("elsewhere 7", "meeting_id=elsewhere+7"),
    ):
        to = operator.get(f"/deliveries?q={sought.replace(' ', '+')}{beside}").location
        assert to == f"/deliveries?{kept}{beside}", sought
    page = operator.get(f"/deliveries?event_id={delivery.event_id}{beside}").text
    assert _rows(page) == [each.id for each in _deliveries(world, status="dead") if each.event_id == delivery.event_id]
    assert 'href="/deliveries?status=dead&amp;status=skipped" aria-label="Take away: Of the event' in page


def test_a_replay_takes_the_lists_filters(world: World, operator: Visitor) -> None:
    """But for states in which nothing can be sent again."""
    fill(world)
    page = operator.get("/deliveries?status=dead&status=pending&error_kind=status&meeting_id=m-1").text
    assert "/replays/new?error_kind=status&amp;meeting_id=m-1&amp;status=dead" in page
    assert "Replay all that match" not in operator.get("/deliveries?status=pending").text
    blank = operator.get("/replays/new?error_kind=status&meeting_id=m-1&status=dead")
    fields = {"form_token": blank.form_token, "error_kind": "status", "meeting_id": "m-1", "status": "dead"}
    assert "1 delivery matches" in operator.post("/replays/new", {**fields, "action": "count"}).text


def test_a_replay_is_counted_first_and_sends_what_was_counted(world: World, operator: Visitor) -> None:
    """What is made in between is not sent; its page shows how far it has come."""
    made = fill(world)["broken"]
    blank = operator.get(f"/replays/new?webhook_id={made.id}&status=dead")
    fields = {"form_token": blank.form_token, "webhook_id": made.id, "status": "dead", "action": "count"}
    counted = operator.post("/replays/new", fields).text
    assert "6 deliveries match" in counted
    assert not world.client.webhooks.ListReplays(pb.ListReplaysRequest()).replays
    publish(world)
    work(world)
    form = counted.partition('<form class="card sheet good"')[2].partition("</form>")[0]
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    begun = operator.post("/replays/new", {**hidden, "action": "begin"})
    assert begun.location.endswith("?done=replaying")
    [replay] = world.client.webhooks.ListReplays(pb.ListReplaysRequest()).replays
    assert (replay.matched, replay.status, replay.webhook_id) == (6, "dead", made.id)
    assert "0 of 6 made due" in operator.get(begun.location).text
    assert "0 of 6" in operator.get("/replays").text
    cancelled = operator.press(f"/replays/{replay.id}/cancel")
    assert "Cancelled" in operator.get(cancelled.location).text


def test_undelivered_says_why(world: World, operator: Visitor) -> None:
    """Each with its reason, and the way to it."""
    made = fill(world)
    publish(world)
    page = operator.get("/undelivered").text
    assert "Max retries exceeded: HTTP 500" in page
    assert "Not matched yet" in page
    assert len(_rows(operator.get(f"/undelivered?webhook_id={made['broken'].id}").text)) == 6
    assert made["well"].id not in "".join(_rows(page))


def test_event_types_have_schema_and_example(operator: Visitor) -> None:
    """In each of their versions."""
    assert "/event-types/meeting.completed" in operator.get("/event-types").text
    page = operator.get("/event-types/meeting.completed").text
    assert "&#34;meeting_id&#34;" in page.partition("Example")[2]
    assert "&#34;$schema&#34;" in page.partition("Schema</h2>")[2]
    assert operator.get("/event-types/custom.nothing").status == 404


def test_the_audit_trail_says_who_disabled_an_endpoint(world: World, operator: Visitor) -> None:
    """One link away from the endpoint."""
    made = world.a_webhook()
    operator.press(f"/endpoints/{made.id}/disable")
    link = f"/audit?target_id={made.id}"
    assert link in operator.get(f"/endpoints/{made.id}").text
    page = operator.get(link).text
    assert "webhook.updated" in page
    assert "&#34;enabled&#34;: false" in page


def test_a_page_that_has_not_changed_is_not_sent_again(world: World, operator: Visitor) -> None:
    """However much later: how long ago things are changes nothing."""
    made = fill(world)
    for path in ("/endpoints", f"/endpoints/{made['well'].id}", "/deliveries", "/undelivered", "/events"):
        tag = operator.get(path).headers["etag"]
        again = operator.get(path, if_none_match=tag, x_live="1")
        assert (again.status, again.text) == (304, "")
        # Its script asks by what the page itself says.
        assert f"data-tag={tag}" in operator.get(path).text
    tag = operator.get("/deliveries").headers["etag"]
    publish(world)
    work(world)
    assert operator.get("/deliveries", if_none_match=tag).status == 200


def test_a_server_that_is_away_is_told_of(world: World, operator: Visitor) -> None:
    """And the way to try again is there; what was seen before is not signed out."""
    world.stop(grace_s=0)
    answer = operator.get("/events?event_type=meeting.completed")
    assert answer.status == 503
    assert "The server is away" in answer.text
    assert operator.get("/events", x_live="1").status == 503
    assert operator.cookies


def test_webhooks_that_are_switched_off_are_told_of() -> None:
    """With the server's own words."""
    from tests.integration.rpc.world import World as AnyWorld  # noqa: PLC0415 - the fixture's class is for types above

    with AnyWorld(webhooks=False) as off, Dashboard(off.address) as running:
        answer = Visitor(running.port).sign_in(off.token)
        assert answer.status == 503
        assert "switched off" in answer.text


def test_times_say_their_zone_and_how_long_ago(world: World, operator: Visitor) -> None:
    """In UTC, for whoever has no JavaScript."""
    world.a_webhook()
    page = operator.get("/audit").text
    [(moment, text, ago)] = re.findall(
        r'<time datetime="([^"]+)">([^<]+)</time> <span class="ago">([^<]+)</span>', page
    )
    assert datetime.now(UTC) - datetime.fromisoformat(moment) < timedelta(minutes=5)
    assert text.endswith(" UTC")
    assert ago.endswith("ago") or ago == "now"


def test_a_list_shows_up_to_as_many_as_may_be_selected(world: World, operator: Visitor) -> None:
    """A hundred a page, where somebody asks for them; the next page has as many."""
    world.a_webhook(url="https://a.example/well")
    for number in range(105):
        publish(world, meeting_id=f"m-{number}")
    work(world)
    page = operator.get("/deliveries?event_type=meeting.completed").text
    [wider] = re.findall(r'<a href="([^"]+)">100 a page', page)
    page = operator.get(wider.replace("&amp;", "&")).text
    assert (len(_rows(page)), "100 a page" in page) == (100, False)
    [older] = re.findall(r'<a href="([^"]+)" rel="next"', page)
    assert len(_rows(operator.get(older.replace("&amp;", "&")).text)) == 5
    assert "rows=100&" in older


def test_what_waits_behind_a_dead_one_leads_to_it_and_goes_once_that_is_skipped(
    world: World, operator: Visitor
) -> None:
    """The page of the one names the other, and that one's page has the button."""
    world.a_webhook(url="https://a.example/broken", max_retries=1, ordering="per_meeting", on_dead="stop")
    for _ in range(2):
        publish(world, meeting_id="m-1")
        work(world, throttled=True)
    [dead] = _deliveries(world, status="dead")
    [waits] = _deliveries(world, status="pending")
    page = operator.get(f"/deliveries/{waits.id}").text
    assert f'Delivery <a class="id" href="/deliveries/{dead.id}">{dead.id}</a> of the same meeting is dead' in page
    assert "Skip it" in operator.get(f"/deliveries/{dead.id}").text
    answer = operator.press(f"/deliveries/{dead.id}/skip")
    assert answer.location == f"/deliveries/{dead.id}?done=skipped"
    assert "what waited behind it goes" in operator.get(answer.location).text
    assert "of the same meeting is dead" not in operator.get(f"/deliveries/{waits.id}").text


def test_a_reason_comes_with_the_next_step(world: World, operator: Visitor) -> None:
    """As a button where that is one, for whoever may press it."""
    made = fill(world)
    broken = f"/endpoints/{made['broken'].id}"
    dead = f"/deliveries/{_deliveries(world, status='dead')[0].id}"
    assert f'href="{broken}/edit">Edit the endpoint' in operator.get(dead).text
    operator.press(f"{broken}/disable")
    assert f'action="{broken}/enable"' in operator.get(dead).text
    waits = f"/deliveries/{_deliveries(world, status='pending')[0].id}"
    hangs = f"/endpoints/{made['hangs'].id}"
    operator.press(f"{hangs}/pause")
    assert f'action="{hangs}/resume"' in operator.get(waits).text


def test_an_event_for_one_endpoint_names_no_others(world: World, operator: Visitor) -> None:
    """They don't get it because it is not for them, whatever they subscribe to."""
    made = fill(world)
    world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=made["well"].id))
    event = world.client.events.ListEvents(pb.ListEventsRequest(event_type="webhook.test")).events[0]
    page = operator.get(f"/events/{event.id}").text
    assert "it is for this one alone" in page
    assert "Who does not" not in page


def test_the_audit_trail_tells_a_change_in_its_row(world: World, operator: Visitor) -> None:
    """With the endpoint's name, and what each field was before."""
    made = fill(world)["well"]
    operator.press(f"/endpoints/{made.id}/disable")
    row = operator.get(f"/audit?target_id={made.id}").text.partition("<tbody")[2].partition("</tr>")[0]
    assert "<bdi>CRM</bdi>" in row
    assert "<code>enabled</code> <bdi>true</bdi> → <bdi>false</bdi>" in row


def test_a_replay_of_a_day_is_one_link(operator: Visitor) -> None:
    """A day of UTC without JavaScript; other filters stay."""
    page = operator.get("/replays/new?status=dead&meeting_id=m-7").text
    [link] = re.findall(r'href="([^"]+)">Yesterday', page)
    today = datetime.now(UTC).replace(hour=0, minute=0)
    yesterday = f"{today - timedelta(days=1):%Y-%m-%dT%H:%M}", f"{today:%Y-%m-%dT%H:%M}"
    page = operator.get(link.replace("&amp;", "&")).text
    assert re.findall(r'type="datetime-local" name="\w+" value="([^"]+):00"', page) == [*yesterday]
    assert 'name="status" value="dead" checked' in page
    assert "m-7" in page

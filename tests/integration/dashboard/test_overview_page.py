"""The first page and its charts: figures that agree with the lists that they lead to."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard import drawing
from noteflow_hooks.dashboard.pages import short
from noteflow_hooks.dashboard.views.figures import undelivered
from noteflow_hooks.domain.access import Scope
from tests.integration.dashboard.sample import count, fill, publish, work
from tests.support.visitor import Visitor

if TYPE_CHECKING:
    from tests.integration.rpc.world import World


def _figures(page: str) -> dict[str, tuple[str, str]]:
    """Return each figure at the top, and where it leads."""
    found = re.findall(r"<div><dt>([^<]+)</dt><dd[^>]*><a href=\"([^\"]+)\">([^<]+)</a>", page)
    return {name: (figure, html.unescape(to)) for name, to, figure in found}


def _rows(page: str) -> int:
    return len(re.findall(r'<tr id="r-', page))


def test_each_figure_leads_to_the_list_that_it_counts(world: World, operator: Visitor) -> None:
    """Events, attempts, what succeeded, and why the rest is undelivered."""
    fill(world)
    page = operator.get("/overview").text
    figures = _figures(page)
    assert figures["Events"][0] == "6"
    assert _rows(operator.get(figures["Events"][1]).text) == 6
    assert figures["Attempts"] == ("13", "#charts-table")
    assert figures["Succeeded"] == ("46.2%", "#charts-table")
    [table] = re.findall(r'id="charts-table">(.*?)</table>', page, re.DOTALL)
    counts = re.findall(r'</th><td class="number">(\d+)</td><td class="number">(\d+)</td>', table)
    assert [sum(int(each) for each in column) for column in zip(*counts[:-1], strict=True)] == [13, 6]
    assert counts[-1] == ("13", "6")
    made = html.unescape(page.partition('<p><a href="')[2].partition('"')[0])
    assert _rows(operator.get(made).text) == 18
    assert figures["Undelivered now"][0] == "12"
    reasons = re.findall(r'<a href="([^"]+)"><span class="words">([^<]+)</span><strong>(\d+)</strong>', page)
    assert {words: int(number) for _, words, number in reasons[:2]} == {
        "Held back: its endpoint is paused, limited, slow or on hold": 6,
        "Given up: an answer that is no success": 6,
    }
    for to, words, number in reasons[:2]:
        assert _rows(operator.get(html.unescape(to)).text) == int(number), words


def test_what_is_skipped_and_what_waits_leads_to_exactly_those(world: World, operator: Visitor) -> None:
    """The reasons' numbers are their lists', whatever else is skipped; so does a replay of them."""
    made = fill(world)
    hooks = world.client.webhooks
    for name in ("well", "hangs"):
        hooks.UpdateWebhook(
            pb.UpdateWebhookRequest(webhook_id=made[name].id, enabled=False, update_mask=FieldMask(paths=["enabled"]))
        )
    publish(world, title="Later", meeting_id="m-9")
    world.a_webhook(url="https://later.example/well", events=["meeting.completed"], filter="data.nope > 5")
    publish(world, title="Last", meeting_id="m-9")
    work(world)
    page = operator.get("/undelivered").text
    reasons = re.findall(r'<a href="([^"]+)"><span class="words">([^<]+)</span><strong>(\d+)</strong>', page)
    assert {"Skipped: the endpoint was disabled"} <= {html.unescape(words) for _, words, _ in reasons}
    for to, words, number in reasons:
        assert _rows(operator.get(html.unescape(to)).text) == int(number), words
    listed = operator.get("/deliveries?status=skipped&skip_reason=disabled").text
    [replay] = re.findall(r'<a href="([^"]+)">Replay all that match</a>', listed)
    assert '<option value="disabled" selected>' in operator.get(html.unescape(replay)).text
    assert "Replay all that match" not in operator.get("/deliveries?status=pending&held=true").text


def test_filters_that_cannot_be_taken_stay_in_the_form_with_the_reason(world: World, operator: Visitor) -> None:
    """They are changed there, and nothing is listed by others meanwhile; the reason calls each as its label does."""
    fill(world)
    for page, query, typed, name in (
        ("/deliveries", "status=dead&skip_reason=odd", '<option value="odd" selected>', "Skipped because"),
        ("/deliveries", "held=perhaps&event_type=a.b", '<option value="perhaps" selected>', "Held back"),
        ("/live", "status_code=4x4", 'name="status_code" value="4x4"', "Answered"),
        ("/undelivered", "id_prefix=xyz", 'name="id_prefix" value="xyz"', "Id begins with"),
        ("/events", "created_after=noon&meeting_id=m-7", 'name="meeting_id" value="m-7"', "From"),
        ("/endpoints", "state=odd", "<option selected>odd</option>", "State"),
        ("/audit", "action=odd", 'name="action" value="odd"', "What was done"),
        ("/replays/new", "held=true&meeting_id=m-7", 'name="meeting_id" value="m-7"', "Held back"),
    ):
        answer = operator.get(f"{page}?{query}")
        assert (answer.status, _rows(answer.text)) == (400, 0), page
        assert f"can't be taken: {name}" in answer.text, page
        assert typed in answer.text, page


def test_an_id_of_its_time_is_told_from_its_neighbours() -> None:
    """Those of one minute begin alike."""
    assert short("01a22977-0f6e-7c3a-8a11-4a5e6f708192") == "01a22977\N{HORIZONTAL ELLIPSIS}8192"
    assert short("b281a2f5-00a0-48b1-9305-bf9abca82089") == "b281a2f5"


def test_what_waits_and_what_is_held_back_have_a_list_each() -> None:
    """So that each number is its list's."""
    waits, held = (f"/deliveries?status=pending&held={each}" for each in ("false", "true"))
    for now, expected in (((3, 0), {waits: 3}), ((3, 3), {held: 3}), ((3, 1), {waits: 2, held: 1})):
        reasons = undelivered(pb.StatsNow(pending=now[0], held=now[1]))
        assert {each.to: each.count for each in reasons} == expected


def test_endpoints_that_need_care_are_named(world: World, operator: Visitor) -> None:
    """With how many there are of each state, and the way to those."""
    fill(world)
    page = operator.get("/overview").text
    care = page.partition('id="care"')[2].partition("</section>")[0]
    assert "Billing" in care
    assert "CRM" not in care
    assert "/endpoints?state=failing" in care
    listed = operator.get("/endpoints?state=failing").text
    assert (_rows(listed), "CRM" in listed) == (2, False)
    assert "No match." in operator.get("/endpoints?state=paused").text


def test_the_charts_numbers_stand_in_a_table(world: World, operator: Visitor) -> None:
    """All of them, the same as at the top; and each span has its own time buckets."""
    fill(world)
    for span, buckets in (("1h", 61), ("24h", 49), ("7d", 29), ("30d", 31)):
        table = operator.get(f"/overview?span={span}").text.partition('class="numbers"')[2].partition("</table>")[0]
        table = table.partition("<tfoot>")[0]
        rows = re.findall(r'</th><td class="number">(\d+)</td><td class="number">(\d+)</td>', table)
        assert abs(len(rows) - buckets) <= 1, span
        assert (sum(int(each) for each, _ in rows), sum(int(each) for _, each in rows)) == (13, 6)
    assert 'aria-current="true">24 hours' in operator.get("/overview?span=odd").text


def test_an_endpoints_charts_are_its_own(world: World, operator: Visitor) -> None:
    """And so are its reasons."""
    made = fill(world)
    page = operator.get(f"/endpoints/{made['broken'].id}?span=7d").text
    figures = _figures(page)
    assert (figures["Attempts"][0], figures["Succeeded"][0], figures["Undelivered now"][0]) == ("6", "0%", "6")
    assert f"webhook_id={made['broken'].id}" in figures["Undelivered now"][1]


def test_an_empty_workspace_names_the_next_step(world: World, operator: Visitor) -> None:
    """And shows no number that was never counted."""
    page = operator.get("/overview").text
    assert "Add the first one" in page
    assert "All is delivered" in page
    fill(world)
    stranger = Visitor(operator.port)
    stranger.sign_in(world.make_token()[0])
    theirs = stranger.get("/overview").text
    assert "Billing" not in theirs
    assert _figures(theirs)["Events"][0] == "0"


def test_a_token_that_may_only_look_sees_the_overview_without_a_button(world: World, visitor: Visitor) -> None:
    """It is all there is to look at."""
    token, _ = world.another_token(scopes=frozenset({Scope.READ}))
    visitor.sign_in(token)
    page = visitor.get("/overview")
    assert (page.status, page.text.count('method="post"')) == (200, 1)
    assert "/endpoints/new" not in page.text


def test_how_the_system_does_is_told(operator: Visitor) -> None:
    """Relay and sweep that never ran are away, and so are the workers."""
    page = operator.get("/overview").text
    system = page.partition('id="system"')[2].partition("</ul>")[0]
    assert re.findall(r"pill (\w+)", system) == ["bad", "bad", "bad", "good"]
    assert "it has never run to its end" in system


def test_what_happens_meanwhile_is_counted_after_seconds(world: World, operator: Visitor) -> None:
    """What was counted a moment ago may be told again."""
    made = world.a_webhook(url="https://a.example/well")
    publish(world)
    work(world)
    count(world)
    page = operator.get("/endpoints").text
    assert "100% of 1" in page
    assert made.id in page


def test_a_share_is_all_only_where_all_is() -> None:
    """And nothing where there is nothing."""
    shares = ((0, 0), (0, 9), (1, 100_000), (1, 3), (99_999, 100_000), (5, 5))
    assert [drawing.percent(*each) for each in shares] == ["\N{EN DASH}", "0%", "0.1%", "33.3%", "99.9%", "100%"]


def test_axes_end_with_round_numbers_and_lines_have_gaps() -> None:
    """A value by itself is a dash as wide as its time bucket."""
    assert [drawing.rounded_up(each) for each in (0, 1, 4, 11, 21, 999, 1001)] == [1, 1, 5, 20, 30, 1000, 2000]
    values = (10, None, 5, 10, None)
    buckets = [
        pb.StatsBucket(counts=pb.StatsCounts(duration_p50_ms=each) if each is not None else pb.StatsCounts())
        for each in values
    ]
    assert drawing.lines(buckets).p50 == "M0 0.0H1M2.5 50.0L3.5 0.0"
    assert drawing.lines([]).p95 == ""


def test_an_endpoints_day_has_a_bar_for_each_hour(world: World, operator: Visitor) -> None:
    """Of what succeeded and of what failed."""
    made = fill(world)
    row = operator.get("/endpoints").text.partition(f'id="r-{made["broken"].id}"')[2].partition("</tr>")[0]
    assert 'viewBox="0 0 24 100"' in row or 'viewBox="0 0 25 100"' in row
    assert ": 0 succeeded, 6 failed</title>" in row
    assert "0% of 6" in row

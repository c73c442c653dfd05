"""What was shown last: the same values are known to be the same page, before they are made into HTML."""

from __future__ import annotations

from starlette.datastructures import URL

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.sessions import Session
from noteflow_hooks.dashboard.shown import Shown
from noteflow_hooks.dashboard.visit import Page


def _page(status: str) -> Page:
    found = pb.ListDeliveriesResponse(deliveries=[pb.Delivery(id="1", status=status)], total=1)
    return Page("deliveries.html", {"deliveries": found.deliveries, "total": found.total})


def test_a_page_made_from_the_same_is_the_same() -> None:
    """To that session, at that address, and for who has the newest; whatever differs in it makes another page of it."""
    shown, session, url = Shown(), Session("mine", "token", 0, 0, may_manage=True), URL("/deliveries?status=dead")
    assert not shown.is_same(session, url, _page("dead"), "")
    shown.keep(session, url, _page("dead"), '"a"')
    assert shown.is_same(session, url, _page("dead"), '"a"')
    assert not shown.is_same(session, url, _page("pending"), '"a"')
    assert not shown.is_same(session, url, _page("dead"), '"b"')
    assert not shown.is_same(session, URL("/deliveries"), _page("dead"), '"a"')
    other = Session("other", "token", 0, 0, may_manage=True)
    assert not shown.is_same(other, url, _page("dead"), '"a"')


def test_so_many_pages_are_remembered_and_the_oldest_goes() -> None:
    """Who looks at that one is shown it anew."""
    shown, session = Shown(), Session("mine", "token", 0, 0, may_manage=True)
    addresses = [URL(f"/deliveries?n={number}") for number in range(101)]
    for each in addresses:
        shown.keep(session, each, _page("dead"), '"a"')
    assert [shown.is_same(session, each, _page("dead"), '"a"') for each in addresses] == [False] + [True] * 100

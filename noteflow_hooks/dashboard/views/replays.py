"""Replays: counted first, begun with the same filters, and looked at while they run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, endpoint_names, pager, type_names
from noteflow_hooks.dashboard.views.endpoint_fields import FIELDS
from noteflow_hooks.dashboard.views.narrowing import IDS, chosen, request_fields
from noteflow_hooks.dashboard.visit import Page, Redirect, address
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Form, Visit

_STATUSES: Final = ("dead", "skipped", "succeeded")
#: What a replay takes where nothing is said: what was not delivered, but for what filters have held back.
_UNSAID: Final = ("dead", "skipped")


def listed(visit: Visit) -> Page:
    """Return the list."""
    page_token = visit.query.text("page_token")
    request = pb.ListReplaysRequest(page_size=ROWS, page_token=page_token, with_total=True)
    found = visit.client.webhooks.ListReplays(request)
    values = {"replays": found.replays, "total": found.total, "names": endpoint_names(visit)}
    return Page("replays.html", {**values, **pager(visit, (), found.next_page_token)})


def shown(visit: Visit) -> Page:
    """Return one replay, as far as it has come."""
    replay = visit.client.webhooks.GetReplay(pb.GetReplayRequest(replay_id=visit.id()))
    wanted = list(replay.statuses) or ([replay.status] if replay.status else list(_UNSAID))
    named = {name: getattr(replay, name) for name in ("webhook_id", "event_type", "error_kind", "skip_reason", *IDS)}
    if replay.HasField("created_after"):
        named["created_after"] = replay.created_after.ToJsonString()
    if replay.HasField("created_before"):
        named["created_before"] = _full_second(replay.created_before.ToDatetime(UTC)).isoformat()
    values = {"replay": replay, "wanted": wanted, "named": named, "names": endpoint_names(visit)}
    return Page("replay.html", values)


def blank(visit: Visit) -> Page:
    """Return the form; the address may name filters to begin with."""
    try:
        _fields(visit.query)
    except InvalidInputError as error:
        return _form(visit, visit.query, refused=str(error))
    return _form(visit, visit.query)


def begin(visit: Visit) -> Page | Redirect:
    """Count what matches; begin, once that was seen. What can't be taken is shown again, as it was typed."""
    begins = visit.form.text("action") == "begin"
    try:
        request = _request(visit.form)
        request.dry_run = not begins
        replay = visit.client.webhooks.ReplayDeliveries(request)
    except InvalidInputError as error:
        return _form(visit, visit.form, refused=str(error))
    return Redirect(f"/replays/{replay.id}?done=replaying") if begins else _form(visit, visit.form, counted=replay)


def cancel(visit: Visit) -> Redirect:
    """Cancel a replay that runs."""
    visit.client.webhooks.CancelReplay(pb.CancelReplayRequest(replay_id=visit.id()))
    return Redirect(f"/replays/{visit.id()}?done=cancelled")


def _day_of(path: str, chosen: dict[str, Any], ahead: int) -> str:
    """Return the form's address with a day of UTC, so many days from today."""
    begins = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=ahead)
    day = {
        "created_after": f"{begins:%Y-%m-%dT%H:%M}",
        "created_before": f"{begins + timedelta(days=1):%Y-%m-%dT%H:%M}",
    }
    return address(path, **{**chosen, **day})


def _full_second(moment: datetime) -> datetime:
    """Return the first full second that is no earlier: lists are asked for by those."""
    return (moment + timedelta(microseconds=999_999)).replace(microsecond=0)


def _request(form: Form) -> pb.ReplayDeliveriesRequest:
    rate = FIELDS["rate_limit_per_s"](form.text("rate_per_s"), "rate_per_s")
    fields = _fields(form)
    if sorted(fields["statuses"]) == sorted(_UNSAID):
        del fields["statuses"]
    elif len(fields["statuses"]) == 1:
        [fields["status"]] = fields.pop("statuses")
    return pb.ReplayDeliveriesRequest(**fields, rate_per_s=rate)


def _fields(form: Form) -> dict[str, Any]:
    """Return the filters, and refuse what would be left out: the replay would send more than was asked for."""
    fields = request_fields(form)
    if "held" in fields:
        raise InvalidInputError("held", "is no filter of a replay, which sends again what has ended")
    return fields


def _form(visit: Visit, source: Form, *, counted: pb.Replay | None = None, refused: str = "") -> Page:
    asked = {**chosen(source), "rate_per_s": source.text("rate_per_s")}
    asked["status"] = asked["status"] or _UNSAID
    # What is begun is what was counted: nothing that was made in between.
    until = counted.created_before.ToJsonString() if counted is not None else ""
    values: dict[str, Any] = {
        "day_of": _day_of,
        "chosen": asked,
        "counted": counted,
        "until": until,
        "statuses": _STATUSES,
    }
    choices = {"names": endpoint_names(visit), "types": type_names(visit)}
    return Page("replay_form.html", {**values, **choices, "refused": refused}, 400 if refused else 200)

"""The SQL of the lists of endpoints and meetings names the rows that the domain names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.domain.matching import is_in_state, is_met
from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.domain.paging import MeetingFilter, WebhookFilter
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.meetings import SqlAlchemyMeetingRepository
from noteflow_hooks.persistence.sql.webhooks import SqlAlchemyWebhookRepository
from noteflow_hooks.persistence.sql.work import Work
from tests.support.builders import a_meeting
from tests.support.twins import MAYBE, MOMENTS, Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig

CONVERTER = WebhookConverter(SecretBox([bytes(32)]))


@twin("domain.matching.is_in_state", "domain.health.endpoint_state.state_of", "domain.urls.host_of")
@given(
    generated=st.lists(
        st.tuples(
            endpoints(),
            st.sampled_from(["CRM", "Ümlaut", "a.b", "50%"]),
            st.sampled_from(
                ["https://crm.example/a.b", "https://a.b:8443/?crm", "https://[2001:db8::1]/", "http://[::1]:80/x"]
            ),
        ),
        max_size=5,
    ),
    text=st.sampled_from([None, None, "crm", "A.B", "::1", "%", "/", "8443", "ümlaut"]),
)
def test_which_endpoints_are_listed_is_one_thing(
    tables: Engine,
    generated: list[tuple[Endpoint, str, str]],
    text: str | None,
) -> None:
    """By the one word for their state, and by name and host."""

    def check(rows: Rows) -> None:
        ids = [
            rows.endpoint(replace(each, config={**each.config, "name": name}), url=url) for each, name, url in generated
        ]
        repository = SqlAlchemyWebhookRepository(Work.inside(rows.connection), CONVERTER)
        made = [rows.read_endpoint(each) for each in ids]
        for state in (None, *EndpointState):
            agree(repository, rows, made, WebhookFilter(state=state, text=text))

    def agree(
        repository: SqlAlchemyWebhookRepository,
        rows: Rows,
        made: list[tuple[WebhookConfig, EndpointHealth]],
        criteria: WebhookFilter,
    ) -> None:
        expected = {
            webhook.id
            for webhook, health in made
            if webhook.deleted_at is None and is_in_state(webhook, health, criteria)
        }
        found = repository.list_with_health(rows.workspace_id, criteria, limit=100)
        assert {each.id for each, _ in found} == expected
        assert repository.count(rows.workspace_id, criteria) == len(expected)

    in_transaction(tables, check)


@twin("domain.matching.is_met")
@given(
    meetings=st.lists(
        st.tuples(st.sampled_from([None, "Weekly", "WEEKLY 2", "50%"]), MOMENTS, st.booleans()), max_size=6
    ),
    columns=st.fixed_dictionaries(
        {
            "state": st.none() | st.sampled_from(list(MeetingState)),
            "text": st.sampled_from([None, None, "weekly", "%", "2"]),
            "created_after": MAYBE,
            "created_before": MAYBE,
        }
    ),
)
def test_which_meetings_are_listed_is_one_thing(
    tables: Engine, meetings: list[tuple[str | None, float, bool]], columns: dict[str, Any]
) -> None:
    """By state, title and time."""

    def check(rows: Rows) -> None:
        repository = SqlAlchemyMeetingRepository(Work.inside(rows.connection))
        made = [
            a_meeting(
                workspace_id=rows.workspace_id,
                title=title,
                created_at=rows.at(created_at),
                state=MeetingState.COMPLETED if stopped else MeetingState.ACTIVE,
                stopped_at=rows.now if stopped else None,
            )
            for title, created_at, stopped in meetings
        ]
        for each in made:
            repository.create(each)
        moments = {name: rows.at(columns[name]) for name in ("created_after", "created_before")}
        criteria = MeetingFilter(**(columns | moments))
        expected = {each.id for each in made if is_met(each, criteria)}
        assert {each.id for each in repository.list_page(rows.workspace_id, criteria, limit=100)} == expected
        assert repository.count(rows.workspace_id, criteria) == len(expected)

    in_transaction(tables, check)

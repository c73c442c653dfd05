"""The SQL of the audit trail names the rows that the domain names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, text

from noteflow_hooks.domain.audit.breakers import TOLD_EVERY, BreakerTally
from noteflow_hooks.domain.audit.entries import Action, ActorKind, AuditFilter, TargetKind, is_listed
from noteflow_hooks.persistence.sql.audit import SqlAlchemyAuditTrail
from noteflow_hooks.persistence.sql.audit_statements import RIPE, params_of
from noteflow_hooks.persistence.sql.orm import AuditEntryRow, BreakerTallyRow
from noteflow_hooks.persistence.sql.work import Work
from tests.support.builders import an_entry
from tests.support.twins import MOMENTS, Rows, in_transaction, twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.audit.entries import AuditEntry

#: The fields by which entries are filtered, each with two values.
FIELDS: dict[str, list[Any]] = {
    "actor_kind": [ActorKind.TOKEN, ActorKind.SYSTEM],
    "actor": ["a", "b"],
    "action": [Action.WEBHOOK_TESTED, Action.WEBHOOK_GONE],
    "target_kind": [TargetKind.WEBHOOK, TargetKind.MEETING],
    "target_id": ["1", "2"],
}
ENTRIES = st.fixed_dictionaries({"at": MOMENTS, **{name: st.sampled_from(each) for name, each in FIELDS.items()}})
COMBINED = st.fixed_dictionaries({name: st.none() | st.sampled_from(each) for name, each in FIELDS.items()})


def _filters(made: list[AuditEntry], combined: dict[str, Any]) -> Iterator[AuditFilter]:
    """Yield a filter of each value alone, of each entry's very moment, and of all together."""
    yield AuditFilter(**combined)
    for name, values in FIELDS.items():
        yield from (AuditFilter(**{name: each}) for each in values)
    for each in made:
        yield AuditFilter(created_after=each.at)
        yield AuditFilter(created_before=each.at)


@twin("domain.audit.entries.is_listed")
@given(entries=st.lists(ENTRIES, min_size=2, max_size=8), combined=COMBINED)
def test_which_entries_are_listed_is_one_thing(
    tables: Engine, entries: list[dict[str, Any]], combined: dict[str, Any]
) -> None:
    """Whatever the filter names, alone and together."""

    def check(rows: Rows) -> None:
        made = [an_entry(workspace_id=rows.workspace_id, **(each | {"at": rows.at(each["at"])})) for each in entries]
        rows.connection.execute(insert(AuditEntryRow), [params_of(each) | {"at": each.at} for each in made])
        trail = SqlAlchemyAuditTrail(Work.inside(rows.connection))
        for criteria in _filters(made, combined):
            expected = {each.id for each in made if is_listed(each, criteria)}
            assert {each.id for each in trail.list_page(rows.workspace_id, criteria, limit=99)} == expected, criteria
            assert trail.count(rows.workspace_id, criteria) == len(expected), criteria

    in_transaction(tables, check)


@twin("domain.audit.breakers.BreakerTally.is_ripe")
@given(moments=st.lists(MOMENTS, min_size=1, max_size=6))
def test_whose_hour_is_over_is_one_thing(tables: Engine, moments: list[float]) -> None:
    """The very moment included."""

    def check(rows: Rows) -> None:
        made = [
            BreakerTally(webhook_id=uuid4(), workspace_id=rows.workspace_id, told_at=rows.at(each)) for each in moments
        ]
        values = [{name: getattr(each, name) for name in BreakerTally.__dataclass_fields__} for each in made]
        rows.connection.execute(insert(BreakerTallyRow), values)
        chosen = text(f"SELECT webhook_id FROM noteflow.breaker_tallies WHERE {RIPE}")  # noqa: S608 - the SQL under test
        found = set(rows.connection.scalars(chosen, {"every": TOLD_EVERY}))
        assert found == {each.webhook_id for each in made if each.is_ripe(rows.now)}

    in_transaction(tables, check)

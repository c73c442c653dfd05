"""The SQL of the roll-ups says what the domain says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.stats import BOUNDS_MS, bin_of, ended_by
from noteflow_hooks.persistence.sql.maintenance.rollup_statements import bin_sql
from noteflow_hooks.persistence.sql.moves import ENDED_BY
from tests.support.builders import a_delivery
from tests.support.twins import twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


@twin("domain.stats.bin_of")
@given(generated=st.lists(st.integers(0, 2**40), max_size=20))
def test_a_duration_is_in_one_bin(tables: Engine, generated: list[int]) -> None:
    """At each bound, just below and just above it, and anywhere."""
    asked = [*generated, *(bound + by for bound in BOUNDS_MS for by in (-1, 0, 1))]
    with tables.connect() as connection:
        statement = text(f"SELECT {bin_sql('each')} FROM unnest(CAST(:asked AS bigint[])) AS each")  # noqa: S608 - ours
        assert list(connection.scalars(statement, {"asked": asked})) == [bin_of(each) for each in asked]


@twin("domain.stats.ended_by")
@given(
    status=st.sampled_from([DeliveryStatus.DEAD, DeliveryStatus.SKIPPED]),
    kind=st.sampled_from([None, *ErrorKind]),
    reason=st.sampled_from([None, *SkipReason]),
)
def test_what_ended_a_delivery_is_one_word(
    tables: Engine, status: DeliveryStatus, kind: ErrorKind | None, reason: SkipReason | None
) -> None:
    """Of each status, whatever else stands in the row."""
    values = "CAST(:status AS text) AS status, CAST(:kind AS text) AS error_kind, CAST(:reason AS text) AS skip_reason"
    statement = text(f"SELECT {ENDED_BY} FROM (SELECT {values}) AS own")  # noqa: S608 - our own constants
    with tables.connect() as connection:
        found = connection.scalars(statement, {"status": status, "kind": kind, "reason": reason}).one()
    assert found == ended_by(a_delivery(status=status, error_kind=kind, skip_reason=reason))

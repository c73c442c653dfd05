"""The schema's CHECKs, which migrations have written down, allow what the domain allows, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES, SUCCESS, ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.endpoint_keys import Signing, check_signing
from noteflow_hooks.domain.event_types import check_custom_name
from noteflow_hooks.domain.events import SUBSCRIBABLE
from noteflow_hooks.domain.options import FILTER_LIMIT, NO_OPTIONS, Format, OnDead, Ordering
from noteflow_hooks.domain.payload_versions import FIRST
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.domain.schema_bounds import SCHEMA_LIMIT_BYTES
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.urls import MASK
from noteflow_hooks.domain.webhooks import MAX_CONCURRENCY, MAX_RETRIES, RATE_LIMIT_PER_S, TIMEOUT_MS, check_events
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.persistence.sql.delivery import claim_statements
from tests.support.twins import Endpoint, Rows, in_transaction, twin

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.engine import Engine

PLAIN = Endpoint({}, {"failures": 0})


def accepts(rows: Rows, table: str, row_id: UUID, changes: str, **params: Any) -> bool:  # noqa: ANN401 - columns
    """Tell whether a row may be changed like that."""
    statement = text(f"UPDATE noteflow.{table} SET {changes} WHERE id = :id")  # noqa: S608 - the tests' own words
    try:
        with rows.connection.begin_nested():
            assert rows.connection.execute(statement, {"id": row_id, **params}).rowcount == 1
    except IntegrityError:
        return False
    return True


@twin(
    "domain.webhooks.TIMEOUT_MS",
    "domain.webhooks.MAX_RETRIES",
    "domain.webhooks.MAX_CONCURRENCY",
    "domain.webhooks.RATE_LIMIT_PER_S",
)
@given(nth=st.sampled_from([0, 1, 2, 3]))
def test_an_endpoint_s_bounds_are_one_thing(tables: Engine, nth: int) -> None:
    """The first one that is refused lies right beside the last one that is taken."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(PLAIN)
        for name, allowed in (
            ("timeout_ms", TIMEOUT_MS),
            ("max_retries", MAX_RETRIES),
            ("max_concurrency", MAX_CONCURRENCY),
        ):
            value = [allowed[0] - 1, allowed[0], allowed[-1], allowed[-1] + 1][nth]
            assert accepts(rows, "webhook_configs", webhook_id, f"{name} = :value", value=value) == (value in allowed)
        least, most = RATE_LIMIT_PER_S
        rate = [least - 0.001, least, most, most + 0.001][nth]
        taken = accepts(rows, "webhook_configs", webhook_id, "rate_limit_per_s = :value", value=rate)
        assert taken == (least <= rate <= most)

    in_transaction(tables, check)


#: Names of types, and what only looks like them.
NAMES = st.one_of(
    st.sampled_from([*map(str, SUBSCRIBABLE), "webhook.test", "other", "custom", "custom.", "custom.a\n", "customs.a"]),
    st.from_regex(r"custom(\.[a-z0-9_]{1,4}){1,3}", fullmatch=True),
    st.text("custom.aA_0 \n-é", min_size=1, max_size=12).map("custom.".__add__),
    st.integers(120, 123).map(lambda length: "custom." + "x" * length),
)


@twin("domain.webhooks.check_events")
@given(chosen=st.sets(NAMES, max_size=3))
def test_what_can_be_subscribed_to_is_one_thing(tables: Engine, chosen: set[str]) -> None:
    """Of several types each has to be allowed; whether a workspace has one of its own is not the table's to say."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(PLAIN)
        taken = accepts(rows, "webhook_configs", webhook_id, "events = :value", value=sorted(chosen))
        assert taken == is_taken(lambda: check_events(chosen))
        assert not accepts(rows, "webhook_configs", webhook_id, "events = :value", value=[*sorted(chosen), None])

    in_transaction(tables, check)


@twin("domain.event_types.check_custom_name", "domain.schema_bounds.SCHEMA_LIMIT_BYTES")
@given(name=NAMES, size=st.sampled_from([2, SCHEMA_LIMIT_BYTES, SCHEMA_LIMIT_BYTES + 1]))
def test_what_an_own_event_type_is_called_and_how_large_its_schema_is_are_one_thing(
    tables: Engine, name: str, size: int
) -> None:
    """The schema's size is in bytes."""

    def check(rows: Rows) -> None:
        statement = text("INSERT INTO noteflow.event_types (workspace_id, name, schema) VALUES (:id, :name, :schema)")
        params = {"id": rows.workspace_id, "name": name, "schema": "é" + "x" * (size - 2)}
        if is_taken(lambda: check_custom_name("name", name)) and size <= SCHEMA_LIMIT_BYTES:
            rows.connection.execute(statement, params)
        else:
            with pytest.raises(IntegrityError):
                rows.connection.execute(statement, params)

    in_transaction(tables, check)


@twin("domain.payload_versions.FIRST")
@given(version=st.integers(FIRST - 2, FIRST + 3))
def test_an_endpoint_s_version_of_payloads_is_one_thing(tables: Engine, version: int) -> None:
    """What only a later release has may stand there: the table outlives this one."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(PLAIN)
        taken = accepts(rows, "webhook_configs", webhook_id, "payload_version = :value", value=version)
        assert taken == (version >= FIRST)

    in_transaction(tables, check)


@twin("domain.endpoint_keys.Signing")
@given(word=st.sampled_from([*map(str, Signing), "", "HMAC", "rsa"]))
def test_what_signs_is_one_thing(tables: Engine, word: str) -> None:
    """Whatever else stood there, a worker could not tell what to send."""

    def check(rows: Rows) -> None:
        taken = accepts(rows, "webhook_configs", rows.endpoint(PLAIN), "signing = :value", value=word)
        assert taken == is_taken(lambda: check_signing(word))

    in_transaction(tables, check)


@twin("domain.options.EndpointOptions")
@given(
    named=st.fixed_dictionaries(
        {},
        optional={
            "filter": st.sampled_from(["", "true", "x" * FILTER_LIMIT, "x" * (FILTER_LIMIT + 1)]),
            "format": st.sampled_from([*map(str, Format), "", "xml"]),
            "batch_max": st.sampled_from([-1, 0, 1, 2, 100, 101]),
            "batch_wait_ms": st.sampled_from([-1, 0, 60_000, 60_001]),
            "ordering": st.sampled_from([*map(str, Ordering), "", "fifo"]),
            "on_dead": st.sampled_from([*map(str, OnDead), "", "wait"]),
        },
    )
)
def test_what_an_endpoint_s_options_may_be_is_one_thing(tables: Engine, named: dict[str, Any]) -> None:
    """Each by itself: which of them exclude each other is the application's to say."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(PLAIN)
        for name, value in named.items():
            is_preset = name == "format" and value in PRESETS
            hidden = ", url = 'https://chat.example/…', url_ciphertext = 'sealed'" if is_preset else ""
            plain = ", url = 'https://example.com', url_ciphertext = NULL" if name == "format" and not is_preset else ""
            taken = accepts(rows, "webhook_configs", webhook_id, f"{name} = :value{hidden}{plain}", value=value)
            assert taken == is_taken(partial(NO_OPTIONS.changed, {name: value})), name

    in_transaction(tables, check)


@twin("domain.preset_endpoints.with_hidden_url")
@given(
    chosen=st.sampled_from(list(Format)),
    url=st.sampled_from(
        ["https://hooks.slack.com/services/T1/B1/x", "https://hooks.slack.com/…", "https://a.example/"]
    ),
    sealed=st.booleans(),
    is_deleted=st.booleans(),
)
def test_where_a_preset_s_url_stands_is_one_thing(
    tables: Engine, *, chosen: Format, url: str, sealed: bool, is_deleted: bool
) -> None:
    """Sealed while it is there, with what is shown of it beside; no other endpoint has anything sealed."""

    def check(rows: Rows) -> None:
        taken = accepts(
            rows,
            "webhook_configs",
            rows.endpoint(PLAIN),
            "format = :format, url = :url, url_ciphertext = :sealed, deleted_at = CASE WHEN :gone THEN now() END",
            format=chosen,
            url=url,
            sealed=b"sealed" if sealed and not is_deleted else None,
            gone=is_deleted,
        )
        is_hidden = url.endswith(MASK) and (sealed or is_deleted)
        assert taken == (is_hidden if chosen.is_preset else is_deleted or not sealed)

    in_transaction(tables, check)


@twin("domain.webhooks.WebhookConfig.rate_per_s")
@given(chosen=st.sampled_from(list(Format)), rate=st.sampled_from([None, 0.5]))
def test_who_has_a_rate_is_one_thing(tables: Engine, chosen: Format, rate: float | None) -> None:
    """Of its own, or its vendor's."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(Endpoint({"format": chosen, "rate_limit_per_s": rate}, {"failures": 0}))
        found = rows.ids(f"SELECT id FROM noteflow.webhook_configs AS config WHERE {claim_statements.PACED}")  # noqa: S608 - a constant
        webhook, _ = rows.read_endpoint(webhook_id)
        assert (webhook_id in found) == (webhook.rate_per_s is not None)

    in_transaction(tables, check)


@twin("domain.options.EndpointOptions.is_scheduled")
@given(batch_max=st.sampled_from([0, 2, 100]), ordering=st.sampled_from(list(Ordering)))
def test_whose_deliveries_wait_for_slots_is_one_thing(tables: Engine, batch_max: int, ordering: Ordering) -> None:
    """Of batched and of ordered endpoints."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(Endpoint({"batch_max": batch_max, "ordering": ordering}, {"failures": 0}))
        found = rows.ids(f"SELECT id FROM noteflow.webhook_configs AS config WHERE {claim_statements.SCHEDULED}")  # noqa: S608 - a constant
        webhook, _ = rows.read_endpoint(webhook_id)
        assert (webhook_id in found) == webhook.options.is_scheduled

    in_transaction(tables, check)


@twin("domain.skipping.SkipReason")
@given(word=st.sampled_from([*map(str, SkipReason), "", "other"]))
def test_why_deliveries_are_skipped_is_one_thing(tables: Engine, word: str) -> None:
    """Programs read these words."""

    def check(rows: Rows) -> None:
        delivery_id = rows.delivery(rows.endpoint(PLAIN), status="skipped")
        taken = accepts(rows, "webhook_deliveries", delivery_id, "skip_reason = :value", value=word)
        assert taken == (word in set(SkipReason))

    in_transaction(tables, check)


def is_taken(check: Callable[[], object]) -> bool:
    """Tell whether the domain takes it."""
    try:
        check()
    except InvalidInputError:
        return False
    return True


@twin("domain.deliveries.DeliveryStatus", "domain.attempts.SUCCESS")
@given(status=st.sampled_from([*map(str, DeliveryStatus), "lost"]), code=st.sampled_from([199, 200, 299, 300]))
def test_a_delivery_s_states_are_one_thing(tables: Engine, status: str, code: int) -> None:
    """One that succeeded was answered with a code that is success."""

    def check(rows: Rows) -> None:
        delivery_id = rows.delivery(rows.endpoint(PLAIN), status="dead")
        moments = {
            "next_attempt_at": status == "pending",
            "lease_expires_at": status == "sending",
            "claimed_at": status == "sending",
            "delivered_at": status == "succeeded",
        }
        changes = [f"{name} = {'now()' if there else 'NULL'}" for name, there in moments.items()]
        changes += ["status = :status", "status_code = :code"]
        taken = accepts(rows, "webhook_deliveries", delivery_id, ", ".join(changes), status=status, code=code)
        assert taken == (status in set(map(str, DeliveryStatus)) and (status != "succeeded" or code in SUCCESS))

    in_transaction(tables, check)


@twin("domain.attempts.ErrorKind", "domain.attempts.RESPONSE_KEPT_BYTES")
@given(
    kind=st.sampled_from([*map(str, ErrorKind), "bad_luck"]),
    size=st.sampled_from([0, RESPONSE_KEPT_BYTES, RESPONSE_KEPT_BYTES + 1]),
)
def test_what_an_attempt_may_hold_is_one_thing(tables: Engine, kind: str, size: int) -> None:
    """Of an answer no more bytes are kept than that."""

    def check(rows: Rows) -> None:
        delivery_id = rows.delivery(rows.endpoint(PLAIN), status="dead")
        insert = text(
            "INSERT INTO noteflow.webhook_attempts"
            " (delivery_id, attempt_number, started_at, duration_ms, error_kind, response_body)"
            " VALUES (:id, 1, now(), 1, :kind, :body)"
        )
        params = {"id": delivery_id, "kind": kind, "body": "x" * size}
        if kind in set(map(str, ErrorKind)) and size <= RESPONSE_KEPT_BYTES:
            rows.connection.execute(insert, params)
        else:
            with pytest.raises(IntegrityError):
                rows.connection.execute(insert, params)

    in_transaction(tables, check)

"""What counts as a token in a call's metadata, and which scope each RPC needs."""

from __future__ import annotations

import pytest

from noteflow_hooks.domain.access import Scope, generate_token
from noteflow_hooks.rpc.interceptors.auth import bearer
from noteflow_hooks.rpc.interceptors.scopes import SCOPES
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

TOKEN = generate_token()


@pytest.mark.parametrize(
    "value", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer  {TOKEN} "], ids=range(4)
)
def test_a_bearer_token_is_read_whatever_the_scheme_s_case(value: str) -> None:
    """As RFC 9110 has it; spaces around it are none of it."""
    assert bearer([("other", "x"), ("authorization", value)]) == TOKEN


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [f"Basic {TOKEN}"],
        [TOKEN],
        [f" Bearer {TOKEN}"],
        [f"Bearer\t{TOKEN}"],
        [f"Bearer {TOKEN} {TOKEN}"],
        [f"Bearer {TOKEN}\x00"],
        [f"Bearer {TOKEN}\r\n"],
        [f"Bearer {TOKEN}\x7f"],
        ["Bearer \x85"],
        ["Bearer \ud800"],
        ["Bearer é"],
        ["Bearer " + "a" * 513],
        ["Bearer " + "a" * 16_384],
        [f"Bearer {TOKEN}".encode()],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        ["", f"Bearer {TOKEN}"],
    ],
    ids=range(20),
)
def test_what_is_not_one_token_is_none(values: list[str | bytes]) -> None:
    """Two are none: which would count? And nothing that can't be a token is worth a look into the database."""
    assert bearer([("authorization", value) for value in values]) is None


def test_every_rpc_needs_exactly_one_scope() -> None:
    """A new one is not served until it is in the table, and none is there that the proto doesn't know."""
    methods = {
        f"/{service.full_name}/{method.name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(SCOPES) == methods


def test_only_who_am_i_is_open_to_any_token() -> None:
    """Whoever holds one may learn what it is good for, and nothing else without a scope."""
    assert [method.rpartition("/")[2] for method, scope in SCOPES.items() if scope is None] == ["WhoAmI"]


def test_get_and_list_need_to_read_and_nothing_else_does() -> None:
    """What changes something is never open to who may only look."""
    for method, scope in SCOPES.items():
        name = method.rpartition("/")[2]
        # Who may only look need not know what others do.
        only_looks = name.startswith(("Get", "List", "PreviewFilter", "Watch")) and name != "ListAuditEntries"
        assert (scope is Scope.READ) == only_looks, method

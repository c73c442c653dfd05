"""Every row of the egress table, at registration and at an attempt, with each connection watched and none made."""

from __future__ import annotations

import errno
import re
import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.egress_rows import Fate
from tests.support.egress_table import IPV4_RANGES, IPV6_RANGES, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.deliveries import AttemptResult
    from tests.support.egress_rows import EgressRow

every_row = pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{number:03}-{ascii(row.url)[1:60]}") for number, row in enumerate(ROWS)]
)


class NameServer:
    """Answers as the row says, and keeps what it was asked."""

    def __init__(self, row: EgressRow) -> None:
        self.row = row
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.row.answers

    def policy(self) -> EgressPolicy:
        """Return the row's operator's policy over this name server."""
        return EgressPolicy(allow=self.row.allow, deny=self.row.deny, lookup=self)

    @property
    def expected(self) -> list[str]:
        """What it must be asked by one registration, or by one attempt."""
        return [self.row.asks] if self.row.asks else []


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return the list of what is dialled from now on; each address refuses."""
    addresses: list[tuple[str, int]] = []

    def connect_ex(_: socket.socket, address: tuple[str, int]) -> int:
        addresses.append(address[:2])
        return errno.ECONNREFUSED

    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)
    return addresses


@every_row
def test_a_registration_ends_as_the_table_says(row: EgressRow) -> None:
    """What may be dialled, or has no address yet, is registered; all else is refused with the words for it."""
    names = NameServer(row)
    if row.fate in (Fate.ALLOWED, Fate.NAMELESS):
        assert names.policy().check_url(row.url).port == row.port
    else:
        with pytest.raises(InvalidInputError, match=re.compile(row.says)) as caught:
            names.policy().check_url(row.url)
        assert caught.value.field == "url"
        assert caught.value.problem.startswith("address not allowed: it must be public") is (row.fate is Fate.FORBIDDEN)
    assert names.asked == names.expected


@every_row
def test_an_attempt_dials_what_the_table_says(row: EgressRow, dialled: list[tuple[str, int]]) -> None:
    """The addresses that were answered are dialled by number, in their order; of a refused row nothing is."""
    names = NameServer(row)
    executor = WebhookExecutor(names.policy())
    result = executor.post(Claim(a_delivery(), a_webhook(url=row.url), b"{}"))
    executor.close()
    assert [(ip_address(host), port) for host, port in dialled] == [(ip_address(each), row.port) for each in row.dials]
    assert names.asked == names.expected
    _check_result(result, row)


def _check_result(result: AttemptResult, row: EgressRow) -> None:
    message = result.error_message or ""
    match row.fate:
        case Fate.ALLOWED:
            assert (result.error_kind, message) == (ErrorKind.CONNECT, "Connection refused")
        case Fate.FORBIDDEN:
            assert (result.error_kind, message) == (ErrorKind.ADDRESS_NOT_ALLOWED, "address not allowed")
        case Fate.MALFORMED:
            assert result.error_kind is ErrorKind.ADDRESS_NOT_ALLOWED
            assert re.match(f"URL not allowed: .*({row.says.removeprefix('url: ')})", message)
        case Fate.NAMELESS:
            assert result.error_kind is ErrorKind.DNS


@pytest.mark.parametrize("line", [line.split() for line in (IPV4_RANGES + IPV6_RANGES).splitlines() if line.strip()])
def test_a_range_of_the_table_is_written_with_its_own_ends(line: list[str]) -> None:
    """The four addresses beside each range are its neighbours and its ends, so that no border goes untried."""
    written, before, first, last, after = line
    network = ip_network(written)
    assert (ip_address(first), ip_address(last)) == (network[0], network[-1])
    assert before == "-" or ip_address(before) == network[0] - 1
    assert after == "-" or ip_address(after) == network[-1] + 1


def test_the_table_is_broad_and_no_name_has_two_meanings() -> None:
    """It has hundreds of rows, at least a quarter of them allowed, and a name's answers are the same in each row."""
    allowed = sum(row.fate is Fate.ALLOWED for row in ROWS)
    assert len(ROWS) >= 400
    assert allowed * 4 >= len(ROWS)
    answers = {(row.asks.rstrip("."), row.answers) for row in ROWS if row.asks}
    assert len({asks for asks, _ in answers}) == len(answers)

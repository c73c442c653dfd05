"""Callers that go away just when they are answered: that is no fault of the server's, and its log says so."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from tests.integration.rpc.world import UNLIMITED, World

if TYPE_CHECKING:
    from collections.abc import Iterator

_GRPC: Final = logging.getLogger("grpc._cython.cygrpc")
_METHOD: Final = "/noteflow.v1.WebhookService/TestWebhook"


@pytest.fixture
def serving() -> Iterator[World]:
    """Offer a server that refuses nothing for being too much."""
    with World(limits=UNLIMITED) as running:
        yield running


@pytest.mark.usefixtures("serving")
def test_an_answer_that_could_not_be_sent_is_one_line_of_information(caplog: pytest.LogCaptureFixture) -> None:
    """Without a traceback. What else gRPC says of a call stays what it is."""
    with caplog.at_level(logging.INFO):
        for line in ("ExecuteBatchError raised in core by", "Unexpected [ValueError] raised by"):
            _GRPC.error(f"{line} servicer method [{_METHOD}]", exc_info=ValueError("from a test"))
    said = [each for each in caplog.records if each.name == _GRPC.name]
    assert [(each.levelname, each.getMessage(), each.exc_info is None) for each in said] == [
        ("INFO", f"an answer was not sent, since its call was over: [{_METHOD}]", True),
        ("ERROR", f"Unexpected [ValueError] raised by servicer method [{_METHOD}]", False),
    ]


def test_nor_is_it_said_where_nobody_listens_to_information(serving: World, caplog: pytest.LogCaptureFixture) -> None:
    """A server that logs warnings alone says nothing of it."""
    assert serving.address
    with caplog.at_level(logging.WARNING):
        _GRPC.error("ExecuteBatchError raised in core by servicer method [%s]", _METHOD)
    assert caplog.records == []


def test_deadlines_that_pass_as_answers_go_out_are_no_errors(serving: World, caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of calls whose deadlines are about as long as their answers take, so that some pass in between."""
    with caplog.at_level(logging.ERROR):
        codes = asyncio.run(_race(serving, calls=3000))
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INVALID_ARGUMENT}


async def _race(world: World, *, calls: int) -> Counter[grpc.StatusCode]:
    """Make calls with bad messages, each with a deadline by chance around what lets half of them be answered."""
    chance, numbers = random.Random(1), iter(range(calls))
    codes: Counter[grpc.StatusCode] = Counter()
    timeout_s = 0.01

    async def call_on(make: Any) -> None:  # noqa: ANN401 - grpc's own
        nonlocal timeout_s
        for _ in numbers:
            metadata = [("authorization", f"Bearer {world.token}")]
            code = await make(b"\xff\xff", metadata=metadata, timeout=timeout_s * chance.uniform(0.5, 1.5)).code()
            codes[code] += 1
            timeout_s *= 1.02 if code is grpc.StatusCode.DEADLINE_EXCEEDED else 0.98

    async with grpc.aio.insecure_channel(world.address) as channel:
        await asyncio.gather(*(call_on(channel.unary_unary(_METHOD)) for _ in range(8)))
    return codes

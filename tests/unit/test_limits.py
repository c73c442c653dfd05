"""Limits that stand once: the columns and the commands keep the domain's."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.commands.deliveries import deliveries
from noteflow_hooks.cli.commands.events import events
from noteflow_hooks.domain.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, check_page_size
from noteflow_hooks.domain.payloads import NAME_LIMIT, TITLE_LIMIT, check_name
from noteflow_hooks.domain.ports.repositories import WebhookRepository
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.persistence.memory import InMemoryWebhookRepository
from noteflow_hooks.persistence.sql.orm import ApiTokenRow, MeetingRow, SegmentRow, WebhookConfigRow, WorkspaceRow
from noteflow_hooks.persistence.sql.webhooks import SqlAlchemyWebhookRepository

if TYPE_CHECKING:
    import click


@pytest.mark.parametrize(
    ("table", "column", "limit"),
    [
        (WorkspaceRow, "name", NAME_LIMIT),
        (ApiTokenRow, "name", NAME_LIMIT),
        (WebhookConfigRow, "name", NAME_LIMIT),
        (SegmentRow, "speaker", NAME_LIMIT),
        (MeetingRow, "title", TITLE_LIMIT),
    ],
)
def test_a_column_is_as_wide_as_the_text_may_be_long(table: type, column: str, limit: int) -> None:
    """So that what is checked can be stored, and nothing is cut."""
    assert table.__table__.columns[column].type.length == limit  # type: ignore[attr-defined]  # each is a table


def test_a_name_may_be_as_long_as_its_column_and_no_longer() -> None:
    """And never blank; the error names the field."""
    assert check_name("name", "é" * 255) == "é" * 255
    with pytest.raises(InvalidInputError, match="name: has 256 characters; at most 255 are allowed"):
        check_name("name", "é" * 256)
    with pytest.raises(InvalidInputError, match="name: must not be empty"):
        check_name("name", " ")


def test_a_page_has_50_rows_unless_it_says_how_many_up_to_500() -> None:
    """Zero says nothing."""
    assert [check_page_size(size) for size in (0, 1, 500)] == [50, 1, 500]
    for size in (-1, 501):
        with pytest.raises(
            InvalidInputError, match=f"page_size: is {size}; allowed are 1 to {MAX_PAGE_SIZE}, and 0 for"
        ):
            check_page_size(size)


@pytest.mark.parametrize("store", [WebhookRepository, InMemoryWebhookRepository, SqlAlchemyWebhookRepository])
def test_a_store_returns_as_many_deliveries_of_an_endpoint_as_a_page_has(store: type[WebhookRepository]) -> None:
    """Where its caller names no limit."""
    assert signature(store.get_deliveries).parameters["limit"].default == DEFAULT_PAGE_SIZE


@pytest.mark.parametrize(
    "command",
    [deliveries.commands["list"], deliveries.commands["undelivered"], deliveries.commands["replays"],
     events.commands["list"]],
    ids=["deliveries", "undelivered", "replays", "events"],
)  # fmt: skip
def test_a_command_lists_as_many_as_a_page_has(command: click.Command) -> None:
    """Where its caller names no limit."""
    [limit] = [each for each in command.params if each.name == "limit"]
    assert limit.default == DEFAULT_PAGE_SIZE

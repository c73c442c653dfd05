"""The contract's Python names import from one path each, which the documents tell, and old paths are gone."""

from __future__ import annotations

import importlib
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path(__file__).parents[2]
_CODE: Final = re.compile("`([^`]+)`")
#: What code outside of this repository uses; without it here, a document that lost a row would go unnoticed.
_CONTRACT: Final = {
    "HooksServer",
    "HooksServicer",
    "InMemoryUnitOfWork",
    "InMemoryWebhookRepository",
    "MeetingCompletedPayload",
    "NoteFlowHooksError",
    "Publisher",
    "RecordingStartedPayload",
    "RecordingStoppedPayload",
    "ServicerHost",
    "SqlAlchemyUnitOfWork",
    "SqlAlchemyWebhookRepository",
    "SummaryGeneratedPayload",
    "UnitOfWork",
    "WebhookConfig",
    "WebhookConverter",
    "WebhookDelivery",
    "WebhookEventType",
    "WebhookExecutor",
    "WebhookPayload",
    "WebhookRepository",
    "WebhookService",
    "connect",
    "sign",
    "verify_signature",
    "verify_standard",
}


def rows(document: str, *, heading: str) -> Iterator[list[list[str]]]:
    """Yield the rows of the table below a heading: for each cell, what stands in backticks."""
    _, _, below = (_ROOT / document).read_text().partition(f"\n{heading}\n")
    lines = [line.strip() for line in re.split(r"\n#+ ", below)[0].splitlines()]
    cells = [[_CODE.findall(cell) for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return (row for row in cells if row[0])


NOW: Final = {name: path for names, [path] in rows("docs/architecture.md", heading="## Python names") for name in names}
MOVED: Final = [
    (name, before, now) for names, [before], [now] in rows("CHANGELOG.md", heading="### Changed") for name in names
]


@pytest.mark.parametrize(("name", "path"), NOW.items(), ids=NOW.keys())
def test_a_name_imports_from_the_path_that_is_documented(name: str, path: str) -> None:
    """What the page says can be typed as it stands, and the name is made there or in a module below."""
    found = getattr(importlib.import_module(path), name)
    assert found.__module__ == path or found.__module__.startswith(f"{path}.")


def test_every_name_of_the_contract_is_documented() -> None:
    """No name is forgotten, and none has two paths."""
    names = list(chain(*(row[0] for row in rows("docs/architecture.md", heading="## Python names"))))
    assert set(names) >= _CONTRACT
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "before", "now"), MOVED, ids=[name for name, *_ in MOVED])
def test_an_old_path_is_gone(name: str, before: str, now: str) -> None:
    """The changelog names the path that is documented, and the one before it imports nothing any more."""
    assert NOW[name] == now
    with pytest.raises((ImportError, AttributeError)):
        getattr(importlib.import_module(before), name)

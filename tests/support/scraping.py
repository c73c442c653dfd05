"""What a program answers at `/metrics`, as tests read it: samples by their names and labels."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.core import Metric


class Scrape:
    """One answer."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))
        self.samples = [each for family in self.families for each in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name, without the prefix, that have these labels among theirs."""
        return sum(
            each.value
            for each in self.samples
            if each.name == f"noteflow_hooks_{name}" and labels.items() <= each.labels.items()
        )

    def names(self) -> set[str]:
        """Return the names of all samples."""
        return {each.name for each in self.samples}


def scraped(address: str) -> Scrape:
    """Ask for it."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
        return Scrape(answer.read().decode())


def address_in(log: Callable[[], str]) -> str:
    """Return where a program answers, as the last line in its log that tells so has it."""

    def found() -> list[str]:
        return re.findall(r"/metrics is answered on ([0-9.:]+)", log())

    until(lambda: bool(found()), what="the log tells where the metrics are")
    return found()[-1]

"""Calculates the tables of ``docs/scaling.md``, and that of ``docs/operations.md``, from the inputs on the former.

With ``--check`` nothing is written: the status says whether both pages are as they would be written.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE: Final = Path(__file__).parents[1] / "docs" / "scaling.md"
#: The operator's page, which has one table.
OPERATIONS: Final = PAGE.with_name("operations.md")
#: A row of inputs: the letter, its meaning, and a value in each column.
_INPUT: Final = re.compile(r"^\| `(\w+)` \|[^|]*\| ([\d,.]+) \| ([\d,.]+) \|$", re.MULTILINE)
_DAY_S: Final = 86_400
#: Events a second of the operator's table, one endpoint each, called for one by one.
_RATES: Final = (10, 100, 500, 1_000, 2_000)
#: The most connections of a server or a worker process, and those of exporter, dashboard and commands.
_CONNECTIONS: Final = 10
_OTHERS: Final = 5
#: A worker may be replaced while another one works.
_FEWEST_WORKERS: Final = 2


def inputs(page: str) -> list[dict[str, float]]:
    """Return the inputs by their letters, a mapping for each column."""
    rows = _INPUT.findall(page)
    return [{row[0]: float(row[column].replace(",", "")) for row in rows} for column in (1, 2)]


def core_us(given: Mapping[str, float]) -> float:
    """Return how much of a second a core may be used, in µs."""
    return given["u"] * 1e6


def rate(given: Mapping[str, float], *, machines: int, databases: int) -> float:
    """Return events a second, one endpoint each, with so many machines of which so many are PostgreSQL's alone."""
    machine_us = given["c"] * core_us(given)
    others_us, database_us = given["S"] + given["W"] + given["V"], given["P"] + given["I"]
    if databases == 0:
        return machines * machine_us / (others_us + database_us)
    return min(databases * machine_us / database_us, (machines - databases) * machine_us / others_us)


def best(given: Mapping[str, float], machines: int) -> int:
    """Return how many PostgreSQLs give so many machines the highest rate."""
    return max(range(1, machines), key=lambda count: rate(given, machines=machines, databases=count))


def machines_table(columns: Sequence[Mapping[str, float]]) -> str:
    """Return what 1, 10 and 100 machines do."""
    lines = [
        "| machines | PostgreSQLs | events/s, measured | PostgreSQLs | events/s, at the bounds |",
        "|---|---|---|---|---|",
    ]
    for machines, databases in ((1, 0), (10, 1), (10, None), (100, 1), (100, None)):
        counts = [databases if databases is not None else best(given, machines) for given in columns]
        cells = [
            f"{count or 'on the same'} | {_round(rate(given, machines=machines, databases=count)):,}"
            for given, count in zip(columns, counts, strict=True)
        ]
        lines.append(f"| {machines} | {' | '.join(cells)} |")
    return "\n".join(lines)


def design(given: Mapping[str, float]) -> dict[str, str]:
    """Return what ``R`` events a second with one endpoint each need."""
    events, cells = given["R"], given["n"]
    databases_us = given["P"] + given["I"]
    return {
        "server cores, one call an event": _cores(given, given["S"]),
        "server cores, batches of 100": _cores(given, given["B"]),
        "worker cores": _cores(given, given["W"]),
        "PostgreSQL cores": _cores(given, databases_us),
        f"the same for each of {cells:g} cells": _number(events * databases_us / core_us(given) / cells),
        "Valkey cores; one Valkey has one": _cores(given, given["V"]),
        "write-ahead log in MB/s, for each cell": _number(events * given["L"] / 1e6 / cells),
        "commits/s that wait for the disk, for each cell": _number(2 * events / given["C"] / cells),
        "rows and indexes, TB a day in all": _number(events * given["D"] * _DAY_S / 1e12),
        "messages through Redis, MB/s in all": _number(events / given["C"] * given["M"] / 1e6),
    }


def design_table(columns: Sequence[Mapping[str, float]]) -> str:
    """Return what the design needs, a column for each set of inputs."""
    found = [design(given) for given in columns]
    rows = [f"| {name} | {' | '.join(each[name] for each in found)} |" for name in found[0]]
    return "\n".join(["| | measured | at the bounds |", "|---|---|---|", *rows])


def distance_table(columns: Sequence[Mapping[str, float]]) -> str:
    """Return how far PostgreSQL and Redis may be before a worker's core waits for them."""
    lines = [
        "| added to each round trip | a process at most, deliveries/s | its core, measured | at the bounds |",
        "|---|---|---|---|",
    ]
    cores = " | ".join(f"{_round(1e6 / given['W']):,}" for given in columns)
    for added_ms in (5, 20, 50, 100):
        most = columns[0]["T"] * columns[0]["C"] / (columns[0]["r"] * added_ms / 1000)
        lines.append(f"| {added_ms} ms | {_round(most):,} | {cores} |")
    return "\n".join(lines)


def sizing_table(columns: Sequence[Mapping[str, float]]) -> str:
    """Return what so many events a second need, by the dearer of both columns."""
    given = {name: max(column[name] for column in columns) for name in columns[0]}
    lines = [
        "| events/s | workers | server processes | PostgreSQL, cores | connections | rows, GB a day | log, GB a day |",
        "|---|---|---|---|---|---|---|",
    ]
    for events in _RATES:
        workers = max(_FEWEST_WORKERS, math.ceil(events * given["W"] / core_us(given)))
        servers = math.ceil(events * given["S"] / core_us(given))
        cores = events * (given["I"] + given["P"]) / core_us(given)
        connections = _CONNECTIONS * (workers + servers) + _OTHERS
        rows, log = (_number(events * given[each] * _DAY_S / 1e9) for each in ("D", "L"))
        lines.append(f"| {events:,} | {workers} | {servers} | {cores:.1f} | {connections} | {rows} | {log} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """Return the page with its tables calculated anew."""
    columns = inputs(page)
    for name, table in (("machines", machines_table), ("design", design_table), ("distance", distance_table)):
        page = _filled(page, name, table(columns))
    return page


def _filled(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- calculated: {name} -->\n", "<!-- end -->"
    before, _, rest = page.partition(begin)
    return f"{before}{begin}{table}\n{end}{rest.partition(end)[2]}"


def written_operations(page: str, operations: str) -> str:
    """Return the operator's page with its table calculated anew, by the inputs of the other one."""
    return _filled(operations, "sizing", sizing_table(inputs(page)))


def _cores(given: Mapping[str, float], each_us: float) -> str:
    return _number(given["R"] * each_us / core_us(given))


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{_round(value):,}"  # noqa: PLR2004 - two digits mean something


def _round(value: float) -> int:
    """Return it with two digits that mean something: the inputs have no more."""
    return int(round(value, 1 - math.floor(math.log10(value))))


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    page, operations = PAGE.read_text("utf-8"), OPERATIONS.read_text("utf-8")
    new = written(page), written_operations(page, operations)
    if parser.parse_args().check:
        return 1 if new != (page, operations) else 0
    for path, text in zip((PAGE, OPERATIONS), new, strict=True):
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

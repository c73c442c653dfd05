"""Compare HTTP clients with the project's own reader: right answers on the hostile server, and processor time a POST.

``docs/adr/0007-our-own-http-exchange.md`` has the results. h11 and httptools are in no lock file; fetch them with::

    .venv/bin/python -m pip install --no-deps --target /tmp/parsers h11 httptools
    PYTHONPATH=/tmp/parsers .venv/bin/python -m scripts.weigh_http_parsers

It takes about ten minutes. The argument ``table`` or ``time`` asks for one of the two alone; ``--tell`` names each path
where a client differs. All traffic is on loopback.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from scripts.http_parsers.client import Bare, Client, Ours
from scripts.http_parsers.hostile import Verdict, verdicts
from scripts.http_parsers.own_sockets import HttpClient, HttpClientOverWire, Urllib3
from scripts.http_parsers.sans_io import H11, Httptools
from scripts.http_parsers.timing import ANSWERS, times_us

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS: Final = "ours"
CLIENTS: Final[dict[str, type[Client]]] = {
    _OURS: Ours,
    "httptools": Httptools,
    "h11": H11,
    "http.client over our connection": HttpClientOverWire,
    "http.client": HttpClient,
    "urllib3's connection": Urllib3,
}
_BARE: Final = "no HTTP: send and receive"
#: A client's limit of memory: it stops one that reads without end before the machine runs out.
_MEMORY: Final = 4 << 30


def main() -> None:
    """Print the tables that are asked for, in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=["table", "time", "all"], default="all")
    parser.add_argument("--tell", action="store_true", help="name each path where a client differs from the table")
    parser.add_argument("--one", choices=CLIENTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        _try(asked.one)
    lines = [] if asked.what == "table" else [_times()]
    for line in itertools.chain(*lines, [] if asked.what == "time" else _table(names_each=asked.tell)):
        print(line, flush=True)


def _try(name: str) -> None:
    """Run as the process of one client; end it even if some of its threads hang."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    print(json.dumps(verdicts(CLIENTS[name])), flush=True)
    os._exit(0)


def _tried(name: str) -> dict[str, Verdict]:
    command = [sys.executable, "-m", "scripts.weigh_http_parsers", "--one", name]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return {path: Verdict(*verdict) for path, verdict in json.loads(output).items()}


def _table(*, names_each: bool) -> Iterator[str]:
    """Yield a line for each client: how many results are as expected, and how the others differ."""
    columns = ("client", "as the table says", "handshakes", "refused", "no end in time", "otherwise", "kept")
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    ours: dict[str, Verdict] = {}
    for name in CLIENTS:
        tried = _tried(name)
        ours = ours or tried
        yield f"| {name} | {' | '.join(map(str, _counts(tried, ours)))} |"
        for path, each in tried.items() if names_each else ():
            if not each.fits or _is_kept(each, ours[path]):
                yield f"  {name}: {path}: {each.came}, {each.keeps=}"


def _counts(tried: dict[str, Verdict], ours: dict[str, Verdict]) -> Iterator[str | int]:
    paths = {path: each for path, each in tried.items() if not path.startswith("handshake")}
    handshakes = [each.fits for path, each in tried.items() if path.startswith("handshake")]
    wrong = [each.came for each in paths.values() if not each.fits]
    late = wrong.count("does not end in time")
    refused = sum("protocol" in each for each in wrong)
    yield f"{len(paths) - len(wrong)} of {len(paths)}"
    yield f"{sum(handshakes)} of {len(handshakes)}"
    yield refused
    yield late
    yield len(wrong) - refused - late
    yield sum(_is_kept(each, ours[path]) for path, each in paths.items())


def _is_kept(verdict: Verdict, ours: Verdict) -> bool:
    """Tell whether the client would use a connection again that ours would not."""
    return verdict.keeps and not ours.keeps


def _times() -> Iterator[str]:
    """Yield a line for each client: its times for answers with few and with many headers, and their ratios to ours."""
    kinds: dict[str, type[Client]] = {**CLIENTS, _BARE: Bare}
    taken = {count: times_us(kinds, answer) for count, answer in ANSWERS.items()}
    yield "| client | " + " | ".join(f"{count} headers, µs | beside ours" for count in taken) + " |"
    yield "|---" + "|---|---" * len(taken) + "|"
    for name in kinds:
        cells = [f"{median(times[name]):.0f} | {_beside(times[name], times[_OURS])}" for times in taken.values()]
        yield f"| {name} | {' | '.join(cells)} |"


def _beside(times: list[float], ours: list[float]) -> str:
    """Return the median and the middle half of the rounds' ratios: what disturbs a round slows both sides alike."""
    low, middle, high = quantiles((each / our for each, our in zip(times, ours, strict=True)), n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()

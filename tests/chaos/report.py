"""What came of a run: figures for a table, and every promise that was broken."""

from __future__ import annotations

import json
import platform
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tests.chaos.options import WORKER_KILLS
from tests.chaos.recovery import Recovery, recoveries
from tests.chaos.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chaos.evidence import Evidence
    from tests.chaos.points import Played
    from tests.chaos.violations import Broken, Violation


@dataclass(frozen=True, slots=True)
class Report:
    """The figures, by their names in words, and the verdict."""

    figures: dict[str, int | float]
    recoveries: list[Recovery]
    violations: list[Violation]

    @property
    def is_green(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    @property
    def broken(self) -> set[Broken]:
        """Which promises were not."""
        return {each.broken for each in self.violations}

    def lines(self) -> Iterator[str]:
        """Yield the table, and a line for each broken promise."""
        for name, value in self.figures.items():
            yield f"{name:<54}{value:>10,.1f}" if isinstance(value, float) else f"{name:<54}{value:>10,}"
        yield f"\n{'recovery, in seconds':<34}{'faults':>8}{'p50':>8}{'p95':>8}{'max':>8}"
        for each in self.recoveries:
            yield f"{each.kind:<34}{each.faults:>8}{each.p50_s:>8.2f}{each.p95_s:>8.2f}{each.max_s:>8.2f}"
        yield ""
        yield from (f"BROKEN: {each}" for each in self.violations)


def as_json(load: Report, plays: Iterable[Played], *, seed: int) -> str:
    """Return a whole run as JSON: under load, and at exact points."""
    machine = {"python": platform.python_version(), "celery": version("celery"), "kombu": version("kombu")}
    return json.dumps(
        {"seed": seed, "versions": machine, "load": asdict(load), "points": [asdict(each) for each in plays]}, indent=2
    )


def report(evidence: Evidence) -> Report:
    """Judge what was gathered."""
    verdict = judge(evidence.ledgers)
    violations = [*verdict.violations, *evidence.violations()]
    return Report(_figures(evidence, verdict), recoveries(evidence.ledgers), violations)


def _figures(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    ledgers = evidence.ledgers
    did = Counter(post.did for post in ledgers.posts)
    kinds = Counter(each.error_kind for each in evidence.tables.attempts)
    return {
        "events accepted": len(ledgers.accepted),
        "calls that took": sum(each.tries for each in ledgers.accepted),
        "deliveries promised": len(ledgers.expected),
        "faults made": len(ledgers.faults),
        "in flight at workers' deaths": sum(
            len(each.in_flight) for each in ledgers.faults if each.kind in WORKER_KILLS
        ),
        "POSTs received": len(ledgers.posts),
        **{f"POSTs: {name}": count for name, count in sorted(did.items())},
        "lost": len(verdict.lost),
        "duplicates": verdict.duplicates,
        "duplicates: after a reset, or no answer": verdict.after_silence,
        "duplicates: in flight when a worker died": verdict.after_death,
        "duplicates: not explained": len(verdict.unexplained),
        "duplicates: allowed at the most": verdict.allowed,
        "attempts on record": len(evidence.tables.attempts),
        "attempts on record: interrupted": kinds["interrupted"],
        "attempts on record: redialled": sum(each.redialled for each in evidence.tables.attempts),
        "looks at what is past its lease": evidence.looks,
        "longest past its lease, s": evidence.overstay_s,
        "left past its lease by a sweep": evidence.left_by_sweeps,
        **{
            f"{who}: {name}": number
            for who, sums in evidence.figures.items()
            for name, number in sorted(sums.items())
            if number
        },
        "load, s": evidence.load_s,
        "drain, s": evidence.drain_s,
    }

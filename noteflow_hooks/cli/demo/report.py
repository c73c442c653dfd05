"""The demo's result: the server's record of each delivery beside what the receiver itself has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.events import PUBLISHABLE
from noteflow_hooks.printable import table
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.cli.demo.ledger import Ledger
    from noteflow_hooks.client import Client

_HEADS: Final = ("EVENT", "STATUS", "ATTEMPTS", "DURATION", "X-NOTEFLOW-SIGNATURE", "STANDARD WEBHOOKS", "DELIVERY")
#: The order in which a meeting's events happen.
_ORDER: Final = ("recording.started", "recording.stopped", "summary.generated", "meeting.completed")


@dataclass(frozen=True, slots=True)
class Report:
    """The deliveries so far; one row each."""

    rows: Sequence[dict[str, Any]]

    @property
    def is_good(self) -> bool:
        """Whether all four events arrived, each once, verified, and are recorded as succeeded."""
        return len(self._good) == len(self.rows) == len(PUBLISHABLE) and self._good == set(PUBLISHABLE)

    @property
    def text(self) -> str:
        """The rows as a table."""
        return table(_HEADS, [_cells(row) for row in self.rows])

    @property
    def verdict(self) -> str:
        """The rows in a word."""
        return f"{len(self._good)} of {len(PUBLISHABLE)} events were delivered and verified"

    @property
    def _good(self) -> set[str]:
        return {row["event"] for row in self.rows if row["signature"] and row["standard_webhooks"] and _is_done(row)}


def report(client: Client, webhook_id: str, ledger: Ledger) -> Report:
    """Ask the server for the endpoint's deliveries, and the ledger for what came of each."""
    page = client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(webhook_id=webhook_id))
    return Report(sorted((_row(delivery, ledger) for delivery in page.deliveries), key=_place))


def _row(delivery: pb.Delivery, ledger: Ledger) -> dict[str, Any]:
    entries = [entry for entry in ledger.of(delivery.id) if entry.event == delivery.event_type]
    return {
        "event": delivery.event_type,
        "delivery_id": delivery.id,
        "status": delivery.status,
        "attempts": delivery.attempt_count,
        "requests": len(entries),
        "duration_ms": delivery.duration_ms if delivery.HasField("duration_ms") else None,
        "signature": bool(entries) and all(entry.signature_is_good for entry in entries),
        "standard_webhooks": bool(entries) and all(entry.standard_is_good for entry in entries),
        "error_message": delivery.error_message,
    }


def _is_done(row: dict[str, Any]) -> bool:
    return bool(row["status"] == "succeeded" and row["requests"] == row["attempts"])


def _place(row: dict[str, Any]) -> int:
    return _ORDER.index(row["event"])


def _cells(row: dict[str, Any]) -> Sequence[object]:
    duration = None if row["duration_ms"] is None else f"{row['duration_ms']} ms"
    marks = ["verified" if row[name] else "NOT VERIFIED" for name in ("signature", "standard_webhooks")]
    status = f"{row['status']} ({row['error_message']})" if row["error_message"] else row["status"]
    return [row["event"], status, row["attempts"], duration, *marks, row["delivery_id"]]

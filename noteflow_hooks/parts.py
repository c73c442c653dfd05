"""What each kind of process is made of, as ``bootstrap`` puts it together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.crypto import SecretBox
    from noteflow_hooks.delivery.service import DeliveryService
    from noteflow_hooks.domain.ports.certificates import CertificateReader
    from noteflow_hooks.domain.ports.filters import FilterEvaluator
    from noteflow_hooks.domain.ports.mails import ContactCodes
    from noteflow_hooks.domain.ports.maintenance import TaskRuns
    from noteflow_hooks.domain.ports.previews import Previewer
    from noteflow_hooks.domain.ports.schemas import SchemaChecker
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.maintenance.rescue import Rescue
    from noteflow_hooks.maintenance.retention import Purged
    from noteflow_hooks.persistence.sql.maintenance.diagnostics import DatabaseDiagnostics
    from noteflow_hooks.persistence.sql.maintenance.reencryption import StoredSecrets
    from noteflow_hooks.persistence.sql.maintenance.system_diagnostics import SystemDiagnostics


@dataclass(frozen=True, slots=True)
class ServerParts:
    """What the gRPC server is made of."""

    units: Callable[[], UnitOfWork]
    #: None while the feature flag is off.
    webhook_service: WebhookService | None
    #: How many calls may use the database at once.
    database_threads: int
    #: Takes a function that returns how many calls wait in the server. While many wait, wake-ups are sent in larger
    #: messages.
    report_backlog: Callable[[Callable[[], int]], object]
    #: Checks payloads of the workspaces' own types.
    schemas: SchemaChecker
    #: Reads the endpoints' client certificates.
    certificates: CertificateReader
    #: Checks the endpoints' filters.
    filters: FilterEvaluator
    #: Shows requests that are not sent.
    previewer: Previewer
    #: Knows contacts' codes.
    codes: ContactCodes
    #: Tells whether Redis answers.
    redis_answers: Callable[[], bool]
    #: Closes connections and the publisher's thread.
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker process is made of."""

    deliveries: DeliveryService
    #: Finds expired leases, and events and deliveries whose wake-ups were lost.
    rescue: Rescue
    #: Warns where this process's clock and the database's disagree.
    check_clock: Callable[[], None]
    #: Ends the recordings of servers that are gone; returns how many.
    end_abandoned: Callable[[], int]
    #: Takes the steps of replays that are due; returns how many deliveries they made due.
    advance_replays: Callable[[], int]
    #: Writes the audit entries about breakers whose hour is over; returns how many.
    tell_breakers: Callable[[], int]
    #: Has people told of client certificates that end soon; returns of how many.
    tell_certificates: Callable[[], int]
    #: Counts what has happened since, for a while.
    roll_up: Callable[[], object]
    #: Erases and removes one purge batch of each kind; returns what it did.
    purge: Callable[[], Purged]
    #: Begins to send mails that are due, in a thread of their own.
    send_mails: Callable[[], object]
    #: Writes the digests that are due; returns how many.
    write_digests: Callable[[], int]
    #: When the tasks that beat starts last ran to their end.
    task_runs: TaskRuns
    #: Waits for POSTs under way, then closes connections.
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class StoreParts:
    """What commands need that work on the database alone."""

    units: Callable[[], UnitOfWork]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What the commands for keys need."""

    secrets: StoredSecrets
    #: The names of the keys; the first one's key encrypts.
    key_ids: tuple[str, ...]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class DiagnosticParts:
    """What `doctor` needs of the database."""

    diagnostics: DatabaseDiagnostics
    system: SystemDiagnostics
    task_runs: TaskRuns
    box: SecretBox
    close: Callable[[], None]

"""Puts the parts together; the only module that knows them all. It makes nothing before it is asked to."""

from __future__ import annotations

import math
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.application.meetings import end_abandoned
from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.broker import publisher
from noteflow_hooks.broker.environment import refuse_celerys_variables
from noteflow_hooks.broker.redis_look import RedisLook
from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.concurrency.outage import MAIL
from noteflow_hooks.crypto import SecretBox, parse_keys
from noteflow_hooks.delivery.measuring import connection_counter, measured_posts, wake_up_counter
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tracing import traced_posts
from noteflow_hooks.delivery.tuning import BULKHEAD, Clock, DeliveryRules
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.egress.proxy import parse_proxy
from noteflow_hooks.errors import InvalidInputError, PoolerError, SettingsError, UnavailableError
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.filters import CelFilters
from noteflow_hooks.mail.codes import KeyedContactCodes
from noteflow_hooks.maintenance.certificates import tell_certificates
from noteflow_hooks.maintenance.clock import ClockWatch
from noteflow_hooks.maintenance.digests import write_digests
from noteflow_hooks.maintenance.replays import advance_replays
from noteflow_hooks.maintenance.rescue import Rescue
from noteflow_hooks.maintenance.retention import RetentionService
from noteflow_hooks.parts import DiagnosticParts, KeyParts, ServerParts, StoreParts, WorkerParts
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery.traced_store import delivery_store
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.breaker_log import SqlAlchemyBreakerLog
from noteflow_hooks.persistence.sql.maintenance.certificate_watch import SqlAlchemyCertificateWatch
from noteflow_hooks.persistence.sql.maintenance.errands import Errands
from noteflow_hooks.persistence.sql.maintenance.mail_store import SqlAlchemyMailStore
from noteflow_hooks.persistence.sql.maintenance.reencryption import StoredSecrets
from noteflow_hooks.persistence.sql.maintenance.retention import SqlAlchemyRetentionStore
from noteflow_hooks.persistence.sql.maintenance.rollups import SqlAlchemyStatsKeeper
from noteflow_hooks.persistence.sql.maintenance.task_runs import SqlAlchemyTaskRuns
from noteflow_hooks.schemas import JsonSchemaChecker

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.ports.unit_of_work import Announce, UnitOfWork
    from noteflow_hooks.maintenance.mails import MailRounds
    from noteflow_hooks.persistence.sql.aside import Waits
    from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
    from noteflow_hooks.settings import Settings
    from noteflow_hooks.telemetry.memory import Figures
    from noteflow_hooks.telemetry.tracing import SpanRecorder

#: The most connections to PostgreSQL of one server, and of one worker process.
SERVER_CONNECTIONS: Final = 10
WORKER_CONNECTIONS: Final = 10
#: Servers report every five seconds that their recordings are alive, and end each other's after fifteen of silence. The
#: sweep ends those that no server is left for, later, so that servers report first once the database is back.
RECORDING_SILENCE: Final = timedelta(seconds=60)
#: How many endpoints' breakers a sweep tells of, at most: it comes again in seconds.
BREAKERS_TOLD: Final = 500
#: How many endpoints' certificates a purge tells of, at most.
CERTIFICATES_TOLD: Final = 500
#: How many digests a purge writes, at most.
DIGESTS_WRITTEN: Final = 200
#: A server's threads wait for a connection for no longer than a call may take.
_SERVER_WAIT_S: Final = 1.0
#: How long `doctor` waits for the database. No answer by then counts as a fault.
_LOOK_TIMEOUT_S: Final = 2


def server(settings: Settings, *, waits: Waits | None = None, figures: Figures | None = None) -> ServerParts:
    """Make the server's parts; raise SettingsError where a setting that it needs is missing.

    ``waits`` is how units wait that run in the server's event loop; without it they run in threads. ``figures`` is
    where wake-ups are counted.
    """
    # Imported here: workers have no use for units of work.
    from noteflow_hooks.certificates.reader import PemReader  # noqa: PLC0415 - nor for what reads certificates
    from noteflow_hooks.executor.previewing import RequestPreviewer  # noqa: PLC0415 - nor for previews
    from noteflow_hooks.persistence.sql.intake import SqlEventIntake  # noqa: PLC0415 - as said

    settings.require("database_url", "redis_url")
    refuse_celerys_variables()
    engine = engine_of(settings, connections=SERVER_CONNECTIONS, wait_s=_SERVER_WAIT_S, waits=waits)
    units = _units(engine, settings)
    service = None
    report_backlog: Callable[[Callable[[], int]], object] = id  # without webhooks no wake-ups are sent
    redis = RedisLook(settings.redis)
    if settings.webhooks_enabled:
        settings.require("secret_keys")
        publishers = publisher.connect(settings.redis, note=wake_up_counter(figures))
        service = WebhookService(
            units,
            publishers.events.announce,
            store_events=SqlEventIntake(engine).store,
            wake=publishers.deliveries.announce,
            check_url=egress_policy(settings).check_url,
            on_close=publishers.close,
            requires_verification=settings.require_verification,
        )
        report_backlog = publishers.report_backlog
    stack = ExitStack()
    for close in (engine.dispose, redis.close, *([service.close] if service is not None else [])):
        stack.callback(close)
    return ServerParts(
        units,
        service,
        SERVER_CONNECTIONS,
        report_backlog,
        JsonSchemaChecker(),
        PemReader(),
        CelFilters(),
        RequestPreviewer(),
        KeyedContactCodes(parse_keys(settings.secret_keys)),
        redis.answers,
        stack.close,
    )


def _mails(engine: Engine, settings: Settings) -> MailRounds | None:
    """Return what sends mails; None where no mail server is named."""
    address = settings.smtp
    if address is None:
        return None
    # Imported here: most workers send no mail, and it brings the standard library's whole of mails along.
    from noteflow_hooks.mail.letters import Writer  # noqa: PLC0415 - as said
    from noteflow_hooks.mail.smtp import SmtpServer  # noqa: PLC0415 - as said
    from noteflow_hooks.mail.smtp_url import sender_of  # noqa: PLC0415 - as said
    from noteflow_hooks.maintenance.mails import MailRounds  # noqa: PLC0415 - as said

    writer = Writer(sender=sender_of(settings.mail_from, address), dashboard=settings.dashboard_url)
    return MailRounds(
        SqlAlchemyMailStore(engine, WebhookConverter(_box(settings))),
        SmtpServer(address, writer, ca_bundle=settings.ca_bundle),
        KeyedContactCodes(parse_keys(settings.secret_keys)),
        outage=MAIL,
    )


def _digests(engine: Engine, settings: Settings, units: Callable[[], UnitOfWork]) -> Callable[[], int]:
    """Return what writes the digests that are due, where mails are sent."""
    store = SqlAlchemyMailStore(engine, WebhookConverter(_box(settings)))
    is_on = settings.smtp_url is not None
    return lambda: write_digests(units, limit=DIGESTS_WRITTEN) if is_on and store.has_digests() else 0


def _delivery_store(engine: Engine, settings: Settings, recorder: SpanRecorder | None) -> SqlAlchemyDeliveryStore:
    every = timedelta(seconds=settings.sweep_every_s)
    return delivery_store(engine, _box(settings), settings.health_rules, sweep_every=every, recorder=recorder)


def _delivery_rules(settings: Settings) -> DeliveryRules:
    return DeliveryRules(
        policy=settings.retry_policy,
        chunk=settings.deliver_chunk,
        lease_slack=timedelta(seconds=settings.lease_slack_s),
        countdown_max=timedelta(seconds=settings.retry_countdown_max_s),
        slow_after=timedelta(seconds=settings.slow_after_s),
    )


def worker(
    settings: Settings,
    announce: Announce,
    *,
    ending_since: Callable[[], float] = lambda: math.inf,
    figures: Figures | None = None,
    recorder: SpanRecorder | None = None,
) -> WorkerParts:
    """Make a worker process's parts; raise SettingsError where a setting that it needs is missing.

    ``announce`` wakes workers for the events that this worker itself commits. ``ending_since`` returns when the worker
    was told to end, by the monotonic clock, infinity before that. ``figures`` is where POSTs are counted, ``recorder``
    is told of what is traced.
    """
    settings.require("database_url", "redis_url")
    engine = engine_of(settings, connections=WORKER_CONNECTIONS, is_busy=True)
    executor, rules = _executor(settings, figures), _delivery_rules(settings)
    bulkhead, stack = Bulkhead(settings.post_concurrency, tuning=BULKHEAD), ExitStack()
    units, errands, breakers = _units(engine, settings), Errands(engine), SqlAlchemyBreakerLog(engine)
    certificates = SqlAlchemyCertificateWatch(engine, tells=settings.health_rules.tells)
    service = WebhookService(units, announce) if settings.webhooks_enabled else None
    stored = _delivery_store(engine, settings, recorder)
    begin = traced_posts(executor.begin, recorder)
    deliveries = DeliveryService(
        stored,
        executor.post,
        bulkhead,
        rules=rules,
        begin=measured_posts(begin, figures, rules=rules, places=settings.post_concurrency),
        filters=CelFilters(),
        announce=announce,
        clock=Clock(ending_since=ending_since),
    )
    # Closed in reverse order: results come in for as long as POSTs are under way.
    mails = _mails(engine, settings)
    ends = [] if mails is None else [mails.close]
    for close in (engine.dispose, executor.close, deliveries.close, bulkhead.close, *ends):
        stack.callback(close)
    return WorkerParts(
        deliveries=deliveries,
        rescue=Rescue(stored, chunk=settings.deliver_chunk),
        check_clock=ClockWatch(stored.now).check,
        end_abandoned=lambda: _end_abandoned(units, service, errands),
        advance_replays=lambda: advance_replays(units) if errands.has_replays() else 0,
        tell_breakers=lambda: breakers.tell(limit=BREAKERS_TOLD),
        tell_certificates=lambda: tell_certificates(certificates, announce, limit=CERTIFICATES_TOLD),
        roll_up=SqlAlchemyStatsKeeper(engine).roll_up_some,
        send_mails=mails.look if mails is not None else _nothing,
        write_digests=_digests(engine, settings, units),
        purge=RetentionService(SqlAlchemyRetentionStore(engine), settings.periods).purge,
        task_runs=SqlAlchemyTaskRuns(engine),
        close=stack.close,
    )


def _end_abandoned(units: Callable[[], UnitOfWork], service: WebhookService | None, errands: Errands) -> int:
    if not errands.has_abandoned(silent_for=RECORDING_SILENCE):
        return 0
    return end_abandoned(units, service, silent_for=RECORDING_SILENCE)


def _executor(settings: Settings, figures: Figures | None) -> WebhookExecutor:
    note, origin = connection_counter(figures), settings.verification_origin
    return WebhookExecutor(egress_policy(settings), ca_bundle=settings.ca_bundle, origin=origin, note_connection=note)


def store(settings: Settings) -> StoreParts:
    """Make the parts of a command that works on the database alone."""
    settings.require("database_url")
    engine = engine_of(settings, connections=1)
    return StoreParts(_units(engine, settings), engine.dispose)


def keys(settings: Settings) -> KeyParts:
    """Make the parts of a command for keys; raise SettingsError where there are none."""
    settings.require("database_url", "secret_keys")
    engine, box = engine_of(settings, connections=1), _box(settings)
    return KeyParts(StoredSecrets(engine, box), box.key_ids, engine.dispose)


def diagnostics(settings: Settings) -> DiagnosticParts:
    """Make the parts with which `doctor` looks at the database; it gives up whatever takes longer than two seconds."""
    settings.require("database_url")
    # Imported here: workers have no use for the tables' classes.
    from noteflow_hooks.persistence.sql.maintenance.diagnostics import DatabaseDiagnostics  # noqa: PLC0415 - as said
    from noteflow_hooks.persistence.sql.maintenance.system_diagnostics import SystemDiagnostics  # noqa: PLC0415 - as said

    engine = engine_of(settings, connections=1, answer_within_s=_LOOK_TIMEOUT_S)
    asked = DatabaseDiagnostics(engine), SystemDiagnostics(engine), SqlAlchemyTaskRuns(engine)
    return DiagnosticParts(*asked, _box(settings), engine.dispose)


def refuse_pooler(settings: Settings) -> None:
    """Raise SettingsError if DATABASE_URL leads to a pooler that no setting names, or to one that can't work at all.

    A database that is away is not refused: the program waits for it, and each later connection makes the same check.
    """
    settings.require("database_url")
    engine = engine_of(settings, connections=1, answer_within_s=_LOOK_TIMEOUT_S)
    try:
        with engine.connect():
            pass
    except PoolerError as error:
        raise SettingsError(error.detail) from None
    except UnavailableError:
        pass
    finally:
        engine.dispose()


def revisions() -> tuple[str, ...]:
    """Return the revisions of the schema that this release knows, the newest one last."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as below

    script = ScriptDirectory(str(migrations_folder()))
    return tuple(reversed([each.revision for each in script.walk_revisions()]))


def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrade the database's schema to that revision. It does no harm to do so twice, or in two processes at once."""
    # Imported here: servers and workers never migrate, and it would cost each of them seven megabytes.
    from alembic import command  # noqa: PLC0415 - as said
    from alembic.config import Config  # noqa: PLC0415 - as said

    settings.require("database_url")
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("sqlalchemy.url", str(settings.database_url).replace("%", "%%"))
    config.attributes["is_pooled"] = _is_pooled(settings)
    command.upgrade(config, revision)


def migrations_folder() -> Path:
    """Return where the migrations are: inside the package where it is installed, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def egress_policy(settings: Settings) -> EgressPolicy:
    """Return the rules for the addresses that may be reached."""
    try:
        return EgressPolicy(
            allow=_networks(settings.egress_allow),
            deny=_networks(settings.egress_deny),
            ports=settings.egress_ports,
            proxy=parse_proxy(settings.egress_proxy) if settings.egress_proxy is not None else None,
            allow_http_loopback=settings.allow_http_loopback,
            resolve_cache_s=settings.resolve_cache_s,
        )
    except InvalidInputError as error:
        raise SettingsError(str(error)) from None


def _nothing() -> None:
    """Do nothing: without a mail server no mail is sent."""


def engine_of(settings: Settings, **options: Any) -> Engine:  # noqa: ANN401 - create_engine's own
    """Return an engine for the database that the settings name, directly or through a pooler as they say."""
    return create_engine(str(settings.database_url), is_pooled=_is_pooled(settings), **options)


def _is_pooled(settings: Settings) -> bool:
    return settings.postgres_pooler == "transaction"


def _networks(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _units(engine: Engine, settings: Settings) -> Callable[[], UnitOfWork]:
    box = _box(settings)

    def unit() -> UnitOfWork:
        # Imported at the first one: it brings SQLAlchemy's ORM, ten megabytes, and most workers never make one.
        from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork  # noqa: PLC0415 - as said

        return SqlAlchemyUnitOfWork(engine, box)

    return unit


def _box(settings: Settings) -> SecretBox:
    return SecretBox(parse_keys(settings.secret_keys))

"""The settings: environment variables with the prefix ``NOTEFLOW_HOOKS_``, and ``.env``.

A bad value stops the program at its start, with one line that names the variable, what it holds, and what it may hold.
"""

from __future__ import annotations

import difflib
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, NoDecode

from noteflow_hooks import setting_values as values
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.retry import STANDARD_SCHEDULE, RetryPolicy
from noteflow_hooks.domain.verification import ORIGIN
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.mail.smtp_url import SmtpAddress
from noteflow_hooks.maintenance.retention import Periods
from noteflow_hooks.redis_url import RedisAddress
from noteflow_hooks.settings.tracing import TraceSettings
from noteflow_hooks.settings.variables import ENV_FILE, PREFIX, Variables, not_text

__all__ = [
    "ENV_FILE",
    "PREFIX",
    "CallerSettings",
    "Settings",
    "TraceSettings",
    "named_in_env_file",
    "unknown_variables",
]


class CallerSettings(Variables):
    """Which server the commands call, and with which token, unless options say so."""

    #: The gRPC server that commands call; else that of a running `up`, else the one at `GRPC_BIND`.
    server: str | None = Field(None, description="an address and a port, such as 127.0.0.1:50051")
    #: The token that they call with; else that of a running `up`.
    token: str | None = Field(None, repr=False, description="an API token")
    #: Speak TLS, and trust these authorities, or with `system` the system's.
    tls_ca: str | None = Field(None, description="the path of a PEM file with certificates, or system")
    #: Your own certificate, for a server that wants one.
    tls_cert: str | None = Field(None, description="the path of a PEM file with your own certificate")
    #: The key of your own certificate.
    tls_key: str | None = Field(None, description="the path of a PEM file with its key")
    #: true: send the token to another machine without TLS.
    insecure: bool = Field(default=False, description="true or false")


class Settings(Variables):
    """What the operator decides."""

    #: false: meetings work, and no event is recorded.
    webhooks_enabled: bool = Field(default=True, description="true or false: the feature flag")
    #: true: an endpoint, new or moved, has to answer a challenge first (docs/verification.md).
    require_verification: bool = Field(default=False, description="true or false")
    #: The name by which CloudEvents' receivers know you, as they are asked.
    verification_origin: Annotated[str, AfterValidator(values.host_name)] = Field(
        ORIGIN, description="a host's name such as hooks.example"
    )
    #: PostgreSQL. `serve` and the workers need it (docs/postgresql.md).
    database_url: Annotated[str, AfterValidator(values.database)] | None = Field(
        None, repr=False, description="a URL such as postgresql://user:password@host:5432/name"
    )
    #: `transaction` where PgBouncer in transaction mode stands before the database.
    postgres_pooler: Literal["none", "transaction"] = Field("none", description="none or transaction")
    #: The broker, and which Redis it may be (docs/operations.md#redis-alone-with-sentinel-as-a-cluster). `serve` and
    #: the workers need it.
    redis_url: Annotated[str, AfterValidator(values.redis_url)] | None = Field(
        None,
        repr=False,
        description="a URL such as redis://:password@host:6379/0, or with TLS rediss://user:password@host:6379/0",
    )
    #: Where `serve` listens: `host:port`, or `unix:` and a path.
    grpc_bind: Annotated[str, AfterValidator(values.bind)] = Field(
        "127.0.0.1:50051", description="an address and a port, such as 127.0.0.1:50051, or unix: and a path"
    )
    #: Needed to listen beyond this machine, and read again when it changes.
    grpc_tls_cert: Path | None = Field(None, description="the path of a PEM file with the server's certificate")
    #: The key of that certificate, read again with it.
    grpc_tls_key: Path | None = Field(None, description="the path of a PEM file with the certificate's key")
    #: Callers must have a certificate of these authorities, beside their token.
    grpc_tls_client_ca: Path | None = Field(None, description="the path of a PEM file with certificates")
    #: true: listen anywhere without TLS; tokens pass in the clear.
    grpc_insecure_plaintext: bool = Field(default=False, description="true or false")
    #: For a workspace, on each server¹: `RegisterWebhook`, `TestWebhook`, `VerifyWebhook`, `UpdateWebhook` with a URL.
    registrations_per_minute: int = Field(
        60, ge=0, le=1_000_000, description="a whole number from 0, for no limit, to 1000000"
    )
    #: For a token, on each server¹, and two seconds' worth at once; each event of `PublishEvents` is one.
    token_calls_per_s: int = Field(
        2000, ge=0, le=1_000_000, description="a whole number from 0, for no limit, to 1000000"
    )
    #: Audio streams that may be open, on each server¹.
    streams_per_workspace: int = Field(200, ge=1, le=1_000, description="a whole number from 1 to 1000")
    #: Watches (`WatchDeliveries`, `WatchEvents`) that may be open, on each server¹.
    watches_per_workspace: int = Field(20, ge=1, le=1_000, description="a whole number from 1 to 1000")
    #: The most of the database's threads that lists may take; where there are several, one is always left.
    reads_share: float = Field(0.5, gt=0, le=1, description="a number above 0, up to 1")
    #: true: `serve` tells tools such as grpcurl what it has.
    grpc_reflection: bool = Field(default=False, description="true or false")
    #: Keys for the endpoints' secrets; the first encrypts, all decrypt (docs/security.md).
    secret_keys: Annotated[str, NoDecode, AfterValidator(values.keys)] = Field(
        "", repr=False, description="keys of urlsafe base64 of 32 bytes each, separated by commas"
    )
    #: Networks that endpoints may be in, beside public ones; allow beats the built-in rules.
    egress_allow: values.Networks = Field("", description="networks such as 10.1.0.0/16, separated by commas")
    #: Networks that endpoints may not be in; deny beats allow.
    egress_deny: values.Networks = Field("", description="networks such as 203.0.113.0/24, separated by commas")
    #: Ports that endpoints may be on; empty: 443, 80 and 1024 to 65535, without databases, brokers and other known
    #: services.
    egress_ports: Annotated[str, AfterValidator(values.ports)] = Field(
        "", description="ports and ranges such as 443,8443,9000-9100, separated by commas"
    )
    #: All https goes through it, by name (CONNECT); it must filter.
    egress_proxy: Annotated[str, AfterValidator(values.proxy)] | None = Field(
        None, repr=False, description="a URL such as http://user:password@proxy.example:3128"
    )
    #: Hosts that endpoints for Slack, Discord and Teams may be at beside the vendors' own (docs/presets.md).
    preset_hosts: Annotated[str, AfterValidator(values.hosts)] = Field(
        "", description="names of hosts such as chat.example.com, separated by commas"
    )
    #: How long what a look-up of a name answered may be used; each new connection checks the addresses all the same.
    resolve_cache_s: float = Field(5, ge=0, le=3600, description="a number of seconds from 0, for not, to 3600")
    #: Development: plain http to this machine.
    allow_http_loopback: bool = Field(default=False, description="true or false")
    #: Trusted beside the system's authorities.
    ca_bundle: Path | None = Field(None, description="the path of a PEM file with certificates")
    #: The `timeout_ms` of endpoints that name none.
    default_timeout_ms: int = Field(10_000, ge=100, le=30_000, description="a whole number from 100 to 30000")
    #: The `max_retries` of endpoints that name none.
    default_max_retries: int = Field(3, ge=1, le=20, description="a whole number from 1 to 20")
    #: When failures are tried again: `exponential`, `standard`, or waits of your own.
    retry_schedule: Annotated[str, BeforeValidator(str.strip), AfterValidator(values.schedule)] = Field(
        "exponential", description="exponential, standard, or a list of waits such as 5s,5m,2h"
    )
    #: The first wait of `exponential`; each later one is twice as long.
    retry_base_s: values.Seconds = Field(1, description="a number of seconds above 0")
    #: The longest wait of `exponential`.
    retry_cap_s: values.Seconds = Field(36_000, description="a number of seconds above 0")
    #: By which share of itself a wait may be shorter or longer, by chance.
    retry_jitter: float = Field(0.2, ge=0, lt=1, description="a number from 0 to below 1")
    #: Longer waits are kept in the database alone, shorter ones in Celery too.
    retry_countdown_max_s: float = Field(60, ge=0, le=1800, description="a number of seconds from 0 to 1800")
    #: Beyond the endpoint's timeout, before a dead worker's delivery is reclaimed.
    lease_slack_s: values.Seconds = Field(10, description="a number of seconds above 0")
    #: How often beat looks for events that no message has brought to a worker.
    relay_every_s: values.Seconds = Field(5, description="a number of seconds above 0")
    #: How old such an event must be.
    relay_after_s: values.Seconds = Field(5, description="a number of seconds above 0")
    #: How often beat looks for deliveries that are due, or whose worker died.
    sweep_every_s: values.Seconds = Field(5, description="a number of seconds above 0")
    #: The most ids in a message.
    deliver_chunk: int = Field(50, ge=1, le=1000, description="a whole number from 1 to 1000")
    #: The most POSTs at once in a worker process.
    post_concurrency: int = Field(100, ge=1, le=1000, description="a whole number from 1 to 1000")
    #: The most POSTs to one endpoint at once, of all workers, where it names no `max_concurrency`.
    endpoint_concurrency: int = Field(200, ge=1, le=1000, description="a whole number from 1 to 1000")
    #: An attempt that takes longer sends its endpoint to the slow lane.
    slow_after_s: values.Seconds = Field(1, description="a number of seconds above 0")
    #: Failures in a row that open an endpoint's circuit breaker.
    breaker_failures: int = Field(20, ge=0, le=1_000_000, description="a whole number from 0, for never, to 1000000")
    #: Until the first probe of an open circuit.
    breaker_open_s: values.Seconds = Field(30, description="a number of seconds above 0")
    #: Each probe that fails doubles the time until the next one, up to this.
    breaker_open_max_s: values.Seconds = Field(600, description="a number of seconds above 0")
    #: Without a success for so long: `webhook.failing`.
    failing_warn_s: values.Seconds = Field(86_400, description="a number of seconds above 0")
    #: Without a success for so long, the endpoint is disabled.
    failing_disable_s: values.Seconds = Field(432_000, description="a number of seconds above 0")
    #: The first and the last failure must be so far apart for either.
    failing_span_s: float = Field(43_200, ge=0, le=31_536_000, description="a number of seconds from 0 to 31536000")
    #: How long events, with their deliveries, stay once they are settled.
    retention_days: values.Days = Field(90, description="a number of days above 0, up to 36500")
    #: How long payloads stay once their event is settled.
    retention_payload_days: values.Days = Field(30, description="a number of days above 0, up to 36500")
    #: How long attempts stay once their event is settled.
    retention_attempt_days: values.Days = Field(30, description="a number of days above 0, up to 36500")
    #: How long the audit trail is kept (docs/audit.md).
    audit_retention_days: values.Days = Field(365, description="a number of days above 0, up to 36500")
    #: How often beat has old data removed.
    purge_every_s: values.Seconds = Field(60, description="a number of seconds above 0")
    #: Where the dashboard listens (docs/dashboard.md).
    dashboard_bind: values.Address = Field(
        "127.0.0.1:8088", description="an address and a port, such as 127.0.0.1:8088"
    )
    #: Seals the dashboard's cookies; made at the start. Set one where sessions are to outlive a restart.
    dashboard_secret: str | None = Field(
        None, min_length=16, repr=False, description="a text of 16 characters or more that cannot be guessed"
    )
    #: The host names by which the dashboard may be opened; empty: loopback's.
    dashboard_hosts: Annotated[str, AfterValidator(values.host_names)] = Field(
        "", description="host names without ports, such as hooks.example.com,localhost"
    )
    #: Needed for the dashboard to listen beyond this machine.
    dashboard_tls_cert: Path | None = Field(None, description="the path of a PEM file with the dashboard's certificate")
    #: The key of that certificate.
    dashboard_tls_key: Path | None = Field(None, description="the path of a PEM file with the certificate's key")
    #: true: the dashboard listens anywhere without TLS, for a proxy that speaks it.
    dashboard_insecure_plaintext: bool = Field(default=False, description="true or false")
    #: Where the readers of mails find the dashboard.
    dashboard_url: Annotated[str, AfterValidator(values.page)] | None = Field(
        None, description="a URL such as https://hooks.example.com"
    )
    #: Of the workers: the mail server for mails to endpoints' contacts (docs/notifications.md).
    smtp_url: Annotated[str, AfterValidator(values.smtp_url)] | None = Field(
        None,
        repr=False,
        description="a URL such as smtps://user:password@host:465, smtp+starttls://user:password@host:587 or smtp://host:25",
    )
    #: Of the workers: whom those mails are from.
    mail_from: Annotated[str, AfterValidator(values.mail_from)] | None = Field(
        None, description="a mail address such as hooks@example.com, or NoteFlow <hooks@example.com>"
    )
    #: Of `serve` and the workers: where each answers `/metrics` (docs/metrics.md). Needs the extra `[metrics]`.
    metrics_bind: values.Address | None = Field(None, description="an address and a port, such as 127.0.0.1:9465")
    #: Of `serve`, workers and beat (docs/logs.md).
    log_format: Literal["json", "text"] = Field("json", description="json or text")
    #: Where processes leave their signs of life (docs/health.md); else a folder of the user's in the system's temporary
    #: one.
    run_dir: Path | None = Field(None, description="the path of a folder")
    #: true: gRPC's health is NOT_SERVING once the database has refused for 10 s.
    health_needs_database: bool = Field(default=False, description="true or false")
    #: Of `up`: where its data is. That of a demo is in a temporary folder.
    data_dir: Path = Field(Path(".noteflow-hooks"), description="the path of a folder")

    @classmethod
    def load(cls, **overrides: Any) -> Self:  # noqa: ANN401 - any field's value
        """Read the settings, and check that CA_BUNDLE holds certificates."""
        settings = super().load(**overrides)
        if settings.ca_bundle is not None:
            _check_certificates(settings.ca_bundle)
        return settings

    @property
    def redis(self) -> RedisAddress:
        """Where the broker is; call ``require("redis_url")`` before."""
        return RedisAddress.parse(str(self.redis_url))

    @property
    def smtp(self) -> SmtpAddress | None:
        """Where the mail server is; None where mails are not sent."""
        return None if self.smtp_url is None else SmtpAddress.parse(self.smtp_url)

    @property
    def preset_hosts_named(self) -> frozenset[str]:
        """The hosts that presets may post to beside their vendors' own."""
        return frozenset(part.lower() for part in values.parts(self.preset_hosts))

    @property
    def retry_policy(self) -> RetryPolicy:
        """The retry policy that the five ``RETRY_`` settings describe."""
        named = {"exponential": None, "standard": STANDARD_SCHEDULE}
        schedule = named[self.retry_schedule] if self.retry_schedule in named else values.durations(self.retry_schedule)
        return RetryPolicy(
            base=timedelta(seconds=self.retry_base_s),
            cap=timedelta(seconds=self.retry_cap_s),
            jitter=self.retry_jitter,
            schedule=schedule,
        )

    @property
    def health_rules(self) -> HealthRules:
        """The limits by which endpoints' health is judged."""
        return HealthRules(
            concurrency=self.endpoint_concurrency,
            breaker_failures=self.breaker_failures,
            breaker_open=timedelta(seconds=self.breaker_open_s),
            breaker_open_max=timedelta(seconds=self.breaker_open_max_s),
            slow_after=timedelta(seconds=self.slow_after_s),
            warn_after=timedelta(seconds=self.failing_warn_s),
            disable_after=timedelta(seconds=self.failing_disable_s),
            disable_span=timedelta(seconds=self.failing_span_s),
            tells=self.webhooks_enabled,
        )

    @property
    def periods(self) -> Periods:
        """For how long settled events, payloads, attempts and audit entries are kept."""
        return Periods(
            events=timedelta(days=self.retention_days),
            payloads=timedelta(days=self.retention_payload_days),
            attempts=timedelta(days=self.retention_attempt_days),
            audit=timedelta(days=self.audit_retention_days),
        )

    def require(self, *names: Literal["database_url", "redis_url", "secret_keys"]) -> None:
        """Raise SettingsError for the first of the named settings that is not set."""
        for name in names:
            if not getattr(self, name):
                raise SettingsError(f"{PREFIX}{name.upper()} is not set; it must hold {_allowed(name)}")


def unknown_variables() -> list[str]:
    """Return a line for each variable with our prefix that is no setting: probably a slip in a setting's name."""
    known = sorted(name.upper() for name in (*Settings.model_fields, *CallerSettings.model_fields))
    # Pydantic gives them in lower case, since it ignores case.
    names = {*EnvSettingsSource(Settings).env_vars, *named_in_env_file()}
    ours = sorted(name.upper().removeprefix(PREFIX) for name in names if name.upper().startswith(PREFIX))
    return [_slip(name, known) for name in ours if name not in known]


def named_in_env_file() -> set[str]:
    """Return the names in ``.env``, in lower case, if there is one; raise SettingsError where it is no text."""
    try:
        return set(DotEnvSettingsSource(Settings).env_vars)
    except UnicodeDecodeError as error:
        raise not_text(error) from None


def _slip(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"{PREFIX}{name} is no setting and is ignored; the nearest is {PREFIX}{near[0]}"


def _check_certificates(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # an SSLError too, for a file that holds none
        bundle = f"{PREFIX}CA_BUNDLE is {str(path)!r}"
        raise SettingsError(
            f"{bundle}, where no certificate can be read; it may hold {_allowed('ca_bundle')}"
        ) from None


def _allowed(name: str) -> str:
    return Settings.model_fields[name].description or ""

"""The settings: environment variables with the prefix ``NOTEFLOW_HOOKS_``, and ``.env``.

A bad value stops the program at its start, with one line that names the variable, what it holds, and what it may hold.
"""

from __future__ import annotations

import difflib
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict

from noteflow_hooks import setting_values as values
from noteflow_hooks.broker.redis_url import RedisAddress, RedisUrlError
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.retry import STANDARD_SCHEDULE, RetryPolicy
from noteflow_hooks.domain.verification import ORIGIN
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.mail.smtp_url import SmtpAddress, SmtpUrlError
from noteflow_hooks.maintenance.retention import Periods
from noteflow_hooks.telemetry.sampling import SAMPLERS, Sampling
from noteflow_hooks.telemetry.trace_plan import TracePlan

PREFIX: Final = "NOTEFLOW_HOOKS_"
#: It is looked for in the folder that a program runs in.
ENV_FILE: Final = Path(".env")


class _Variables(BaseSettings):
    """Variables of the environment and of ``.env``. Each field's description says what it may hold.

    A field that may hold a password or a key has ``repr=False``: nothing shows its value, not even an error.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def load(cls, **overrides: Any) -> Self:  # noqa: ANN401 - any field's value
        """Read the environment and ``.env``; raise SettingsError with one line for the first bad value."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(cls._line(error)) from None
        except UnicodeDecodeError as error:
            raise _not_text(error) from None

    @classmethod
    def problems(cls) -> list[str]:
        """Return a line for each bad value of the environment and ``.env``, and of what these name."""
        try:
            cls()
        except ValidationError as error:
            return [cls._line(error, place) for place in range(error.error_count())]
        try:
            cls.load()
        except SettingsError as error:
            return [str(error)]
        return []

    @classmethod
    def _line(cls, error: ValidationError, place: int = 0) -> str:
        first = error.errors()[place]
        name = str(first["loc"][0])
        field = cls.model_fields[name]
        value = repr(first["input"]) if field.repr else "a value that is not shown here"
        problem = first.get("ctx", {}).get("error")
        if isinstance(problem, RedisUrlError | SmtpUrlError):
            value = f"{value}: {problem}"
        return f"{cls.variable(name)} is {value}; it may hold {field.description}"

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the variable's name that a field is read from."""
        return f"{cls.model_config['env_prefix']}{name.upper()}"


class TraceSettings(_Variables):
    """Whether traces are made, which, and where they go: OpenTelemetry's own variables, and its meaning of them.

    Others of its variables, such as those for certificates, its SDK reads by itself.
    """

    model_config = SettingsConfigDict(env_prefix="OTEL_")

    traces_exporter: Literal["otlp", "none"] | None = Field(None, description="otlp or none")
    exporter_otlp_endpoint: Annotated[str, AfterValidator(values.http_url)] | None = Field(
        None, repr=False, description="a URL such as http://localhost:4318"
    )
    exporter_otlp_traces_endpoint: Annotated[str, AfterValidator(values.http_url)] | None = Field(
        None, repr=False, description="a URL such as http://localhost:4318/v1/traces"
    )
    exporter_otlp_protocol: Literal["http/protobuf"] = Field("http/protobuf", description="http/protobuf")
    exporter_otlp_headers: Annotated[str, AfterValidator(values.pairs)] = Field(
        "", repr=False, description="names and values such as api-key=abc, separated by commas"
    )
    exporter_otlp_timeout: float = Field(10, gt=0, le=60, description="a number of seconds above 0, up to 60")
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = Field("parentbased_traceidratio", description=f"{', '.join(SAMPLERS)}")
    traces_sampler_arg: float = Field(0.01, ge=0, le=1, description="a number from 0 to 1")
    service_name: str | None = Field(None, description="a name")
    resource_attributes: Annotated[str, AfterValidator(values.pairs)] = Field(
        "", description="names and values such as deployment.environment.name=test, separated by commas"
    )
    bsp_max_queue_size: int = Field(2_048, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    bsp_max_export_batch_size: int = Field(512, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    bsp_schedule_delay: int = Field(5_000, ge=1, le=600_000, description="a whole number of ms from 1 to 600000")
    sdk_disabled: bool = Field(default=False, description="true or false")

    @property
    def plan(self) -> TracePlan | None:
        """What is traced and where it goes; None where nothing is: only who names a collector, or `otlp`, traces."""
        named = self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint or self.traces_exporter == "otlp"
        if self.sdk_disabled or self.traces_exporter == "none" or not named:
            return None
        base = (self.exporter_otlp_endpoint or "http://localhost:4318").rstrip("/")
        return TracePlan(
            url=self.exporter_otlp_traces_endpoint or f"{base}/v1/traces",
            headers=values.pairs_in(self.exporter_otlp_headers),
            timeout_s=self.exporter_otlp_timeout,
            queue=self.bsp_max_queue_size,
            batch=min(self.bsp_max_export_batch_size, self.bsp_max_queue_size),
            every_ms=self.bsp_schedule_delay,
            sampling=Sampling(self.traces_sampler, self.traces_sampler_arg),
            service=self.service_name,
            resource=values.pairs_in(self.resource_attributes),
        )


class CallerSettings(_Variables):
    """Which server the commands call, and with which token, unless options say so."""

    server: str | None = Field(None, description="an address and a port, such as 127.0.0.1:50051")
    token: str | None = Field(None, repr=False, description="an API token")
    tls_ca: str | None = Field(None, description="the path of a PEM file with certificates, or system")
    tls_cert: str | None = Field(None, description="the path of a PEM file with your own certificate")
    tls_key: str | None = Field(None, description="the path of a PEM file with its key")
    insecure: bool = Field(default=False, description="true or false")


class Settings(_Variables):
    """What the operator decides."""

    webhooks_enabled: bool = Field(default=True, description="true or false: the feature flag")
    require_verification: bool = Field(default=False, description="true or false")
    verification_origin: Annotated[str, AfterValidator(values.host_name)] = Field(
        ORIGIN, description="a host's name such as hooks.example"
    )
    database_url: Annotated[str, AfterValidator(values.database)] | None = Field(
        None, repr=False, description="a URL such as postgresql://user:password@host:5432/name"
    )
    postgres_pooler: Literal["none", "transaction"] = Field("none", description="none or transaction")
    redis_url: Annotated[str, AfterValidator(values.redis_url)] | None = Field(
        None,
        repr=False,
        description="a URL such as redis://:password@host:6379/0, or with TLS rediss://user:password@host:6379/0",
    )
    grpc_bind: Annotated[str, AfterValidator(values.bind)] = Field(
        "127.0.0.1:50051", description="an address and a port, such as 127.0.0.1:50051, or unix: and a path"
    )
    grpc_tls_cert: Path | None = Field(None, description="the path of a PEM file with the server's certificate")
    grpc_tls_key: Path | None = Field(None, description="the path of a PEM file with the certificate's key")
    grpc_tls_client_ca: Path | None = Field(None, description="the path of a PEM file with certificates")
    grpc_insecure_plaintext: bool = Field(default=False, description="true or false")
    registrations_per_minute: int = Field(
        60, ge=0, le=1_000_000, description="a whole number from 0, for no limit, to 1000000"
    )
    token_calls_per_s: int = Field(
        2000, ge=0, le=1_000_000, description="a whole number from 0, for no limit, to 1000000"
    )
    streams_per_workspace: int = Field(200, ge=1, le=1_000, description="a whole number from 1 to 1000")
    watches_per_workspace: int = Field(20, ge=1, le=1_000, description="a whole number from 1 to 1000")
    reads_share: float = Field(0.5, gt=0, le=1, description="a number above 0, up to 1")
    grpc_reflection: bool = Field(default=False, description="true or false")
    secret_keys: Annotated[str, NoDecode, AfterValidator(values.keys)] = Field(
        "", repr=False, description="keys of urlsafe base64 of 32 bytes each, separated by commas"
    )
    egress_allow: values.Networks = Field("", description="networks such as 10.1.0.0/16, separated by commas")
    egress_deny: values.Networks = Field("", description="networks such as 203.0.113.0/24, separated by commas")
    egress_ports: Annotated[str, AfterValidator(values.ports)] = Field(
        "", description="ports and ranges such as 443,8443,9000-9100, separated by commas"
    )
    egress_proxy: Annotated[str, AfterValidator(values.proxy)] | None = Field(
        None, repr=False, description="a URL such as http://user:password@proxy.example:3128"
    )
    preset_hosts: Annotated[str, AfterValidator(values.hosts)] = Field(
        "", description="names of hosts such as chat.example.com, separated by commas"
    )
    resolve_cache_s: float = Field(5, ge=0, le=3600, description="a number of seconds from 0, for not, to 3600")
    allow_http_loopback: bool = Field(default=False, description="true or false")
    ca_bundle: Path | None = Field(None, description="the path of a PEM file with certificates")
    default_timeout_ms: int = Field(10_000, ge=100, le=30_000, description="a whole number from 100 to 30000")
    default_max_retries: int = Field(3, ge=1, le=20, description="a whole number from 1 to 20")
    retry_schedule: Annotated[str, BeforeValidator(str.strip), AfterValidator(values.schedule)] = Field(
        "exponential", description="exponential, standard, or a list of waits such as 5s,5m,2h"
    )
    retry_base_s: values.Seconds = Field(1, description="a number of seconds above 0")
    retry_cap_s: values.Seconds = Field(36_000, description="a number of seconds above 0")
    retry_jitter: float = Field(0.2, ge=0, lt=1, description="a number from 0 to below 1")
    retry_countdown_max_s: float = Field(60, ge=0, le=1800, description="a number of seconds from 0 to 1800")
    lease_slack_s: values.Seconds = Field(10, description="a number of seconds above 0")
    relay_every_s: values.Seconds = Field(5, description="a number of seconds above 0")
    relay_after_s: values.Seconds = Field(5, description="a number of seconds above 0")
    sweep_every_s: values.Seconds = Field(5, description="a number of seconds above 0")
    deliver_chunk: int = Field(50, ge=1, le=1000, description="a whole number from 1 to 1000")
    post_concurrency: int = Field(100, ge=1, le=1000, description="a whole number from 1 to 1000")
    endpoint_concurrency: int = Field(200, ge=1, le=1000, description="a whole number from 1 to 1000")
    slow_after_s: values.Seconds = Field(1, description="a number of seconds above 0")
    breaker_failures: int = Field(20, ge=0, le=1_000_000, description="a whole number from 0, for never, to 1000000")
    breaker_open_s: values.Seconds = Field(30, description="a number of seconds above 0")
    breaker_open_max_s: values.Seconds = Field(600, description="a number of seconds above 0")
    failing_warn_s: values.Seconds = Field(86_400, description="a number of seconds above 0")
    failing_disable_s: values.Seconds = Field(432_000, description="a number of seconds above 0")
    failing_span_s: float = Field(43_200, ge=0, le=31_536_000, description="a number of seconds from 0 to 31536000")
    retention_days: values.Days = Field(90, description="a number of days above 0, up to 36500")
    retention_payload_days: values.Days = Field(30, description="a number of days above 0, up to 36500")
    retention_attempt_days: values.Days = Field(30, description="a number of days above 0, up to 36500")
    audit_retention_days: values.Days = Field(365, description="a number of days above 0, up to 36500")
    purge_every_s: values.Seconds = Field(60, description="a number of seconds above 0")
    dashboard_bind: values.Address = Field(
        "127.0.0.1:8088", description="an address and a port, such as 127.0.0.1:8088"
    )
    dashboard_secret: str | None = Field(
        None, min_length=16, repr=False, description="a text of 16 characters or more that cannot be guessed"
    )
    dashboard_hosts: Annotated[str, AfterValidator(values.host_names)] = Field(
        "", description="host names without ports, such as hooks.example.com,localhost"
    )
    dashboard_tls_cert: Path | None = Field(None, description="the path of a PEM file with the dashboard's certificate")
    dashboard_tls_key: Path | None = Field(None, description="the path of a PEM file with the certificate's key")
    dashboard_insecure_plaintext: bool = Field(default=False, description="true or false")
    dashboard_url: Annotated[str, AfterValidator(values.page)] | None = Field(
        None, description="a URL such as https://hooks.example.com"
    )
    smtp_url: Annotated[str, AfterValidator(values.smtp_url)] | None = Field(
        None,
        repr=False,
        description="a URL such as smtps://user:password@host:465, smtp+starttls://user:password@host:587 or smtp://host:25",
    )
    mail_from: Annotated[str, AfterValidator(values.mail_from)] | None = Field(
        None, description="a mail address such as hooks@example.com, or NoteFlow <hooks@example.com>"
    )
    metrics_bind: values.Address | None = Field(None, description="an address and a port, such as 127.0.0.1:9465")
    log_format: Literal["json", "text"] = Field("json", description="json or text")
    run_dir: Path | None = Field(None, description="the path of a folder")
    health_needs_database: bool = Field(default=False, description="true or false")
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
        raise _not_text(error) from None


def _not_text(error: UnicodeDecodeError) -> SettingsError:
    return SettingsError(f"{ENV_FILE.absolute()} is not UTF-8 text: its byte {error.start} can't be read as such")


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

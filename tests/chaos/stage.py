"""Everything that a run needs, started: the system, its workers, the receiver, endpoints, and the watch on leases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.bench.processes import LineProcess
from tests.chaos.crew import Crew
from tests.chaos.endpoints import BY_PATH, ENDPOINTS
from tests.chaos.watch import LeaseWatch
from tests.support.canary_secrets import CanarySecret, found
from tests.support.system_rig import SystemRig

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.chaos.options import Options

#: Short periods; slowness is measured elsewhere, so that a POST that hangs puts no endpoint into the slow lane.
_SLACK_S: Final = 2
_SLOW_AFTER_S: Final = 5
#: Of each endpoint. The script's failures exhaust nobody's budget by chance.
_MAX_RETRIES: Final = 10
_TIMEOUT_MS: Final = 1000


class Stage:
    """A running system and who looks at it from outside.

    Args:
        stack: Ends what is started here.
        options: The run's.
        folder: Gets logs and ledgers.
        check: Called during waits; raises to break them off.
    """

    def __init__(self, stack: ExitStack, options: Options, folder: Path, *, check: Callable[[], None]) -> None:
        #: The receiver's ledger.
        self.posts = folder / "posts.jsonl"
        receiver = LineProcess("tests.chaos.receiver", str(options.seed), str(self.posts), check=check)
        stack.callback(receiver.close)
        #: What stands before the path in each endpoint's URL.
        self.url = f"http://127.0.0.1:{receiver.greeting}"
        settings = {"lease_slack_s": _SLACK_S * options.stretch, "slow_after_s": _SLOW_AFTER_S * options.stretch}
        rig = SystemRig(folder / "system", workers=0, allow_http_loopback=True, **settings)
        self.rig = stack.enter_context(rig)
        check()
        self.crew = stack.enter_context(Crew(self.rig, options.app))
        self.watch = stack.enter_context(LeaseWatch(self.rig.system.database_url))
        own: dict[str, Any] = {"max_retries": _MAX_RETRIES, "timeout_ms": round(_TIMEOUT_MS * options.stretch)}
        self._webhooks = [self.rig.webhook(url=f"{self.url}{each.path}", **own, **each.options) for each in ENDPOINTS]
        receiver.ask(json.dumps({path: each.secret for path, each in zip(BY_PATH, self._webhooks, strict=True)}))
        self._has_beat = options.beat
        if not options.beat:
            self.rig.kill("beat")
        #: Who has died without being killed, and how.
        self.deaths: list[str] = []

    @property
    def paths(self) -> dict[str, str]:
        """The endpoints' paths by their ids."""
        return {webhook.id: path for webhook, path in zip(self._webhooks, BY_PATH, strict=True)}

    def revive(self) -> None:
        """Start again whoever has died by himself, and remember who that was."""
        for part in (*self.crew.parts, *self.rig.system.parts):
            if part.pid is None and (self._has_beat or part.name != "beat"):
                self.deaths.append(f"{part.name} {part.fate}")
                part.start()

    def leaks(self) -> frozenset[str]:
        """Return which secrets stand in any process's log, and in which form."""
        logs = b"\n".join(each.read_bytes() for each in (self.rig.folder / "logs").glob("*.log"))
        assert self._webhooks[0].id.encode() in logs, "the logs tell of no endpoint, so the search proves nothing"
        settings = self.rig.settings
        secrets = {
            "the token": self.rig.token,
            "the key": settings["secret_keys"],
            "Valkey's password": settings["redis_url"].partition("://:")[2].partition("@")[0],
            **{f"the secret of {webhook.url}": webhook.secret for webhook in self._webhooks},
        }
        return frozenset(found((CanarySecret.of(name, value) for name, value in secrets.items()), logs))

"""A server over memory in a process of its own, whose memory a test can look at."""

from __future__ import annotations

import os
import sys
from functools import partial

from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.domain.access import generate_token, hash_token
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.server.options import ServerOptions
from noteflow_hooks.rpc.server.serve import serve
from noteflow_hooks.rpc.server.server import HooksServer
from tests.support.builders import a_token, a_workspace


def main() -> None:
    """Serve until SIGTERM, for two workspaces: print the address, the process and a token of each."""
    units = partial(InMemoryUnitOfWork, MemoryStore())
    tokens = [generate_token(), generate_token()]
    with units() as unit:
        for token in tokens:
            workspace = unit.access.create_workspace(a_workspace())
            unit.access.create_token(a_token(workspace_id=workspace.id, token_hash=hash_token(token)))
        unit.commit()
    server = HooksServer(units, WebhookService(units, lambda _: None), ServerOptions(bind="127.0.0.1:0"))
    serve(server, ready=lambda address: _say(address, str(os.getpid()), *tokens))


def _say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

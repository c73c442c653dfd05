"""A dashboard in a thread of its own, over a gRPC server of a test's."""

from __future__ import annotations

import socket
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Self

from noteflow_hooks.client import connect
from noteflow_hooks.dashboard.app import Parts, application
from noteflow_hooks.dashboard.gateway import Gateway
from noteflow_hooks.dashboard.guard import LOOPBACK_NAMES
from noteflow_hooks.dashboard.pages import Pages
from noteflow_hooks.dashboard.sealing import Sealer
from noteflow_hooks.dashboard.server import server
from noteflow_hooks.dashboard.sessions import Sessions
from noteflow_hooks.dashboard.signing_in import OneTimeLink, Tries
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

SECRET: Final = "a secret of these tests"


class Dashboard:
    """Serves on a port of its own until the block is left. It stays there while its gRPC server comes and goes."""

    def __init__(self, grpc: str, *, link: Path | None = None, **parts: Any) -> None:  # noqa: ANN401 - the parts' own
        self.gateway = Gateway(lambda token: connect(grpc, token, attempts=1))
        self.sessions = Sessions(Sealer(SECRET))
        made: dict[str, Any] = {
            "gateway": self.gateway,
            "sessions": self.sessions,
            "tries": Tries(),
            "link": OneTimeLink(link),
            "pages": Pages(),
            "hosts": LOOPBACK_NAMES,
        }
        self.parts = Parts(**made | parts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._is_ready = threading.Event()
        app = application(self.parts)
        self._server = server(app, ready=self._is_ready.set, closing=self.gateway.close)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)

    def __enter__(self) -> Self:
        # Signals are the main thread's, where tests run.
        self._server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]  # as said
        self._thread.start()
        assert self._is_ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)

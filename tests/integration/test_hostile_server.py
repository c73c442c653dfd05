"""The server of hostile endpoints can be run by hand, for any client."""

from __future__ import annotations

import http.client
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.hostile_cases.case import path_of
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS
from tests.support.hostile_server import CASES
from tests.support.waiting import PATIENCE_S


def test_run_by_hand_it_prints_what_it_serves() -> None:
    """A line for each address; a client that trusts the printed authority is answered there; Ctrl-C ends it."""
    command = [sys.executable, "-m", "tests.support.hostile_server"]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            _ask_and_end(server)
        finally:
            # Where something is not as expected, nothing else would end it.
            server.kill()


def _ask_and_end(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    trust, *lines = [server.stdout.readline() for _ in range(1 + len(CASES) + len(FAULTY_LISTENERS))]
    authority = trust.removeprefix("Trust ").partition(";")[0]
    addresses = {line.split("  ")[1].partition(":")[0]: line.split("  ")[0] for line in lines}
    assert list(addresses) == [*CASES, *FAULTY_LISTENERS]
    url = urlsplit(addresses["E19 is gone"])
    context = ssl.create_default_context(cafile=authority)
    client = http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=PATIENCE_S)
    client.request("POST", url.path, b"{}")
    assert client.getresponse().status == 410
    client.close()
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=PATIENCE_S) == 0


def test_every_behaviour_has_a_path_of_its_own() -> None:
    """No two cases share one, and a path says which fault it is."""
    paths = [path_of(name) for name in (*CASES, *FAULTY_LISTENERS)]
    assert len(set(paths)) == len(paths)
    assert path_of("E2 trickles a head") == "/e02-trickles-a-head"

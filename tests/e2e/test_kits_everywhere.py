"""The receiver kits in their languages and under their frameworks, as their page shows them; run by `make kits`."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.quality.sources import ROOT
from tests.support.kits import KITS, SAMPLES, VECTORS, Sent, check_receiver, copy, delivered_by, example, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.kits import Delivered, Place
    from tests.support.system_rig import SystemRig

pytestmark = pytest.mark.kits
_BROUGHT: Final = ROOT / ".kits"
#: What each kit is held to.
CHECKED: Final = [*VECTORS, *SAMPLES]
_SETTINGS: Final = """
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
MIDDLEWARE = {middleware}
"""
_HOOK: Final = """
from flask import request
from app import app

app.before_request(lambda: request.stream.read() and None)
"""
_MIDDLEWARE: Final = """
def reader(get_response):
    def middleware(request):
        request.read()
        return get_response(request)
    return middleware
"""
_FPM: Final = """
[global]
error_log = /dev/stderr
daemonize = no
[www]
user = root
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 1
clear_env = no
"""
_WSGI: Final = "from django.core.wsgi import get_wsgi_application\n\napp = get_wsgi_application()\n"


@pytest.fixture(scope="module")
def delivered(system: SystemRig) -> Iterator[Delivered]:
    """Have the system deliver once, for all receivers."""
    with system.as_new_tenant() as tenant:
        yield delivered_by(tenant)
        tenant.remove_webhooks()


def tool(name: str) -> str:
    """Return where a program is; skip where it is missing, and say so."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def brought(path: str) -> str:
    """Return what `make kits` has installed beside the project."""
    if not (_BROUGHT / path).exists():
        pytest.skip(f"there is no {path} in .kits: make kits brings it")
    return str(_BROUGHT / path)


def run(*command: str, folder: Path = ROOT, **env: str) -> str:
    """Run a language's own check, and return what it says."""
    done = subprocess.run(command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)  # noqa: T201 - the figures of the page, with pytest -s
    return done.stdout


def with_python(
    heading: str, folder: Path, delivered: Delivered, *command: str, early: str = "", middleware: tuple[str, ...] = ()
) -> AbstractContextManager[Place]:
    """Run a Python example beside a copy of the kit; ``early`` is what stands before it."""
    shutil.copytree(KITS / "python" / "noteflow_webhooks", folder / "noteflow_webhooks")
    (folder / ("urls.py" if heading == "Django" else "app.py")).write_text(example(heading))
    (folder / "settings.py").write_text(_SETTINGS.format(middleware=list(middleware)))
    (folder / "wsgi.py").write_text(_WSGI)
    (folder / "early.py").write_text(early)
    words = [brought(f"python/bin/{command[0]}"), *command[1:]]
    return program(words, folder, delivered, DJANGO_SETTINGS_MODULE="settings", PYTHONPATH=str(folder))


GUNICORN: Final = ("gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "4")


@pytest.mark.parametrize(
    ("heading", "command"),
    [
        ("ASGI", ("uvicorn", "app:app", "--port", "{port}", "--no-access-log")),
        ("FastAPI", ("uvicorn", "app:app", "--port", "{port}", "--no-access-log")),
        ("WSGI", (*GUNICORN, "app:app")),
        ("Flask", (*GUNICORN, "app:app")),
        ("Django", (*GUNICORN, "wsgi:app")),
    ],
)
def test_python_takes_what_was_delivered(
    heading: str, command: tuple[str, ...], tmp_path: Path, delivered: Delivered
) -> None:
    """Under each framework, and servers that people run."""
    with with_python(heading, tmp_path, delivered, *command) as place:
        check_receiver(place, delivered)


def test_flask_says_that_somebody_has_read_the_body(tmp_path: Path, delivered: Delivered) -> None:
    """A hook before the view has taken it."""
    with with_python("Flask", tmp_path, delivered, *GUNICORN, "early:app", early=_HOOK) as place:
        assert place.post(delivered.by_secret) == (500, {"error": "body_not_raw"})


def test_django_says_that_somebody_has_read_the_body(tmp_path: Path, delivered: Delivered) -> None:
    """A middleware has taken it."""
    command = (*GUNICORN, "wsgi:app")
    with with_python("Django", tmp_path, delivered, *command, early=_MIDDLEWARE, middleware=("early.reader",)) as place:
        assert place.post(delivered.by_secret) == (500, {"error": "body_not_raw"})


@contextmanager
def with_node(code: str, folder: Path, delivered: Delivered) -> Iterator[Place]:
    """Run a Node example beside a copy of the kit."""
    copy("node", folder)
    (folder / "node_modules").symlink_to(brought("node/node_modules"))
    (folder / "receiver.mjs").write_text(code)
    with program([tool("node"), "receiver.mjs"], folder, delivered) as place:
        yield place


@pytest.mark.parametrize("heading", ["Express", "Fastify"])
def test_node_takes_what_was_delivered(heading: str, tmp_path: Path, delivered: Delivered) -> None:
    """Under each framework."""
    with with_node(example(heading), tmp_path, delivered) as place:
        check_receiver(place, delivered)


def test_express_says_that_a_parser_stands_before(tmp_path: Path, delivered: Delivered) -> None:
    """As it does in many programs."""
    code = example("Express").replace("const app = express();\n", "const app = express();\napp.use(express.json());\n")
    with with_node(code, tmp_path, delivered) as place:
        assert place.post(delivered.by_secret) == (500, {"error": "body_not_raw"})


def test_the_kits_of_python_and_node_can_be_installed(tmp_path: Path) -> None:
    """Without anything else, and used from elsewhere."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "python"))
    run(sys.executable, "-m", "pip", "install", *options, str(KITS / "python"))
    code = "import noteflow_webhooks.web; print(noteflow_webhooks.__file__)"
    assert str(tmp_path) in run(sys.executable, "-c", code, folder=tmp_path, PYTHONPATH=str(tmp_path / "python"))
    run(tool("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), str(KITS / "node"))
    (tmp_path / "used.mjs").write_text('import { verifier } from "noteflow-webhooks";\nconsole.log(typeof verifier);\n')
    assert run(tool("node"), "used.mjs", folder=tmp_path) == "function\n"


def test_go_holds_the_vectors(tmp_path: Path) -> None:
    """And its own tests; nothing is downloaded."""
    said = run(tool("go"), "test", "-v", "-bench", ".", "-timeout", "60s", ".", folder=KITS / "go", **_go(tmp_path))
    assert f"{len(CHECKED)} vectors" in said


def test_go_takes_what_was_delivered(tmp_path: Path, delivered: Delivered) -> None:
    """By its own server, in a module that has a copy of the kit."""
    (tmp_path / "webhooks").mkdir()
    for name in ("receiver.go", "seen.go", "verifier.go"):
        shutil.copy(KITS / "go" / name, tmp_path / "webhooks")
    (tmp_path / "go.mod").write_text("module example.com/receiver\n\ngo 1.19\n")
    (tmp_path / "main.go").write_text(example("Go"))
    run(tool("go"), "vet", "./...", folder=tmp_path, **_go(tmp_path))
    run(tool("go"), "build", "-o", "receiver", folder=tmp_path, **_go(tmp_path))
    with program(["./receiver"], tmp_path, delivered) as place:
        check_receiver(place, delivered)


def _go(folder: Path) -> dict[str, str]:
    return {"GOPATH": str(folder / "go"), "GOCACHE": str(_BROUGHT / "go"), "GOPROXY": "off", "GOFLAGS": "-mod=mod"}


def test_ruby_holds_the_vectors() -> None:
    """With warnings on."""
    assert f"{len(CHECKED)} vectors passed, 0 failed" in run(tool("ruby"), "-w", str(KITS / "ruby" / "vectors.rb"))


def test_ruby_takes_what_was_delivered(tmp_path: Path, delivered: Delivered) -> None:
    """Under Puma."""
    copy("ruby", tmp_path)
    (tmp_path / "config.ru").write_text(example("Ruby"))
    command = [tool("puma"), "--silent", "--bind", "tcp://127.0.0.1:{port}", "--environment", "production", "config.ru"]
    with program(command, tmp_path, delivered) as place:
        check_receiver(place, delivered)


def test_php_holds_the_vectors() -> None:
    """With its own extensions."""
    assert f"{len(CHECKED)} vectors passed, 0 failed" in run(tool("php"), str(KITS / "php" / "vectors.php"))


def test_php_takes_what_was_delivered(tmp_path: Path, delivered: Delivered) -> None:
    """By its own server; its processes share ids by files."""
    copy("php", tmp_path)
    (tmp_path / "hooks.php").write_text(example("PHP").replace("php://stderr", "php://stdout"))
    command = [tool("php"), "-S", "127.0.0.1:{port}", "hooks.php"]
    with program(command, tmp_path, delivered, TMPDIR=str(tmp_path)) as place:
        check_receiver(place, delivered)


def test_php_answers_under_fpm_before_the_event_is_handled(tmp_path: Path, delivered: Delivered) -> None:
    """What it prints to is a pipe that nobody has opened yet."""
    copy("php", tmp_path)
    printed = tmp_path / "printed"
    os.mkfifo(printed)
    (tmp_path / "hooks.php").write_text(example("PHP").replace("php://stderr", str(printed)))
    (tmp_path / "fpm.conf").write_text(_FPM.format(port="${PORT}"))
    command = [tool("php-fpm8.2"), "-R", "-F", "-y", str(tmp_path / "fpm.conf")]
    with program(command, tmp_path, delivered, TMPDIR=str(tmp_path)) as place:
        asked = delivered.by_secret
        assert answered_by_fpm(place.port, tmp_path / "hooks.php", asked).startswith("Status: 204")
        assert printed.read_text().startswith(asked.line)
        wrong = answered_by_fpm(place.port, tmp_path / "hooks.php", replace(asked, body=b"{}"))
        assert wrong.startswith("Status: 401")
        assert wrong.endswith('{"error":"no_match"}')


def answered_by_fpm(port: int, script: Path, sent: Sent) -> str:
    """Ask as a web server does, by FastCGI's records, and return what comes before the end of the request."""
    headers = {name.upper().replace("-", "_"): value for name, value in sent.headers.items()} | {"CONTENT_LENGTH": ""}
    named = {f"HTTP_{name}": value for name, value in headers.items() if value}
    params = {"REQUEST_METHOD": "POST", "SCRIPT_FILENAME": str(script), "CONTENT_LENGTH": str(len(sent.body)), **named}
    written = b"".join(
        struct.pack(">BI", len(name), len(value) | 1 << 31) + f"{name}{value}".encode()
        for name, value in params.items()
    )
    records = [(1, struct.pack(">HB5x", 1, 0)), (4, written), (4, b""), (5, sent.body), (5, b"")]
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as file:
        connection.sendall(b"".join(struct.pack(">BBHHBx", 1, kind, 1, len(body), 0) + body for kind, body in records))
        said = b""
        while True:
            _, kind, _, length, padding = struct.unpack(">BBHHBx", file.read(8))
            body = file.read(length + padding)[:length]
            if kind == 3:  # the end of the request
                return said.decode()
            said += body if kind == 6 else b""  # what is written to its output


def test_java_holds_the_vectors_and_takes_what_was_delivered(tmp_path: Path, delivered: Delivered) -> None:
    """By the JDK's server; compiled with all warnings, which are errors."""
    sources = [str(each) for each in (KITS / "java").rglob("*.java")]
    (tmp_path / "Main.java").write_text(example("Java"))
    run(tool("javac"), "-Xlint:all", "-Werror", "-d", str(tmp_path), *sources, str(tmp_path / "Main.java"))
    (tmp_path / "vectors").write_text("".join(map(_line, CHECKED)))
    said = run(tool("java"), "-cp", str(tmp_path), "Vectors", str(tmp_path / "vectors"))
    assert f"{len(CHECKED)} vectors passed, 0 failed" in said
    with program([tool("java"), "-cp", ".", "Main"], tmp_path, delivered) as place:
        check_receiver(place, delivered)


def _line(vector: dict[str, object]) -> str:
    """Return a vector as `Vectors.java` reads it: base64 between commas."""
    secrets, headers = vector["secrets"], vector["headers"]
    assert isinstance(secrets, list)
    assert isinstance(headers, dict)
    names = ("name", "expected", "scheme", "now", "tolerance_s", "body_base64")
    fields = [
        *(vector[name] for name in names),
        len(secrets),
        *secrets,
        *(each for pair in headers.items() for each in pair),
    ]
    return ",".join(base64.b64encode(str(field).encode()).decode() for field in fields) + "\n"

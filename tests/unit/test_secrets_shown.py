"""What our own values, settings and errors say of themselves: in a log, a traceback or a debugger, never a secret."""

from __future__ import annotations

import logging
import re
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest
from pydantic import ValidationError

from noteflow_hooks import bootstrap
from noteflow_hooks.broker import publisher
from noteflow_hooks.crypto import SecretBox, parse_keys
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.egress.proxy import parse_proxy
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.executor.http.prepared import PreparedEndpoint
from noteflow_hooks.executor.http.stream import Deadline
from noteflow_hooks.executor.http.transport import SignedPost, Transport
from noteflow_hooks.key_pairs import KeySigner, generate_key_pair
from noteflow_hooks.local.stack import Identity
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.orm import WebhookConfigRow
from noteflow_hooks.redis_url import RedisAddress
from noteflow_hooks.settings import Settings
from tests.support.builders import NOON, a_delivery, a_webhook
from tests.support.canary_secrets import CanarySecret, CanarySecrets, found, letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRETS: Final = CanarySecrets(private_keys=[generate_key_pair(), generate_key_pair()])
PASSWORD: Final = letters()
CANARIES: Final = [*SECRETS.everywhere, *SECRETS.of_urls, CanarySecret.of("password", PASSWORD)]
WEBHOOK: Final = a_webhook(
    url=f"https://host.example/{SECRETS.path}?key={SECRETS.query}",
    secret=SECRETS.of_endpoints[0],
    previous_secret=SECRETS.of_endpoints[1],
    headers=tuple(SECRETS.headers.items()),
    signing=Signing.BOTH,
    signing_key=SECRETS.private_keys[0],
    previous_keys=(PreviousKey(SECRETS.private_keys[1], NOON + timedelta(hours=1)),),
)
CLAIM: Final = Claim(a_delivery(webhook_id=WEBHOOK.id), WEBHOOK, b"{}")
GIVEN: Final = {
    "database_url": f"postgresql://user:{PASSWORD}@host/name",
    "redis_url": f"redis://:{PASSWORD}@host/0",
    "egress_proxy": f"http://user:{PASSWORD}@host:3128",
    "secret_keys": ",".join(SECRETS.keys),
    "dashboard_secret": PASSWORD * 4,
    "smtp_url": f"smtps://user:{PASSWORD}@host",
}
#: Values that no setting may have, each with a secret in it.
BAD: Final = {
    "key": ("secret_keys", f"{SECRETS.keys[0]},{PASSWORD}"),
    "database of another kind": ("database_url", f"mysql://user:{PASSWORD}@host/name"),
    "password with a slash": ("database_url", f"postgresql://user:a/{PASSWORD}@host/name"),
    "broker of another kind": ("redis_url", f"http://:{PASSWORD}@host/0"),
    "password for a port": ("redis_url", f"redis://host:{PASSWORD}"),
    "proxy of another kind": ("egress_proxy", f"socks5://user:{PASSWORD}@host:1"),
    "mail server of another kind": ("smtp_url", f"imap://user:{PASSWORD}@host"),
    "proxy without a port": ("egress_proxy", f"http://user:{PASSWORD}@host:port"),
}


def settings(**given: Any) -> Settings:  # noqa: ANN401 - any field's value
    return Settings(_env_file=None, **(GIVEN | given))


def a_post() -> SignedPost:
    endpoint = PreparedEndpoint(WEBHOOK, user_agent="test", allow_http_loopback=False)
    return SignedPost(endpoint, endpoint.usual(CLAIM.delivery, CLAIM.payload, NOON), Deadline(1, lambda: 0.0))


#: What holds a secret, a password, or a URL with its path and query.
HOLDERS: Final[dict[str, Callable[[], object]]] = {
    "endpoint": lambda: WEBHOOK,
    "claim": lambda: CLAIM,
    "list of claims": lambda: [CLAIM],
    "secret box": lambda: SecretBox(parse_keys(GIVEN["secret_keys"])),
    "settings": settings,
    "parts of the server": lambda: bootstrap.server(settings()),
    "engine": lambda: create_engine(GIVEN["database_url"]),
    "database URL": lambda: create_engine(GIVEN["database_url"]).url,
    "publishers": lambda: publisher.connect(RedisAddress.parse(GIVEN["redis_url"])),
    "proxy": lambda: parse_proxy(GIVEN["egress_proxy"]),
    "post": a_post,
    "prepared endpoint": lambda: a_post().endpoint,
    "route": lambda: a_post().endpoint.route,
    "identity": lambda: Identity("workspace", SECRETS.token),
    "previous key": lambda: WEBHOOK.previous_keys,
    "key signer": lambda: KeySigner(SECRETS.private_keys[0]),
    "row": lambda: WebhookConfigRow(url=WEBHOOK.url, secret=WEBHOOK.secret),
}


@pytest.mark.parametrize("made", HOLDERS.values(), ids=list(HOLDERS))
def test_nothing_says_a_secret_of_itself(made: Callable[[], object]) -> None:
    """Printed, formatted, logged, or among a traceback's variables."""
    holder = made()
    shown = f"{holder} {holder!r} " + "%s %r" % (holder, holder)  # noqa: UP031 - as logging formats
    assert found(CANARIES, shown.encode()) == set()


def test_a_url_says_no_path_or_query_in_a_repr() -> None:
    """It is text that is to be sent, and so a str has them."""
    url = parse_url(WEBHOOK.url)
    assert found(CANARIES, repr(url).encode()) == set()
    assert found(CANARIES, str(url).encode())


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=list(BAD))
def test_a_bad_setting_is_in_no_error(name: str, value: str) -> None:
    """Neither in our line, nor in pydantic's own error, whatever prints it."""
    with pytest.raises(SettingsError) as ours:
        Settings.load(_env_file=None, **{name: value})
    with pytest.raises(ValidationError) as pydantics:
        settings(**{name: value})
    for error in (ours.value, ours.value.__context__, pydantics.value):
        shown = f"{error} {error!r} " + "".join(traceback.format_exception(error))
        assert found(CANARIES, shown.encode()) == set()


def test_every_setting_that_may_hold_a_secret_is_hidden() -> None:
    """By its name: a new one has to say so before it is ever printed."""
    telling = re.compile("key|url|proxy|password|secret|token")
    texts = {name: field for name, field in Settings.model_fields.items() if field.annotation in (str, str | None)}
    assert [name for name, field in texts.items() if telling.search(name) and field.repr] == []
    assert {name for name, field in Settings.model_fields.items() if not field.repr} == set(GIVEN)


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy())
    yield made
    made.close()


def test_a_crash_in_an_attempt_is_logged_without_a_secret(
    executor: WebhookExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With its traceback, wherever it comes from; what goes on record says only that it was our fault."""
    caplog.set_level(logging.DEBUG)

    def crash(_: Transport, post: SignedPost, __: object) -> NoReturn:
        raise RuntimeError(f"crashed with {post} and {CLAIM}")

    monkeypatch.setattr(Transport, "sent", crash)
    result = executor.post(CLAIM)
    assert (result.error_kind, result.error_message) == (ErrorKind.INTERNAL, "Internal error")
    assert "crashed with" in caplog.text
    assert "Traceback" in caplog.text
    assert found(CANARIES, f"{caplog.text} {result!r}".encode()) == set()

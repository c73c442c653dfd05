"""SMTP_URL and MAIL_FROM: what they may hold, and refusals that repeat nothing of it."""

from __future__ import annotations

import pytest

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.mail.smtp_url import SmtpAddress, SmtpUrlError, parse_sender, sender_of
from noteflow_hooks.settings import PREFIX, Settings


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("smtp://127.0.0.1:2525", SmtpAddress("127.0.0.1", 2525)),
        ("smtp://mail.example", SmtpAddress("mail.example", 25)),
        ("smtp://[::1]:25", SmtpAddress("::1", 25)),
        ("smtp://u:p@localhost", SmtpAddress("localhost", 25, user="u", password="p")),
        ("smtps://u:p@mail.example", SmtpAddress("mail.example", 465, is_tls=True, user="u", password="p")),
        (
            "smtp+starttls://ops%40example.com:a%2Fb%3A%40c@mail.example:587",
            SmtpAddress("mail.example", 587, starts_tls=True, user="ops@example.com", password="a/b:@c"),
        ),
    ],
)
def test_a_url_names_the_server_and_how_it_is_spoken_to(url: str, address: SmtpAddress) -> None:
    """User and password are percent-encoded."""
    assert SmtpAddress.parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example",
        "mail.example:25",
        "smtp://",
        "smtps://u:p@:465",
        "smtp://mail.example:0",
        "smtp://mail.example:70000",
        "smtp://mail.example:x",
        "smtps://hunter2@mail.example",
        "smtps://u:%0ahunter2@mail.example",
        "smtps://u:hunter2%ff@mail.example",
        "smtps://u:hunter2@mail.example/inbox",
        "smtps://u:hunter2@mail.example?tls=no",
        "smtps://u:hunter2@mail.example\r\nRCPT",
        "smtps://[::1",
        "smtp://u:hunter2@mail.example",
    ],
)
def test_another_url_is_refused_with_one_line_that_repeats_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the clear is, too, but to this machine."""
    with pytest.raises(SmtpUrlError) as refused:
        SmtpAddress.parse(url)
    monkeypatch.setenv(f"{PREFIX}SMTP_URL", url)
    with pytest.raises(SettingsError) as stopped:
        Settings.load()
    for text in (str(refused.value), str(stopped.value)):
        assert "hunter2" not in text
        assert "\n" not in text
    assert str(stopped.value).startswith(f"{PREFIX}SMTP_URL is a value that is not shown here: ")


def test_neither_settings_nor_the_address_show_a_password() -> None:
    """Nor a user."""
    settings = Settings(smtp_url="smtps://secret-user:hunter2@mail.example")
    assert "hunter2" not in f"{settings!r} {settings.smtp!r} {settings.smtp}"
    assert "secret-user" not in f"{settings.smtp!r} {settings.smtp}"


def test_a_sender_may_have_a_name() -> None:
    """Or is what the server's user or its host says, where none is set."""
    assert parse_sender("hooks@example.com") == ("NoteFlow Hooks", "hooks@example.com")
    assert parse_sender("Our Hooks <hooks@example.com>") == ("Our Hooks", "hooks@example.com")
    assert sender_of(None, SmtpAddress("h", 25, user="a@b.example")) == ("NoteFlow Hooks", "a@b.example")
    assert sender_of(None, SmtpAddress("mail.example", 25))[1] == "noteflow-hooks@mail.example"
    assert sender_of(None, SmtpAddress("127.0.0.1", 25))[1] == "noteflow-hooks@[127.0.0.1]"
    assert sender_of("x@y.example", SmtpAddress("h", 25))[1] == "x@y.example"


@pytest.mark.parametrize("text", ["", "nobody", "a@b@c", 'x"y <a@b.example>', "a <a@b.example> b", "a\n<a@b.example>"])
def test_another_sender_is_refused(text: str) -> None:
    """Whatever could begin another header is none."""
    with pytest.raises(ValueError):  # noqa: PT011 - the setting's own line says what is allowed
        parse_sender(text)


def test_the_dashboards_url_has_no_query_and_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in every mail."""
    assert Settings(dashboard_url="https://hooks.example/dashboard").dashboard_url == "https://hooks.example/dashboard"
    for url in ("hooks.example", "ftp://hooks.example", "https://u:p@hooks.example", "https://hooks.example/?a=b"):
        monkeypatch.setenv(f"{PREFIX}DASHBOARD_URL", url)
        with pytest.raises(SettingsError, match="DASHBOARD_URL"):
            Settings.load()

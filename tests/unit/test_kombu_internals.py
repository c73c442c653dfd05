"""What this project relies on of kombu's insides, thing by thing, and the version that was read for it."""

from __future__ import annotations

import inspect
import time
from importlib.metadata import version
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import fakeredis
import pytest
from celery import Celery
from kombu import connection, message
from kombu.transport import redis, virtual
from kombu.utils import functional

from noteflow_hooks.broker import kombu_internals
from noteflow_hooks.redis_url import RedisAddress
from workers.transport import PLAIN_TRANSPORT, TLS_TRANSPORT, Channel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

#: The kombu that `noteflow_hooks/broker/kombu_internals.py` was read against.
READ_FOR: Final = "5.7.0"
#: A function of kombu's, what it uses by these names, and what of ours rests on that.
USES: Final[list[tuple[ModuleType, str, tuple[str, ...], str]]] = [
    (functional, "retry_over_time", ("sleep",), "wait_without_blocking_others replaces the sleep between two tries"),
    (redis, "Channel.__init__", ("_get_client", "Client", "QoS"), "GuardedChannel gives it a client and a QoS of ours"),
    (redis, "Channel._create_client", ("Client",), "each connection's client is the filtering one"),
    (redis, "Channel._brpop_read", ("parse_response", "BRPOP", "Empty"), "a dropped message is taken for none in time"),
    (redis, "Channel._brpop_start", ("send_command", "BRPOP"), "messages are fetched by BRPOP alone"),
    (redis, "Channel._receive_one", ("_deliver_fanout_message",), "a broadcast can be dropped before its delivery"),
    (
        virtual,
        "QoS.restore_unacked_once",
        ("restore_unacked", "emergency_dump_state"),
        "no file of it is left",
    ),
    (connection, "Connection._info", ("resolve_aliases", "ssl"), "show_as_schemes names the schemes that URLs show"),
    (redis, "Channel._connparams", ("ssl", "connection_class_ssl"), "broker_use_ssl has redis-py speak TLS"),
    (virtual, "Channel.qos.fget", ("QoS",), "the QoS that GuardedChannel has set is the one that is made"),
]
#: The parameters that our overrides take over, or call with.
SIGNATURES: Final[list[tuple[ModuleType, str, list[str]]]] = [
    (redis, "Channel._receive_one", ["self", "c"]),
    (redis, "Channel._deliver_fanout_message", ["self", "message", "exchange"]),
    (redis, "Channel._get_client", ["self"]),
    (virtual, "Channel.basic_consume", ["self", "queue", "no_ack", "callback", "consumer_tag", "kwargs"]),
    (virtual, "QoS.restore_unacked", ["self"]),
    (message, "Message.reject_log_error", ["self", "logger", "errors", "requeue"]),
]


def test_kombu_is_the_one_that_was_read() -> None:
    """Another version may keep every test below green, and still do something else in between."""
    installed = version("kombu")
    assert installed == READ_FOR, (
        f"kombu {installed} is installed, and kombu_internals.py was read against {READ_FOR}: read what this "
        "file lists again in the new version, run tests/e2e/test_poison.py, and then change READ_FOR"
    )


@pytest.mark.parametrize(("module", "path", "names", "reason"), USES, ids=[reason for *_, reason in USES])
def test_kombu_still_does_what_is_relied_on(module: ModuleType, path: str, names: tuple[str, ...], reason: str) -> None:
    """By the names and words in the function's own code."""
    code = attrgetter(path)(module).__code__
    used = {*code.co_names, *map(str, code.co_consts)}
    missing = [name for name in names if name not in used]
    assert not missing, f"kombu's {path} uses no {', '.join(missing)} any more, but {reason}"


@pytest.mark.parametrize(("module", "path", "wanted"), SIGNATURES, ids=[path for _, path, _ in SIGNATURES])
def test_kombu_still_takes_the_same_parameters(module: ModuleType, path: str, wanted: list[str]) -> None:
    """Overrides take what kombu passes."""
    assert list(inspect.signature(attrgetter(path)(module)).parameters) == wanted


def test_a_key_holds_the_queues_name_before_the_separator() -> None:
    """Lower priorities of a queue have keys of their own."""
    assert redis.Channel.sep == "\x06\x16"
    key_of = attrgetter("_q_for_pri")(Channel.__new__(Channel))
    assert (key_of("deliver", 0), key_of("deliver", 3)) == ("deliver", "deliver\x06\x163")


def test_a_transports_channel_has_redis_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at a queue's length goes by it."""
    client = fakeredis.FakeRedis()
    monkeypatch.setattr(redis.Channel, "_get_client", lambda _: lambda **_: client)
    app = Celery(broker="redis://redis.example:6379/0", set_as_current=False)
    with kombu_internals.redis_client(app) as found:
        assert found is client


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_url_that_is_shown_has_the_brokers_scheme(scheme: str) -> None:
    """Not the transport's name: Flower connects by it."""
    address = RedisAddress.parse(f"{scheme}://:a%2Fb@host:6379/1")
    transport = {"redis": PLAIN_TRANSPORT, "rediss": TLS_TRANSPORT}[scheme]
    made = connection.Connection(address.url, transport=transport, ssl=address.ssl_options or False)
    assert made.as_uri(include_password=True) == address.url


def test_pauses_between_tries_let_other_greenlets_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module had the blocking `sleep` from before gevent replaced it."""
    monkeypatch.setattr(functional, "sleep", None)
    kombu_internals.wait_without_blocking_others()
    assert attrgetter("sleep")(functional) is time.sleep


def test_a_task_begins_before_the_next_message_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a message is handed over, whoever shares the consumer's thread has a turn."""
    callbacks: list[Callable[[object], None]] = []
    happened: list[str] = []
    monkeypatch.setattr(redis.Channel, "basic_consume", lambda *_, callback, **__: callbacks.append(callback))
    monkeypatch.setattr(time, "sleep", lambda seconds: happened.append(f"others run after {seconds} s"))
    Channel.__new__(Channel).basic_consume("deliver", callback=lambda _: happened.append("handed over"))
    callbacks[0](object())
    assert happened == ["handed over", "others run after 0 s"]


class Message:
    """A message that a worker has fetched and not finished with."""

    acknowledged = False
    rejected = False

    def reject_log_error(self, *_: object) -> None:
        self.rejected = True


def handled(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Message:
    """Have a consumer fail over a message, as Celery might over one that was let through."""
    callbacks: list[Callable[[Message], None]] = []
    monkeypatch.setattr(redis.Channel, "basic_consume", lambda *_, callback, **__: callbacks.append(callback))
    channel: Any = Channel.__new__(Channel)
    channel.connection_errors = (OSError,)

    def stumble(_: Message) -> None:
        raise error

    channel.basic_consume("deliver", callback=stumble)
    message = Message()
    callbacks[0](message)
    return message


@pytest.mark.parametrize(
    "error", [TypeError("x"), KeyError("x"), AttributeError("x"), RecursionError(), OverflowError()]
)
def test_what_celery_stumbles_over_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Rejected, so that it takes no place for ever, and logged with where it was."""
    assert handled(monkeypatch, error).rejected
    [record] = caplog.records
    assert (record.levelname, type(error).__name__ in record.getMessage()) == ("WARNING", True)
    assert record.exc_info


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError(), OSError("Redis is away")])
def test_a_worker_that_can_not_go_on_ends_as_ever(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Its supervisor starts it again, which would not help against a message."""
    with pytest.raises(type(error)):
        handled(monkeypatch, error)

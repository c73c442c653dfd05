"""What may stand in a queue and is no task of ours: by name, as the bytes that are put there.

A plain message is as Celery's protocol 2 has it; each poison changes one thing about it.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final
from uuid import uuid4

from noteflow_hooks.broker.names import DELIVER_TASK

#: A body's third part, as Celery sends it.
_EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def a_message(*args: Any, kwargs: Any = None, embed: Any = _EMBED, **headers: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON has
    """Return a message that calls the task with these arguments; a header of ``...`` is left out."""
    return with_body(json.dumps([list(args), {} if kwargs is None else kwargs, embed]), **headers)


def with_body(text: str, **headers: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON has
    """Return a message with that text as its body."""
    task_id = str(uuid4())
    given = {
        "lang": "py",
        "task": DELIVER_TASK,
        "id": task_id,
        "root_id": task_id,
        "retries": 0,
        "eta": None,
        "expires": None,
    }
    return {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {name: value for name, value in (given | headers).items() if value is not ...},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "deliver"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


def _without(name: str) -> dict[str, Any]:
    return {field: value for field, value in a_message([]).items() if field != name}


def _with(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON has
    return a_message([]) | {name: value}


def _with_property(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON has
    message = a_message([])
    message["properties"][name] = value
    if value is ...:
        del message["properties"][name]
    return message


#: What is no message at all.
NO_MESSAGE: Final[dict[str, bytes]] = {
    "garbage": b"garbage",
    "bytes that are no text": b"\xff\xfe\x00\x01",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "text": b'"text"',
    "an empty object": b"{}",
    "a hundred thousand brackets": b"[" * 100_000,
    "a megabyte": b"x" * 1_048_576,
    "a value of an unknown type": b'{"__type__": "nonsense", "__value__": 1}',
    "a type that is a list": b'{"__type__": [], "__value__": 1}',
    "a decimal that is none": b'{"__type__": "decimal", "__value__": "x"}',
    "a uuid that is none": b'{"__type__": "uuid", "__value__": 5}',
}
_DAMAGED: Final[dict[str, dict[str, Any]]] = {
    "no headers": _without("headers"),
    "headers null": _with("headers", None),
    "headers a list": _with("headers", []),
    "headers text": _with("headers", "text"),
    "no properties": _without("properties"),
    "properties a list": _with("properties", []),
    "properties null": _with("properties", None),
    "no tag": _with_property("delivery_tag", ...),
    "a tag that is a list": _with_property("delivery_tag", []),
    "no delivery info": _with_property("delivery_info", ...),
    "delivery info text": _with_property("delivery_info", "text"),
    "no such body encoding": _with_property("body_encoding", "nonsense"),
    "a body encoding that is a list": _with_property("body_encoding", []),
    "no body": _without("body"),
    "body a number": _with("body", 5),
    "body null": _with("body", None),
    "body a list": _with("body", [1]),
    "body not base64": _with("body", "%%%"),
    "body not JSON": with_body("nonsense"),
    "body JSON 5": with_body("5"),
    "body JSON null": with_body("null"),
    "body an empty list": with_body("[]"),
    "body an object": with_body("{}"),
    "body old style": with_body('{"task": "x", "id": 1, "args": 5, "kwargs": 5}'),
    "body args a number": with_body("[5, {}, {}]"),
    "body kwargs a number": with_body("[[], 5, {}]"),
    "body embed null": with_body("[[], {}, null]"),
    "body with too few parts": with_body("[[], {}]"),
    "body a hundred thousand brackets": with_body("[" * 100_000),
    "content pickle": _with("content-type", "application/x-python-serialize"),
    "content unknown": _with("content-type", "application/nonsense"),
    "content a list": _with("content-type", []),
    "no content type": _without("content-type"),
    "encoding unknown": _with("content-encoding", "utf-99"),
    "encoding a number": _with("content-encoding", 5),
    "compression of what is not compressed": a_message([], compression="gzip"),
    "compression unknown": a_message([], compression="nonsense"),
    "no task": a_message([], task=...),
    "task a list": a_message([], task=[]),
    "task a number": a_message([], task=5),
    "unknown task": a_message([], task="noteflow.hooks.nonsense"),
    "task with control characters": a_message([], task="\x1b[2J\r\nforged line"),
    "no id": a_message([], id=...),
    "id a list": a_message([], id=[]),
    "id an object": a_message([], id={}),
    "retries text": a_message([], retries="many"),
    "retries negative": a_message([], retries=-1),
    "retries null": a_message([], retries=None),
    "eta nonsense": a_message([], eta="tomorrow"),
    "eta a number": a_message([], eta=5),
    "eta a list": a_message([], eta=[]),
    "eta too far": a_message([], eta="9999-12-31T23:59:59.999999-14:00"),
    "expires nonsense": a_message([], expires="never"),
    "expires a list": a_message([], expires=[]),
    "expired": a_message([], expires="2001-01-01T00:00:00+00:00"),
    "time limit a number": a_message([], timelimit=5),
    "time limit text": a_message([], timelimit=["x", "y"]),
    "group a list": a_message([], group=[]),
    "callbacks a number": a_message([], embed=_EMBED | {"callbacks": 5}),
    "errbacks a number": a_message([], embed=_EMBED | {"errbacks": 5}),
    "chain a number": a_message([], embed=_EMBED | {"chain": 5}),
    "chord text": a_message([], embed=_EMBED | {"chord": "text"}),
    "no arguments": a_message(),
    "too many arguments": a_message([], [], []),
    "unknown keyword": a_message([], kwargs={"nonsense": 1}),
    "ids null": a_message(None),
    "ids a number": a_message(5),
    "ids text": a_message("text"),
    "ids an object": a_message({"a": 1}),
    "ids that are none": a_message(["nonsense", "", "\x00", "' OR 1=1 --"]),
    "ids of other kinds": a_message([5, None, True, 1.5, {}, []]),
    "ids nested": a_message([[str(uuid4())]]),
    "ids of nothing": a_message([str(uuid4())]),
    "ten thousand ids of nothing": a_message([str(uuid4()) for _ in range(10_000)]),
    "an id of a megabyte": a_message(["f" * 1_048_576]),
}
#: What Celery would do more with than begin a task of ours: limits of time, stamps, links, groups, and its own tasks.
_LADEN: Final[dict[str, dict[str, Any]]] = {
    "time limits past all numbers": a_message([], timelimit=[10**400, 10**400]),
    "one time limit": a_message([], timelimit=[1]),
    "two time limits": a_message([], timelimit=[1, 1]),
    "three time limits": a_message([], timelimit=[None, None, None]),
    "stamped headers an object": a_message([], stamped_headers=[{}]),
    "stamped headers": a_message([], stamped_headers=["a"], stamps={"a": "b"}),
    "stamps a list": a_message([], stamps=[1]),
    "a group": a_message([], group="a"),
    "a place in a group": a_message([], group_index=1),
    "another name for the logs": a_message([], shadow="noteflow.hooks.purge"),
    "a replaced task": a_message([], replaced_task_nesting=10**9),
    "retries past all numbers": a_message([], retries=10**400),
    "an id of a megabyte less a little": a_message([], id="a" * 900_000),
    "a link as a header": a_message([], callbacks=[{"task": "celery.chunks", "args": []}]),
    "a chain as a header": a_message([], chain=[{"task": "noteflow.hooks.purge", "args": []}]),
    "a chord as a header": a_message([], chord={"task": "noteflow.hooks.purge"}),
    "a log file": a_message([], logfile="/tmp/x", loglevel="x"),  # noqa: S108 - nothing is written there
    "a link": a_message([], embed=_EMBED | {"callbacks": [{"task": "noteflow.hooks.purge", "args": []}]}),
    "a chain": a_message([], embed=_EMBED | {"chain": [{"task": "noteflow.hooks.purge", "args": []}]}),
    "something else to follow": a_message([], embed=_EMBED | {"timelimit": None}),
    "a routing key that is a list": _with_property("delivery_info", {"exchange": "", "routing_key": []}),
    "a priority past all numbers": _with_property("priority", 10**400),
    "celery.chunks": a_message({"task": "noteflow.hooks.sweep"}, [[[]]] * 3, 1, task="celery.chunks"),
    "celery.map": a_message({"task": "noteflow.hooks.sweep"}, [[], []], task="celery.map"),
    "celery.starmap": a_message({"task": "noteflow.hooks.sweep"}, [[], []], task="celery.starmap"),
    "celery.group": a_message([], [], "a", [], task="celery.group"),
    "celery.chain": a_message(task="celery.chain"),
    "celery.chord": a_message([], [], task="celery.chord"),
    "celery.accumulate": a_message(1, 2, task="celery.accumulate"),
    "celery.backend_cleanup": a_message(task="celery.backend_cleanup"),
    "celery.ping": a_message(task="celery.ping"),
}
#: What is a message, but none that can be carried out.
DAMAGED: Final = {name: json.dumps(message).encode() for name, message in (_DAMAGED | _LADEN).items()}
POISON: Final = NO_MESSAGE | DAMAGED

"""Which calls may be made again, and the keys that make it safe."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from noteflow_hooks.client.retrying import KEYS, channel_options, keyed, new_key, repeatable
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: What is never made again by itself, and why. A new RPC belongs here, unless it only asks or takes a key.
NEVER: Final = {
    "GenerateSummary": "each makes an event",
    "UpdateWebhook": "another change may have come in between",
    "DeleteWebhook": "the second finds nothing",
    "VerifyWebhook": "each sends a challenge",
    "ConfirmContact": "a code counts once",
    "RedeliverDelivery": "each sends the delivery",
    "SkipDelivery": "the second comes at the wrong moment",
    "ReplayDeliveries": "each starts a replay",
    "CancelReplay": "the second comes at the wrong moment",
    "PublishEvents": "publish_events does so, event by event",
    "EraseMeetingPayloads": "the second says that it has erased none",
    "PutEventType": "another change may have come in between",
    "DeleteEventType": "the second finds nothing",
}


def test_every_call_is_repeated_or_has_a_reason_why_not() -> None:
    """Those of one message each way; a stream can't be made again."""
    unary = {
        method.name
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    }
    again = {path.rpartition("/")[2] for path in repeatable()}
    assert unary - again == NEVER.keys()
    assert {path.rpartition("/")[2] for path in KEYS} <= again


def test_grpc_is_told_the_calls_by_their_names() -> None:
    """And how often; with one attempt it is told nothing."""
    options = dict(channel_options(4))
    [config] = json.loads(str(options["grpc.service_config"]))["methodConfig"]
    assert {"service": "noteflow.v1.EventService", "method": "PublishEvent"} in config["name"]
    policy = config["retryPolicy"]
    assert (policy["maxAttempts"], policy["retryableStatusCodes"]) == (4, ["UNAVAILABLE", "CANCELLED"])
    assert channel_options(1) == ()


def test_each_call_that_takes_a_key_has_that_field() -> None:
    """By the proto."""
    for path, field in KEYS.items():
        service, method = path[1:].split("/")
        found = pb.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name[method]
        assert found.input_type.fields_by_name[field].has_presence


def test_what_has_a_key_keeps_it_and_what_has_none_is_copied() -> None:
    """So what the caller holds stays as it is."""
    given, bare = pb.PublishEventRequest(idempotency_key="k"), pb.PublishEventRequest(event_type="a")
    assert keyed(given) is given
    made = keyed(bare)
    assert (made.event_type, len(made.idempotency_key)) == ("a", 32)
    assert not bare.HasField("idempotency_key")


def test_keys_come_in_the_order_in_which_they_were_made() -> None:
    """To within a millisecond, so that a database's index of them grows at one end; no two are alike."""
    keys = [new_key() for _ in range(1000)]
    assert [each[:12] for each in keys] == sorted(each[:12] for each in keys)
    assert len(set(keys)) == 1000
    assert {len(each) for each in keys} == {32}


def test_a_forked_process_makes_other_keys() -> None:
    """With the same ones its events would be taken for its parent's."""
    # In a program of its own: a fork of this process may hang by what other tests' threads have held.
    forks = (
        "import os; from noteflow_hooks.client.retrying import new_key;"
        "new_key(); child = os.fork(); os.write(1, (new_key()[12:] + ' ').encode()); child and os.wait(); os._exit(0)"
    )
    ended = subprocess.run([sys.executable, "-c", forks], capture_output=True, text=True, check=True, timeout=60)
    assert len(set(ended.stdout.split())) == 2

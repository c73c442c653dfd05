"""A workspace in which every text that others write is markup that would run a script."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.exchanges import UNKNOWN_TIMES, Blank, Exchange, HeaderForm, Headers
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.sample import count, work
from tests.support.builders import a_payload, an_attempt_result
from tests.support.client_certificates import Issuer

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from tests.integration.rpc.world import World

#: Whatever of it becomes markup sets `canary`, or asks for something elsewhere.
CANARY: Final = (
    "\"'></textarea></script></title><script>window.canary=1</script>"
    '<img src=https://elsewhere.example/x onerror="window.canary=2"><svg onload=window.canary=3>{{7*7}}'
)
#: As much of it as an address may hold.
_IN_URL: Final = "https://a.example/%22%3E?<script>window.canary=4</script>='\"><img/src/onerror=window.canary=5>"


def fill_with_canaries(world: World) -> pb.Webhook:
    """Let something happen in which each text is one; return the endpoint that it happened to."""
    schema = {"type": "object", "title": CANARY, "properties": {"x": {"const": CANARY}}}
    world.client.events.PutEventType(
        pb.PutEventTypeRequest(
            name="custom.canary",
            schema=json.dumps(schema),
            description=CANARY,
            example=json.dumps({"x": CANARY}),
        )
    )
    pair = Issuer.root(CANARY[:60]).pair(name=CANARY[:60])
    endpoint = world.a_webhook(
        name=CANARY,
        url=_IN_URL,
        events=["meeting.completed", "custom.canary"],
        headers=[pb.Header(name="X-!#$&'*|~", value=CANARY.replace("\n", ""))],
        client_certificate=pair.certificate,
        client_key=pair.key,
        generate_secret=True,
        max_retries=1,
    )
    payload = json.dumps(a_payload(title=CANARY, meeting_id=CANARY))
    for number in range(2):
        key = f"{number}{CANARY}"
        world.client.events.PublishEvent(
            pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload, idempotency_key=key)
        )
        work(world, _answer)
    payload_json = json.dumps({"x": CANARY})
    world.client.events.PublishEvent(pb.PublishEventRequest(event_type="custom.canary", payload_json=payload_json))
    world.a_meeting(CANARY)
    world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=endpoint.id))
    count(world)
    return endpoint


def _answer(_: Claim) -> AttemptResult:
    failed = an_attempt_result(status_code=500, error_kind=ErrorKind.STATUS, response_body=CANARY)
    # Names that a receiver can't send, since no such line is a header: the page must not rely on that.
    form = HeaderForm(((CANARY, CANARY), ("Location", Blank.OWN)))
    headers = Headers(form, (CANARY,))
    return failed._replace(error_message=CANARY, exchange=Exchange(UNKNOWN_TIMES, headers, headers))

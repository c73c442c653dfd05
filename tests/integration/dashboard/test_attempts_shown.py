"""A delivery's page: its attempts with their times and headers, what to do about each failure, and what is copied."""

from __future__ import annotations

import json
import os
import re
import subprocess
from shutil import which
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.client.causes import SKIPPED, UNSKIP, advice, ended
from noteflow_hooks.dashboard.drawing import WIDE
from noteflow_hooks.domain.access import Scope
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.exchanges import UNKNOWN_TIMES, Blank, Exchange, HeaderForm, Headers
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard
from tests.integration.dashboard.sample import fill, publish, work
from tests.support.builders import an_attempt_result
from tests.support.receiver import Receiver
from tests.support.visitor import Visitor

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.rpc.world import World


def _deliveries(world: World, **fields: Any) -> list[pb.Delivery]:  # noqa: ANN401 - the message's own
    return list(world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(**fields)).deliveries)


def test_the_parts_of_a_time_do_not_look_like_steps_of_a_life(operator: Visitor) -> None:
    """They are a list within a list, and have no dot, line and column of their own."""
    css = operator.get("/static/dashboard.css").text
    assert ".life > li" in css
    assert ".life li" not in css


def test_an_attempt_shows_where_its_time_went(world: World, operator: Visitor) -> None:
    """As a bar whose parts fill it, and as numbers; a kept connection is said to be one."""
    made = fill(world)
    [dead, *_] = _deliveries(world, webhook_id=made["broken"].id)
    page = operator.get(f"/deliveries/{dead.id}").text
    bar = page.partition('aria-label="took 210 ms"')[2].partition("</svg>")[0]
    placed = [(int(x), int(width)) for x, width in re.findall(r'<rect class="t-\w+" x="(\d+)" width="(\d+)"', bar)]
    assert len(placed) == 5
    assert [x + width for x, width in placed] == [*(x for x, _ in placed[1:]), WIDE]
    numbers = re.findall(r'swatch t-(\w+)"></span>[^<]+<span class="number">(\d+ ms)', page)
    parts = {"dns": "1 ms", "connect": "2 ms", "tls": "40 ms", "wait": "160 ms", "read": "7 ms"}
    assert dict(numbers) == parts
    assert "over a connection that was kept" not in page
    [well, *_] = _deliveries(world, webhook_id=made["well"].id)
    assert "over a connection that was kept" in operator.get(f"/deliveries/{well.id}").text


def test_the_headers_of_both_sides_are_shown(world: World, operator: Visitor) -> None:
    """Name by name, to whoever may read; secrets as marks."""
    made = fill(world)
    [well, *_] = _deliveries(world, webhook_id=made["well"].id)
    reader = Visitor(operator.port)
    reader.sign_in(world.another_token(scopes=frozenset({Scope.READ}))[0])
    page = reader.get(f"/deliveries/{well.id}").text
    rows = dict(re.findall(r'<th scope="row"><bdi>([^<]+)</bdi></th><td><bdi>([^<]*)</bdi>', page))
    assert (rows["X-NoteFlow-Delivery"], rows["webhook-id"]) == (well.id, well.event_id)
    assert (rows["X-Key"], rows["Server"], rows["X-Said"]) == ("[redacted]", "tiny", "7f")


def test_a_redirect_says_where_it_leads(world: World, operator: Visitor) -> None:
    """So that the endpoint's URL can be set to that."""
    made = world.a_webhook(url="https://a.example/moved", max_retries=1)
    form = HeaderForm((("Location", Blank.OWN),))
    headers = Exchange(UNKNOWN_TIMES, None, Headers(form, ("https://b.example/<new>",)))
    moved = an_attempt_result(
        status_code=308, error_kind=ErrorKind.REDIRECT, error_message="HTTP 308", exchange=headers
    )
    publish(world)
    work(world, lambda _: moved)
    [delivery] = _deliveries(world, webhook_id=made.id)
    page = operator.get(f"/deliveries/{delivery.id}").text
    assert "Set the endpoint&#39;s URL to where the redirect leads." in page
    assert "It leads to <code><bdi>https://b.example/&lt;new&gt;</bdi></code>" in page


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 408, 410, 413, 415, 422, 429, 500, 502, 503, 504])
def test_each_common_answer_has_its_meaning_and_its_remedy(code: int) -> None:
    """None is told what is told of any."""
    assert advice(ErrorKind.STATUS, code) != advice(ErrorKind.STATUS, 418)


@pytest.mark.parametrize("reason", SkipReason)
def test_each_reason_for_skipping_has_its_meaning_and_its_remedy(reason: SkipReason) -> None:
    """Whatever was not sent can be looked into."""
    assert SKIPPED[reason].endswith(".")
    assert UNSKIP[reason].endswith(".")


@pytest.mark.parametrize(
    ("message", "kind", "code", "said"),
    [
        ("HTTP 410", "status", 410, "wants no more"),
        ("Max retries exceeded: HTTP 500", "status", 500, "no attempts left"),
        ("Max retries exceeded: Internal error", "internal", 0, "our own fault"),
        ("Damaged: its row holds what it may not", "", 0, "for good"),
    ],
)
def test_why_a_delivery_was_given_up_is_said(message: str, kind: str, code: int, said: str) -> None:
    """By its message and its last attempt."""
    assert said in ended(message, kind, code)


def test_a_skipped_delivery_says_what_to_do(world: World, operator: Visitor) -> None:
    """Beside why it is skipped."""
    made = world.a_webhook(url="https://a.example/well")
    operator.press(f"/endpoints/{made.id}/disable")
    publish(world)
    work(world)
    [delivery] = _deliveries(world, webhook_id=made.id)
    page = operator.get(f"/deliveries/{delivery.id}").text
    assert "The endpoint was disabled." in page
    assert "Enable the endpoint, then send this again." in page


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_kind_of_failure_has_its_meaning_and_its_remedy(kind: ErrorKind) -> None:
    """None falls back to what is said of an unknown one, but for those that go by the answer's code."""
    meant, mend = advice(kind, 0)
    if kind is not ErrorKind.STATUS:
        assert (meant, mend) != advice("of another release", 0)
    assert meant.endswith(".")
    assert advice(ErrorKind.STATUS, 404) != advice(ErrorKind.STATUS, 503)


def test_a_delivery_is_copied_as_json(world: World, operator: Visitor) -> None:
    """With the API's own names."""
    fill(world)
    dead = _deliveries(world, status="dead")[0]
    answer = operator.get(f"/deliveries/{dead.id}/json")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text)["attempts"][0]["error_kind"] == "status"


@pytest.mark.parametrize("secret", [generate_secret(), "a-plain-secret's-bytes"], ids=["made", "given"])
def test_what_is_copied_as_curl_sends_what_was_sent(
    world: World, operator: Visitor, tmp_path: Path, secret: str
) -> None:
    """Its signatures, made where it runs, are right; the script holds neither the URL nor the secret."""
    made = world.a_webhook(url="https://a.example/well?key=canary", secret=secret)
    publish(world, title='It\'s $HOME; `id` \\ "x" Größe')
    work(world)
    [delivery] = _deliveries(world, webhook_id=made.id)
    script = operator.get(f"/deliveries/{delivery.id}/curl").text
    assert "canary" not in script
    assert secret not in script
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor each in "$@"; do printf "%s\\0" "$each"; done\n')
    curl.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "URL": "https://elsewhere.example/", "SECRET": secret}
    run = subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, check=True)
    words = run.stdout.decode().split("\0")
    pairs = [word.split(": ", 1) for word in words if ": " in word and not word.startswith("{")]
    headers = {name.lower(): value for name, value in pairs}
    body = words[words.index("--data-binary") + 1].encode()
    whole = world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery.id))
    assert (words[2], body.decode(), headers["webhook-id"]) == (env["URL"], whole.payload, delivery.event_id)
    assert verify_signature(body, headers["x-noteflow-signature"], secret)
    assert verify_standard(body, headers, secret)


@pytest.mark.skipif(which("curl") is None or which("openssl") is None, reason="needs curl and openssl")
@pytest.mark.parametrize("form", ["noteflow", "standard", "cloudevents-binary"])
def test_what_is_copied_as_curl_is_accepted_by_a_receiver(world: World, operator: Visitor, form: str) -> None:
    """Run as it is, with curl and openssl, and checked as receivers do."""
    secret = generate_secret()
    made = world.a_webhook(url="https://a.example/well?key=canary", secret=secret, format=form)
    publish(world, title='It\'s $HOME; `id` \\ "x" Größe')
    work(world)
    [delivery] = _deliveries(world, webhook_id=made.id)
    script = operator.get(f"/deliveries/{delivery.id}/curl").text
    assert "canary" not in script
    assert secret not in script
    with Receiver() as receiver:
        env = {"PATH": os.environ["PATH"], "URL": receiver.url("/hook"), "SECRET": secret}
        subprocess.run(["/bin/sh", "-c", script], env=env, check=True, capture_output=True, timeout=60)
        [request] = receiver.wait_for(1)
    assert (request.method, request.target) == ("POST", "/hook")
    assert verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", secret)
    assert verify_standard(request.body, dict(request.headers), secret)
    assert request.header("X-NoteFlow-Delivery") == delivery.id


def test_what_is_copied_as_curl_has_the_endpoints_format(world: World, operator: Visitor) -> None:
    """For a token that may preview it; another one gets the payload, and is told so."""
    made = world.a_webhook(url="https://a.example/well", format="cloudevents")
    publish(world)
    work(world)
    [delivery] = _deliveries(world, webhook_id=made.id)
    script = operator.get(f"/deliveries/{delivery.id}/curl").text
    assert '"specversion":"1.0"' in script
    assert "application/cloudevents+json" in script
    assert f"X-NoteFlow-Delivery: {delivery.id}" in script
    assert "Rendered as cloudevents/" in operator.get(f"/deliveries/{delivery.id}").text
    reader = Visitor(operator.port)
    reader.sign_in(world.another_token(scopes=frozenset({Scope.READ}))[0])
    script = reader.get(f"/deliveries/{delivery.id}/curl").text
    assert "specversion" not in script
    assert "# The endpoint gets events as cloudevents;" in script

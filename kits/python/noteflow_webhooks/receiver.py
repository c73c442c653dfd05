"""Takes a request, whatever the framework: deduplicates by ``webhook-id``, and says what to answer and do then."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import Event, Verifier, WebhookError
from .seen import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .seen import Remembers

#: What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
STATUS = {
    **dict.fromkeys(("missing_header", "malformed_header", "too_old", "too_new", "no_match"), 401),
    "not_post": 405,
    "body_too_large": 413,
    "body_not_raw": 500,
    "store_failed": 500,
    "in_progress": 503,
}
_LOG = logging.getLogger("noteflow_webhooks")


@dataclass(frozen=True)
class Answer:
    """What to answer; ``event`` is what to hand to ``Receiver.after`` once that is sent."""

    status: int
    body: bytes = b""
    event: Event | None = None


def refused(reason: str) -> Answer:
    """Return the answer to a request that is not taken; the sender's list of attempts shows it."""
    return Answer(STATUS[reason], json.dumps({"error": reason}).encode())


class Receiver:
    """An endpoint. ``handle`` is called with each event after the answer, so it may take its time.

    ``store`` is called before it, and has to be quick: what must outlive this process goes into a table or a queue
    there. Where it raises, the answer is 500 and the event comes again. Either may be a coroutine function under ASGI.
    Events come at least once; of those whose id ``seen`` knows, neither is called. ``options`` are those of Verifier.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        handle: Callable[[Event], Any] | None = None,
        *,
        store: Callable[[Event], Any] | None = None,
        seen: Remembers | None = None,
        most_bytes: int = 1_048_576,
        **options: Any,  # noqa: ANN401 - Verifier's
    ) -> None:
        self.verifier = Verifier(secrets, **options)
        self.handle, self.store, self.seen, self.most_bytes = handle, store, seen or Seen(), most_bytes

    def refusal(self, method: str, length: str | None) -> Answer | None:
        """Return the answer to what need not be read, by its method and its Content-Length."""
        if method != "POST":
            return refused("not_post")
        is_long = (length or "").isdecimal() and int(length or 0) > self.most_bytes
        return refused("body_too_large") if is_long else None

    def take(self, body: object, headers: Mapping[str, str]) -> Answer:
        """Return what to answer; raise nothing, whatever came. ``body`` is the bytes as they came."""
        answer = self._begin(body, headers)
        if answer.event is None:
            return answer
        try:
            if self.store is not None:
                self.store(answer.event)
        except Exception:  # noqa: BLE001 - whatever it was, the event has to come again
            return self._store_failed(answer.event)
        self.seen.done(answer.event.id)
        return answer

    async def take_async(self, body: object, headers: Mapping[str, str]) -> Answer:
        """As ``take``, in an event loop: a ``store`` that is no coroutine function runs in a thread."""
        answer = self._begin(body, headers)
        if answer.event is None:
            return answer
        try:
            await _called(self.store, answer.event)
        except Exception:  # noqa: BLE001 - as above
            return self._store_failed(answer.event)
        except BaseException:  # the request was cancelled
            self.seen.forget(answer.event.id)
            raise
        self.seen.done(answer.event.id)
        return answer

    def after(self, event: Event) -> None:
        """Handle it, once the answer is sent. An event that fails here is forgotten: a redelivery is handled again."""
        try:
            if self.handle is not None:
                self.handle(event)
        except Exception:  # noqa: BLE001 - whatever it was, it is forgotten
            self._handle_failed(event)

    async def after_async(self, event: Event) -> None:
        """As ``after``, in an event loop."""
        try:
            await _called(self.handle, event)
        except Exception:  # noqa: BLE001 - as above
            self._handle_failed(event)

    def _begin(self, body: object, headers: Mapping[str, str]) -> Answer:
        if isinstance(body, bytes) and len(body) > self.most_bytes:
            return refused("body_too_large")
        try:
            event = self.verifier.verify(body, headers)
            if event.type == "webhook.verification":
                return Answer(200, json.dumps({"challenge": _challenge(event.json())}).encode())
        except WebhookError as error:
            _LOG.warning("a webhook is refused: %s", error)
            return refused(error.reason)
        # Only with the scheme `plain` may there be no id.
        state = self.seen.begin(event.id) if event.id else "new"
        return refused("in_progress") if state == "pending" else Answer(204, event=event if state == "new" else None)

    def _store_failed(self, event: Event) -> Answer:
        _LOG.exception("event %s could not be stored, and is sent again", event.id)
        self.seen.forget(event.id)
        return refused("store_failed")

    def _handle_failed(self, event: Event) -> None:
        _LOG.exception("event %s was answered, and could not be handled", event.id)
        self.seen.forget(event.id)


def _challenge(payload: Any) -> Any:  # noqa: ANN401 - parsed JSON
    return payload.get("challenge") or payload["data"]["challenge"]


async def _called(function: Callable[[Event], Any] | None, event: Event) -> None:
    if inspect.iscoroutinefunction(function):
        await function(event)
    elif function is not None:
        await asyncio.to_thread(function, event)

"""Fits a receiver to ASGI, WSGI, Flask and Django; FastAPI and Starlette take the ASGI application as a route."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .receiver import Answer, Receiver


class Asgi:
    """An ASGI application that answers whatever its path: ``app.add_route("/hooks", Asgi(receiver))``."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        """Answer, and handle the event after the answer."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")  # as ASGI has it, the server goes on without
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._receiver.refusal(scope["method"], headers.get("content-length"))
        body = b"" if answer else await self._read(receive)
        if body is None:
            return  # the sender has gone
        answer = answer or await self._receiver.take_async(body, headers)
        sent = [(name.encode(), value.encode()) for name, value in _headers(answer)]
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": sent})
            await send({"type": "http.response.body", "body": answer.body})
        finally:  # also where the sender has gone: it sends again, and is told that the event is there
            if answer.event is not None:
                await self._receiver.after_async(answer.event)

    async def _read(self, receive: Any) -> bytes | None:  # noqa: ANN401 - as above
        body, goes_on = b"", True
        while goes_on and len(body) <= self._receiver.most_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body, goes_on = body + message.get("body", b""), message.get("more_body", False)
        return body


class Wsgi:
    """A WSGI application that answers whatever its path."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer; the server closes what is returned once it is sent, and then the event is handled."""
        headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        length = environ.get("CONTENT_LENGTH") or "0"
        answer = self._receiver.refusal(environ["REQUEST_METHOD"], length)
        answer = answer or self._receiver.take(
            environ["wsgi.input"].read(int(length)), headers | {"content-length": length}
        )
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", _headers(answer))
        return _Sent(answer, self._receiver)


class _Sent:
    """An answer's body, that handles the event when it is closed."""

    def __init__(self, answer: Answer, receiver: Receiver) -> None:
        self._answer, self._receiver = answer, receiver

    def __iter__(self) -> Iterator[bytes]:
        yield self._answer.body

    def close(self) -> None:
        if self._answer.event is not None:
            self._receiver.after(self._answer.event)


def flask_view(receiver: Receiver) -> Callable[[], Any]:
    """Return a view: ``app.post("/hooks")(flask_view(receiver))``."""
    from flask import Response, request  # noqa: PLC0415 - this may be used without Flask

    def noteflow_webhooks() -> Response:
        answer = receiver.refusal(request.method, request.headers.get("Content-Length"))
        answer = answer or receiver.take(request.get_data(), request.headers)
        response = Response(answer.body, answer.status, headers=_headers(answer))
        event = answer.event
        if event is not None:
            response.call_on_close(lambda: receiver.after(event))
        return response

    return noteflow_webhooks


def django_view(receiver: Receiver) -> Callable[[Any], Any]:
    """Return a view for a path of ``urls.py``. It needs no CSRF token: the signature says who it is."""
    from django.http import HttpResponse, RawPostDataException  # noqa: PLC0415 - this may be used without Django
    from django.views.decorators.csrf import csrf_exempt  # noqa: PLC0415 - as above

    class Answered(HttpResponse):  # type: ignore[misc]  # Django has no types
        event: Any = None

        def close(self) -> None:
            super().close()
            if self.event is not None:
                receiver.after(self.event)

    def noteflow_webhooks(request: Any) -> HttpResponse:  # noqa: ANN401 - Django has no types
        answer = receiver.refusal(request.method, request.headers.get("Content-Length"))
        try:
            answer = answer or receiver.take(request.body, request.headers)
        except RawPostDataException:  # somebody has read it before
            answer = receiver.take(None, request.headers)
        response = Answered(answer.body, status=answer.status, headers=dict(_headers(answer)))
        response.event = answer.event
        return response

    return csrf_exempt(noteflow_webhooks)  # type: ignore[no-any-return]  # as above


def _headers(answer: Answer) -> list[tuple[str, str]]:
    length = [("Content-Length", str(len(answer.body)))] if answer.status != HTTPStatus.NO_CONTENT else []
    retry = [("Retry-After", "5")] if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else []
    return [*length, *retry, *([("Content-Type", "application/json")] if answer.body else [])]

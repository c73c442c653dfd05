"""The web application: each request gets its session and its client, each page its answer, each error its words."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from noteflow_hooks.dashboard import streaming
from noteflow_hooks.dashboard.cookies import Cookies
from noteflow_hooks.dashboard.entrance import Entrance
from noteflow_hooks.dashboard.guard import Guard
from noteflow_hooks.dashboard.pages import Pages, tag_of, with_tag
from noteflow_hooks.dashboard.routes import ROUTES
from noteflow_hooks.dashboard.shown import Shown
from noteflow_hooks.dashboard.streaming import Streams
from noteflow_hooks.dashboard.visit import Form, Page, Redirect, Stream, Visit, read_form
from noteflow_hooks.dashboard.words import DONE
from noteflow_hooks.errors import (
    AlreadyExistsError,
    InvalidInputError,
    LimitError,
    NoteFlowHooksError,
    NotFoundError,
    PreconditionError,
    ScopeError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from noteflow_hooks.dashboard.gateway import Gateway
    from noteflow_hooks.dashboard.sessions import Session, Sessions
    from noteflow_hooks.dashboard.signing_in import OneTimeLink, Tries
    from noteflow_hooks.dashboard.visit import Answer, View

log = logging.getLogger(__name__)

#: The header of a page that keeps itself up to date: it is no use of the session, and follows no redirect.
LIVE: Final = "x-live"
_STATUSES: Final[tuple[tuple[type[NoteFlowHooksError], int, str], ...]] = (
    (ScopeError, 403, "This token may not do that"),
    (NotFoundError, 404, "There is no such thing here"),
    (TooLargeError, 413, "That is too large"),
    (InvalidInputError, 400, "That can't be taken"),
    (AlreadyExistsError, 409, "That was done already, with something else"),
    (PreconditionError, 409, "Not now"),
    (LimitError, 429, "Too much at once"),
    (UnavailableError, 503, "The server is away"),
    (NoteFlowHooksError, 502, "The server refuses this"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    gateway: Gateway
    sessions: Sessions
    tries: Tries
    link: OneTimeLink
    pages: Pages
    #: The names under which it is reached.
    hosts: Collection[str]


def application(parts: Parts) -> ASGIApp:
    """Return the whole application."""
    rooms = _Rooms(parts)
    entrance = Entrance(parts.sessions, parts.tries, parts.link, connect=parts.gateway.client, show=rooms.show)
    routes = [
        Route("/", _to_overview),
        Route("/alive", _alive),
        # What browsers ask for beside a page that is no HTML.
        Route("/favicon.ico", rooms.icon),
        Route("/static/{name}", rooms.file),
        Route("/sign-in", entrance.sign_in, methods=["GET", "POST"]),
        Route("/sign-out", rooms.form(entrance.sign_out), methods=["POST"]),
        Route("/once/{code}", entrance.once),
        *(Route(path, rooms.page(view), methods=["GET"]) for path, method, view in ROUTES if method == "GET"),
        *(Route(path, rooms.room(view), methods=["POST"]) for path, method, view in ROUTES if method == "POST"),
    ]
    app = Starlette(routes=routes, exception_handlers={404: rooms.nowhere, 405: rooms.nowhere, 500: rooms.failed})
    return Guard(app, hosts=parts.hosts)


async def _alive(_: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _to_overview(_: Request) -> Response:
    return RedirectResponse("/overview", 303)


class _Rooms:
    """Runs views: with the visitor's session, in a thread, and with an answer to whatever they raise."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._streams = Streams(streaming.MOST)
        self._shown = Shown()

    def page(self, view: View) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers to a GET."""

        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._sign_in_again(request)
            response = await self._answered(request, session, view, Form({}))
            # A use goes on with the session; what a page asks by itself does not.
            used = self._parts.sessions.used(session) if LIVE not in request.headers else None
            if used is not None and response.status_code < 400:  # noqa: PLR2004 - below are the answers that went well
                Cookies.of(request).keep_session(response, self._parts.sessions, used)
            return response

        return answer

    def room(self, view: View) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers to a POST of one of our forms."""

        async def deal(request: Request, session: Session, form: Form) -> Response:
            return await self._answered(request, session, view, form)

        return self.form(deal)

    def form(
        self, deal: Callable[[Request, Session, Form], Coroutine[Any, Any, Response]]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers to a POST: only a form that this session was shown is dealt with."""

        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._sign_in_again(request)
            try:
                form = await read_form(request)
            except NoteFlowHooksError as error:
                return self._problem(request, session, error)
            except ClientDisconnect:
                return Response(status_code=400)
            if not self._parts.sessions.is_form_token(form.text("form_token"), of=session.id):
                return self._problem(
                    request, session, ScopeError("the form is an old one: go back, and reload the page")
                )
            return await deal(request, session, form)

        return answer

    async def icon(self, _: Request) -> Response:
        """Serve the dashboard's icon."""
        return self._file("icon.svg")

    async def file(self, request: Request) -> Response:
        """Serve one of the files that pages use; their address changes with them."""
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        found = self._parts.pages.files.get(name)
        if found is None:
            return PlainTextResponse("There is no such file.\n", 404)
        kind, body = found
        return Response(body, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})

    async def nowhere(self, request: Request, _: Exception) -> Response:
        """Answer to a path that leads nowhere."""
        session = self._session(request)
        return self._problem(request, session, NotFoundError("no page of the dashboard has this address"))

    async def failed(self, request: Request, _: Exception) -> Response:
        """Answer where we have failed ourselves; Starlette has logged it."""
        page = Page("error.html", {"heading": "The dashboard has failed", "problem": "Its log says why."}, 500)
        return self.show(request, page, session=self._session(request))

    def show(self, request: Request, page: Page, *, session: Session | None = None, form_token: str = "") -> Response:
        """Return a page as HTML, or that it has not changed."""
        before = request.headers.get("if-none-match", "")
        if (
            session is not None
            and page.status == HTTPStatus.OK
            and self._shown.is_same(session, request.url, page, before)
        ):
            return Response(status_code=304, headers={"etag": before})
        token = self._parts.sessions.form_token(session.id) if session is not None else form_token
        frame = {
            "session": session,
            "form_token": token,
            "path": request.url.path,
            "refused": "",
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        html = self._parts.pages.html(page.template, {**frame, **page.values})
        tag = tag_of(html)
        if page.status == HTTPStatus.OK and session is not None:
            self._shown.keep(session, request.url, page, tag)
        if page.status == HTTPStatus.OK and before == tag:
            return Response(status_code=304, headers={"etag": tag})
        return HTMLResponse(with_tag(html, tag), page.status, headers={"etag": tag})

    async def _answered(self, request: Request, session: Session, view: View, form: Form) -> Response:
        try:
            query = Form.parse(request.url.query)
            client = self._parts.gateway.client(session.token)
            visit = Visit(client, session, request.url.path, request.path_params, query, form, self._parts.pages.html)
            answer = await run_in_threadpool(self._answer, request, visit, view)
            return self._streamed(request, answer) if isinstance(answer, Stream) else answer
        except UnauthenticatedError:
            self._parts.sessions.end(session)
            return self._sign_in_again(request)
        except NoteFlowHooksError as error:
            return self._problem(request, session, error)

    def _streamed(self, request: Request, stream: Stream) -> Response:
        """Return the stream; it ends with the session, as that was when it began."""
        return self._streams.response(stream, goes_on=lambda: self._session(request) is not None)

    def _answer(self, request: Request, visit: Visit, view: View) -> Response | Stream:
        answer: Answer = view(visit)
        if isinstance(answer, Redirect):
            return RedirectResponse(answer.to, 303)
        return self.show(request, answer, session=visit.session) if isinstance(answer, Page) else answer

    def _session(self, request: Request) -> Session | None:
        return self._parts.sessions.opened(Cookies.of(request).session)

    def _sign_in_again(self, request: Request) -> Response:
        cookies = Cookies.of(request)
        if LIVE in request.headers:
            return Response(status_code=401)
        response = RedirectResponse("/sign-in?why=over" if cookies.session else "/sign-in", 303)
        cookies.drop_session(response)
        return response

    def _problem(self, request: Request, session: Session | None, error: NoteFlowHooksError) -> Response:
        status, heading = next((status, heading) for kind, status, heading in _STATUSES if isinstance(error, kind))
        if session is None:
            return PlainTextResponse(f"{heading}.\n", status)
        return self.show(
            request, Page("error.html", {"heading": heading, "problem": str(error)}, status), session=session
        )

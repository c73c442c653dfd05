"""Signing in and out. A token comes by a form, never by an address; the link of `up` has a code that works once."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response

from noteflow_hooks.dashboard.cookies import Cookies
from noteflow_hooks.dashboard.guard import LOOPBACK_NAMES
from noteflow_hooks.dashboard.signing_in import may_manage
from noteflow_hooks.dashboard.visit import Page, read_form
from noteflow_hooks.dashboard.words import AGAIN
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError, ScopeError, UnauthenticatedError

if TYPE_CHECKING:
    from typing import Protocol

    from starlette.requests import Request

    from noteflow_hooks.client import Client
    from noteflow_hooks.dashboard.sessions import Session, Sessions
    from noteflow_hooks.dashboard.signing_in import OneTimeLink, Tries
    from noteflow_hooks.dashboard.visit import Form

    class _Connect(Protocol):
        def __call__(self, token: str) -> Client: ...

    class _Show(Protocol):
        def __call__(self, request: Request, page: Page, *, form_token: str = "") -> Response: ...


_NO_COOKIE: Final = (
    "Your browser has sent no cookie back. Without TLS the dashboard works in browsers that count this machine as "
    "secure, as Chromium and Firefox do; and cookies must be allowed. Try once more."
)


class Entrance:
    """The pages for which nobody needs to be signed in."""

    def __init__(self, sessions: Sessions, tries: Tries, link: OneTimeLink, *, connect: _Connect, show: _Show) -> None:
        self._sessions = sessions
        self._tries = tries
        self._link = link
        self._connect = connect
        self._show = show

    async def sign_in(self, request: Request) -> Response:
        """Show the form, or deal with it."""
        if request.method != "POST":
            return self._asked(request)
        beginning = Cookies.of(request).beginning
        try:
            form = await read_form(request)
        except NoteFlowHooksError as error:
            return self._form(request, str(error), 400)
        except ClientDisconnect:
            return Response(status_code=400)
        if beginning is None or not self._sessions.is_form_token(form.text("form_token"), of=beginning):
            return self._form(request, _NO_COOKIE, 403)
        return await self._let_in(request, form.text("token"))

    async def once(self, request: Request) -> Response:
        """Sign in by the link of `up`: from this machine, once."""
        is_here = f"{request.url.hostname}" in LOOPBACK_NAMES or request.url.hostname == "::1"
        token = self._link.token(request.path_params["code"]) if is_here else None
        if token is None:
            return RedirectResponse("/sign-in?why=link", 303)
        return await self._let_in(request, token)

    async def sign_out(self, request: Request, session: Session, _: Form) -> Response:
        """End the session."""
        self._sessions.end(session)
        response = RedirectResponse("/sign-in?why=out", 303)
        Cookies.of(request).drop_session(response)
        return response

    async def _let_in(self, request: Request, token: str) -> Response:
        wait_s = self._tries.wait_s(request.client.host if request.client is not None else "")
        if wait_s > 0:
            response = self._form(request, f"Too many tries: wait {math.ceil(wait_s)} s.", 429)
            response.headers["retry-after"] = str(math.ceil(wait_s))
            return response
        try:
            manages = await run_in_threadpool(lambda: may_manage(self._connect(token)))
        except (UnauthenticatedError, InvalidInputError):
            return self._form(request, "The server does not know this token.", 403)
        except ScopeError:
            return self._form(request, "This token may not read: the dashboard needs the scope `read`.", 403)
        except NoteFlowHooksError as error:
            return self._form(request, str(error), 503)
        response = RedirectResponse("/overview", 303)
        cookies = Cookies.of(request)
        cookies.keep_session(response, self._sessions, self._sessions.begin(token, may_manage=manages))
        cookies.drop_beginning(response)
        return response

    def _asked(self, request: Request) -> Response:
        response = self._form(request, AGAIN.get(request.query_params.get("why", ""), ""), 200)
        cookies = Cookies.of(request)
        # A page that has ended by itself comes here with it still.
        if cookies.session and self._sessions.opened(cookies.session) is None:
            cookies.drop_session(response)
        return response

    def _form(self, request: Request, problem: str, status: int) -> Response:
        beginning = secrets.token_urlsafe(18)
        page = Page("sign_in.html", {"problem": problem}, status)
        response = self._show(request, page, form_token=self._sessions.form_token(beginning))
        Cookies.of(request).keep_beginning(response, beginning)
        return response

"""Follows a stream of the server's: one that breaks is begun anew where it was."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support.silence import Silence
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError, UnavailableError
from noteflow_hooks.printable import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noteflow_hooks.client import Client

#: How long a stream may say nothing: four of its heartbeats.
SILENCE_S: Final = 60.0
#: What a server that stops tells programs: to do what is done here.
_TO_PROGRAMS: Final = "; watch again"


class Follower:
    """Follows one stream. A server that has answered once is waited for when it goes away."""

    #: The field of the request that says where to go on, and what is missing where that is too long ago.
    position = ""
    missing = ""

    def __init__(self, request: Any) -> None:  # noqa: ANN401 - each stream has its own
        """``request`` is what the stream is asked for; where to go on is kept in it."""
        self.request = request
        #: Whether the server answered last time; None before the first answer.
        self._answers: bool | None = None

    def begun(self, server: Client) -> Iterable[Any]:
        """Return the stream's messages."""
        raise NotImplementedError

    def has_begun(self) -> None:
        """Be told that the server has answered for the first time."""

    def take(self, message: Any, server: Client) -> bool:  # noqa: ANN401 - as above
        """Take in a message, and return whether the stream goes on; else it is begun anew."""
        raise NotImplementedError

    def keep_on(self, connect: Callable[[], Client], *, every_s: float) -> bool:
        """Follow until interrupted; False where the server knows no such stream.

        A server that is away is tried again after ``every_s``.
        """
        with contextlib.suppress(KeyboardInterrupt):
            while self._follow(connect):
                time.sleep(every_s)
            return False
        return True

    def _follow(self, connect: Callable[[], Client]) -> bool:
        """Take in what comes until the stream breaks; False where there is no such stream."""
        try:
            self._take_all(connect)
        except UnavailableError as error:
            self._wait_for(error)
        except InvalidInputError as error:
            if self._answers is None or self.position not in str(error):
                raise
            click.echo(f"noteflow-hooks: the server was away for too long; {self.missing}", err=True)
            self.request.ClearField(self.position)
        except NoteFlowHooksError as error:
            if self._answers is None and _is_unknown(error):
                return False
            raise
        return True

    def _take_all(self, connect: Callable[[], Client]) -> None:
        with connect() as server:
            call = self.begun(server)
            with Silence(call, after_s=SILENCE_S) as silence:
                for message in call:
                    silence.heard()
                    self._heard()
                    if not self.take(message, server):
                        return

    def _heard(self) -> None:
        if self._answers is None:
            self.has_begun()
        elif not self._answers:
            click.echo("noteflow-hooks: the server answers again", err=True)
        self._answers = True

    def _wait_for(self, error: UnavailableError) -> None:
        if self._answers is None:
            raise error
        if self._answers:
            why = str(error).partition(_TO_PROGRAMS)[0]
            click.echo(f"noteflow-hooks: {escape(why)}; waiting for it", err=True)
        self._answers = False


def _is_unknown(error: NoteFlowHooksError) -> bool:
    """Tell whether a server of a former release has said that it has no such method."""
    code = getattr(error.__cause__, "code", None)
    return code is not None and code().name == "UNIMPLEMENTED"

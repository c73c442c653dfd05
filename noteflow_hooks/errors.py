"""Every error that the project raises on purpose, in one tree.

    NoteFlowHooksError
    ├── InvalidInputError          what a caller gave is wrong; names the field and what is allowed
    ├── SettingsError              an environment variable holds what it may not hold
    ├── UnauthenticatedError       the caller's token opens nothing, or does so no longer
    ├── ScopeError                 the caller's token is good, and not for this
    ├── NotFoundError              no such thing in the caller's workspace
    ├── AlreadyExistsError         the idempotency key stands for something else
    ├── PreconditionError          right call, wrong moment
    │   ├── InvalidTransitionError a delivery can't go from its state to that one
    │   ├── SchemasMissingError    nothing here checks schemas; says what to install
    │   └── FiltersMissingError    nothing here evaluates filters; says what to install
    ├── LimitError                 the workspace has as many of something as it may have
    │   ├── RateLimitError         more in a time than is allowed; says when to try again
    │   └── TooLargeError          a message of more bytes than are taken; trying again is no help
    ├── UnavailableError           the database, the broker or the server doesn't answer; try again
    │   ├── PoolerError            the database is behind a pooler that no setting names
    │   └── ClosedConnectionError  the server closes each connection before it answers
    ├── UnencryptedError           a token would go over the network unencrypted
    ├── SecretUnavailableError     no key decrypts this secret
    ├── AddressNotAllowedError     the egress rules forbid the endpoint's address
    ├── RenderingError             nothing can be made of an event in an endpoint's format
    ├── MailError                  a mail could not be sent
    │   ├── MailServerError        the mail server takes none at the moment; try again
    │   ├── MailRefusedError       the mail server never takes this one
    │   └── MailUnknownError       nobody can tell whether it was sent
    └── UnitOfWorkNotStartedError  a unit of work was used outside its ``with``

What a receiver does wrong is none of these: it is an attempt's result, a value.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Reason(StrEnum):
    """Why something is refused, for programs. Names are public: they are in answers, and the proto lists them."""

    #: For an error without a more specific reason.
    REFUSED = "REFUSED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a reason's name
    SCOPE_MISSING = "SCOPE_MISSING"
    NOT_FOUND = "NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    WEBHOOKS_OFF = "WEBHOOKS_OFF"
    MEETING_STOPPED = "MEETING_STOPPED"
    ALREADY_RECORDING = "ALREADY_RECORDING"
    RECORDING_ENDED = "RECORDING_ENDED"
    NO_TRANSCRIPT = "NO_TRANSCRIPT"
    WEBHOOK_DISABLED = "WEBHOOK_DISABLED"
    WEBHOOK_DELETED = "WEBHOOK_DELETED"
    WEBHOOK_UNVERIFIED = "WEBHOOK_UNVERIFIED"
    PAYLOAD_ERASED = "PAYLOAD_ERASED"
    DELIVERY_NOT_SETTLED = "DELIVERY_NOT_SETTLED"
    REPLAY_NOT_RUNNING = "REPLAY_NOT_RUNNING"
    LIMIT_REACHED = "LIMIT_REACHED"
    TOO_MANY_REPLAYS = "TOO_MANY_REPLAYS"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    TOO_OFTEN = "TOO_OFTEN"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    SERVER_AWAY = "SERVER_AWAY"
    SCHEMAS_MISSING = "SCHEMAS_MISSING"
    FILTERS_MISSING = "FILTERS_MISSING"
    NO_CONTACT = "NO_CONTACT"
    CODE_EXPIRED = "CODE_EXPIRED"


class NoteFlowHooksError(Exception):
    """Something that NoteFlow Hooks refuses or can't do."""

    #: Why, for programs. Each class has a reason, and an error may have a more specific one.
    reason: Reason = Reason.REFUSED

    def __init__(self, message: str | None = None, *, reason: Reason | None = None) -> None:
        """Take a message, or fall back to the first line of the class's docstring."""
        super().__init__(message if message is not None else (self.__doc__ or "").strip().splitlines()[0])
        if reason is not None:
            self.reason = reason


class InvalidInputError(NoteFlowHooksError):
    """The input is not allowed."""

    reason = Reason.INVALID_ARGUMENT

    def __init__(self, field: str, problem: str) -> None:
        """Name the field and say in one line what is wrong with it and what is allowed."""
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        #: Everything that is wrong, each as a field and its problem; :meth:`of_all` makes one of several.
        self.violations: tuple[tuple[str, str], ...] = ((field, problem),)

    def within(self, path: str, *, outside: Collection[str] = ()) -> InvalidInputError:
        """Return the error with ``path`` in front of each field, except those in ``outside``."""
        moved = [(name if name in outside else f"{path}.{name}", problem) for name, problem in self.violations]
        (field, problem), *others = moved
        error = InvalidInputError(field, "; ".join([problem, *(": ".join(each) for each in others)]))
        error.violations = tuple(moved)
        return error

    @classmethod
    def of_all(cls, errors: Sequence[InvalidInputError]) -> InvalidInputError:
        """Return one error that names all of these, in one line; ``errors`` has at least one."""
        first, *others = errors
        if not others:
            return first
        joined = cls(first.field, "; ".join([first.problem, *map(str, others)]))
        joined.violations = tuple(each for error in errors for each in error.violations)
        return joined


class SettingsError(NoteFlowHooksError):
    """A setting holds what it may not hold."""


class UnauthenticatedError(NoteFlowHooksError):
    """The token opens nothing."""

    reason = Reason.TOKEN_INVALID


class ScopeError(NoteFlowHooksError):
    """The token lacks the scope that this needs."""

    reason = Reason.SCOPE_MISSING


class NotFoundError(NoteFlowHooksError):
    """There is no such thing in this workspace."""

    reason = Reason.NOT_FOUND


class AlreadyExistsError(NoteFlowHooksError):
    """The idempotency key was used for another event."""

    reason = Reason.IDEMPOTENCY_KEY_REUSED


class PreconditionError(NoteFlowHooksError):
    """The thing is not in a state that allows this."""


class WebhooksOffError(PreconditionError):
    """There are no webhooks here: they are switched off, or have no database."""

    reason = Reason.WEBHOOKS_OFF

    def __init__(self) -> None:
        """Name the setting."""
        super().__init__(
            "webhooks are switched off here; NOTEFLOW_HOOKS_WEBHOOKS_ENABLED, with a database, switches them on"
        )


class SchemasMissingError(PreconditionError):
    """Nothing here checks payloads by schemas."""

    reason = Reason.SCHEMAS_MISSING

    def __init__(self) -> None:
        """Say what to install."""
        super().__init__(
            "the server can't check types of your own: install its extra, pip install 'noteflow-hooks[schemas]'"
        )


class FiltersMissingError(PreconditionError):
    """Nothing here evaluates filters."""

    reason = Reason.FILTERS_MISSING

    def __init__(self) -> None:
        """Say what to install."""
        super().__init__(
            "filter: nothing here evaluates filters; install the extra, pip install 'noteflow-hooks[filters]'"
        )


class InvalidTransitionError(PreconditionError):
    """The delivery's state does not allow this."""

    reason = Reason.DELIVERY_NOT_SETTLED


class LimitError(NoteFlowHooksError):
    """The workspace has as many of these as it may have."""

    reason = Reason.LIMIT_REACHED
    #: After how long a new try may succeed; None if it never will.
    retry_after: timedelta | None = timedelta(seconds=1)


class RateLimitError(LimitError):
    """This came too often."""

    reason = Reason.TOO_OFTEN
    retry_after: timedelta

    def __init__(self, message: str | None = None, *, retry_after: timedelta) -> None:
        """Take a message, and after how long a new try may succeed."""
        super().__init__(message)
        self.retry_after = retry_after


class TooLargeError(LimitError):
    """The message is larger than it may be."""

    reason = Reason.MESSAGE_TOO_LARGE
    retry_after = None


class UnavailableError(NoteFlowHooksError):
    """A server that is needed does not answer; try again."""

    reason = Reason.SERVER_AWAY

    def __init__(self, message: str | None = None, *, detail: str = "") -> None:
        """Take a message for anybody, and details for an operator only: hosts, names, what the server said."""
        super().__init__(message)
        self.detail = detail


class PoolerError(UnavailableError):
    """The database can't be used in the way that it is reached."""


class ClosedConnectionError(UnavailableError):
    """The server closes the connection, as one does that wants TLS, or a certificate of the caller's."""


class UnencryptedError(NoteFlowHooksError):
    """The token would go over the network unencrypted."""


class SecretUnavailableError(NoteFlowHooksError):
    """No key in SECRET_KEYS decrypts the webhook's secret."""


class AddressNotAllowedError(NoteFlowHooksError):
    """The endpoint's address is not allowed."""

    def __init__(self, message: str | None = None, *, detail: str = "", allowed: str = "") -> None:
        """Take a message for anybody, and details for an operator only: the address, and what would allow it.

        ``allowed`` is for whoever registers: which addresses are, where the message does not say so.
        """
        super().__init__(message)
        self.detail = detail
        self.allowed = allowed


class RenderingError(NoteFlowHooksError):
    """Nothing can be made of the event in this format."""


class MailError(NoteFlowHooksError):
    """A mail could not be sent."""


class MailServerError(MailError):
    """The mail server takes no mail at the moment."""


class MailRefusedError(MailError):
    """The mail server does not take this mail."""


class MailUnknownError(MailError):
    """Whether the mail was sent is not known."""


class UnitOfWorkNotStartedError(NoteFlowHooksError):
    """The unit of work is used outside its with block."""

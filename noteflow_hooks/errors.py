"""Every error that the project raises on purpose, in one tree.

    NoteFlowHooksError
    ├── InvalidInputError          what a caller gave is wrong; names the field and what is allowed
    ├── SettingsError              an environment variable holds what it may not hold
    ├── UnauthenticatedError       the caller's token opens nothing, or does so no longer
    ├── ScopeError                 the caller's token is good, and not for this
    ├── NotFoundError              no such thing in the caller's workspace
    ├── AlreadyExistsError         the idempotency key stands for something else
    ├── PreconditionError          right call, wrong moment
    │   └── InvalidTransitionError a delivery can't go from its state to that one
    ├── LimitError                 the workspace has as many of something as it may have
    │   └── RateLimitError         more in a time than is allowed; says when to try again
    ├── UnavailableError           the database or the broker doesn't answer; try again
    ├── SecretUnavailableError     no key decrypts this secret
    ├── AddressNotAllowedError     the egress rules forbid the endpoint's address
    └── UnitOfWorkNotStartedError  a unit of work was used outside its ``with``

What a receiver does wrong is none of these: it is an attempt's result, a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


class NoteFlowHooksError(Exception):
    """Something that NoteFlow Hooks refuses or can't do."""

    def __init__(self, message: str | None = None) -> None:
        """Take a message, or fall back to the first line of the class's docstring."""
        super().__init__(message if message is not None else (self.__doc__ or "").strip().splitlines()[0])


class InvalidInputError(NoteFlowHooksError):
    """The input is not allowed."""

    def __init__(self, field: str, problem: str) -> None:
        """Name the field and say in one line what is wrong with it and what is allowed."""
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        #: Everything that is wrong, each as a field and its problem; :meth:`of_all` makes one of several.
        self.violations: tuple[tuple[str, str], ...] = ((field, problem),)

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


class ScopeError(NoteFlowHooksError):
    """The token lacks the scope that this needs."""


class NotFoundError(NoteFlowHooksError):
    """There is no such thing in this workspace."""


class AlreadyExistsError(NoteFlowHooksError):
    """The idempotency key was used for another event."""


class PreconditionError(NoteFlowHooksError):
    """The thing is not in a state that allows this."""


class InvalidTransitionError(PreconditionError):
    """The delivery's state does not allow this."""


class LimitError(NoteFlowHooksError):
    """The workspace has as many of these as it may have."""


class RateLimitError(LimitError):
    """This came too often."""

    def __init__(self, message: str | None = None, *, retry_after: timedelta) -> None:
        """Take a message, and after how long a new try may succeed."""
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(NoteFlowHooksError):
    """A server that is needed does not answer; try again."""

    def __init__(self, message: str | None = None, *, detail: str = "") -> None:
        """Take a message for anybody, and details for an operator only: hosts, names, what the server said."""
        super().__init__(message)
        self.detail = detail


class SecretUnavailableError(NoteFlowHooksError):
    """No key in SECRET_KEYS decrypts the webhook's secret."""


class AddressNotAllowedError(NoteFlowHooksError):
    """The endpoint's address is not allowed."""

    def __init__(self, message: str | None = None, *, detail: str = "") -> None:
        """Take a message for anybody, and details for an operator only: the address, and what would allow it."""
        super().__init__(message)
        self.detail = detail


class UnitOfWorkNotStartedError(NoteFlowHooksError):
    """The unit of work is used outside its with block."""

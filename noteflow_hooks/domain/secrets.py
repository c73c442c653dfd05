"""Which secrets an endpoint may have. The rule itself stands in `signing`, which receivers copy."""

from __future__ import annotations

from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.signing import secret_problem


def check_secret(secret: str) -> str:
    """Return the secret if it may be used, else raise :class:`InvalidInputError`, without repeating it."""
    problem = secret_problem(secret)
    if problem is not None:
        raise InvalidInputError("secret", problem)
    return secret

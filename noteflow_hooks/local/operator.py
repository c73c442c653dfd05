"""Who runs a command on this machine, as the audit trail names that person."""

from __future__ import annotations

import os
import pwd

from noteflow_hooks.domain.audit.entries import Actor, ActorKind


def operator() -> Actor:
    """Return the user whom the system knows this process by; the environment, which may say anything, is not asked."""
    user = os.geteuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        # In a container under a number that nobody has.
        name = str(user)
    return Actor(ActorKind.CLI, name)

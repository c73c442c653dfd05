"""PostgreSQL and Valkey from their wheels, for `demo`, `up` and the tests.

Both are the real servers, started by a few lines of our own. They add no user, widen no permission, and touch nothing
outside their data folder (and a private temporary folder, if the data folder's path is too long for a socket).
"""

from __future__ import annotations

from noteflow_hooks.local.children.process import EmbeddedServerError
from noteflow_hooks.local.servers.postgres import EmbeddedPostgres
from noteflow_hooks.local.servers.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedServerError", "EmbeddedValkey"]

"""Which addresses a POST may reach. All answers of a name are checked for each new connection."""

from __future__ import annotations

from noteflow_hooks.egress.policy import EgressPolicy
from noteflow_hooks.egress.proxy import EgressProxy
from noteflow_hooks.egress.ranges import Address
from noteflow_hooks.egress.resolver import Lookup, Resolver, system_lookup

__all__ = ["Address", "EgressPolicy", "EgressProxy", "Lookup", "Resolver", "system_lookup"]

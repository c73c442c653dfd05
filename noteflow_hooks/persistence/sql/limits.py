"""How much one statement takes on at once. Nothing but speed hangs on these; what a caller can see is in the domain."""

from __future__ import annotations

from typing import Final

#: Events beside the named ones that a round of dispatching takes, at the least: what nobody names gets its share.
OTHER_EVENTS_PER_ROUND: Final = 100
#: Endpoints with a slot now that are looked at to find those that come next: the longest waiting ones, in fair order.
SLOTS_CONSIDERED: Final = 500
#: Deliveries that are skipped in the transaction that ends an endpoint; its scheduling slots skip the rest.
SKIPPED_AT_ONCE: Final = 10_000
#: Endpoints that one transaction of re-encryption takes, of some hundredths of a second. Its locks hold up changes of
#: theirs, and nothing else.
REENCRYPTED_AT_ONCE: Final = 500
#: Deliveries that one run of the sweep moves, to the queue or out of it, where somebody else has left them.
MOVED_AT_ONCE: Final = 10_000
#: Claims of the same endpoints queue in so many lines; a power of two.
CLAIM_LINES: Final = 64
#: The most meetings of which the sweep looks whether something is left that nothing holds.
MEETINGS_EXAMINED: Final = 5_000

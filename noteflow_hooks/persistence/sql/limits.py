"""How much one statement takes on at once. Nothing but speed hangs on these; what a caller can see is in the domain."""

from __future__ import annotations

from typing import Final

#: Events that a round of dispatching takes: a statement's fixed cost is paid once for them.
EVENTS_PER_ROUND: Final = 500
#: How many of these are others than the named ones, at the least: what nobody names any more gets its share.
OTHER_EVENTS_PER_ROUND: Final = 100
#: Endpoints with a slot now that are looked at to find those that come next: the longest waiting ones, in fair order.
SLOTS_CONSIDERED: Final = 500
#: Deliveries that are skipped in the transaction that ends an endpoint; its scheduling slots skip the rest.
SKIPPED_AT_ONCE: Final = 10_000
#: Endpoints that one transaction of re-encryption takes, of some hundredths of a second. Its locks hold up changes of
#: theirs, and nothing else.
REENCRYPTED_AT_ONCE: Final = 500
#: Claims of the same endpoints queue in so many lines; a power of two.
CLAIM_LINES: Final = 64
#: Rows that a count of what waits stops at: an index of a million rows would be read for a figure that says no more.
COUNTED: Final = 10_000

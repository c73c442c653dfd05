"""What stands in an endpoint's place in roll-ups that are not about one."""

from __future__ import annotations

from typing import Final
from uuid import UUID

#: In rows about all of a workspace's endpoints, by event type.
ALL_ENDPOINTS: Final = UUID(int=0)
#: In rows about all of a workspace, whatever the endpoint and the event type: apart, since those are far fewer.
EVERYTHING: Final = UUID(int=2**128 - 1)

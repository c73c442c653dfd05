"""A group whose servers die as soon as they serve: what its supervisor then does is in its log.

The same program is the supervisor and, with ``--member``, a server.
"""

from __future__ import annotations

import logging
import os
import sys

from noteflow_hooks.local.server_group import ServerGroup
from noteflow_hooks.rpc.sharing.member import Group
from noteflow_hooks.rpc.sharing.membership import Membership


def main() -> int:
    """Supervise, or serve for a moment."""
    if "--member" in sys.argv:
        Group(Membership.parse(sys.argv[-1])).serve()
        return 3
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    command = (sys.executable, "-m", "tests.support.dying_servers")
    return ServerGroup(command, count=2, bind="127.0.0.1:0", env=os.environ).run(lambda _: None)


if __name__ == "__main__":
    sys.exit(main())

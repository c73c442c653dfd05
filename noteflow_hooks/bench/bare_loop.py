"""The bare loop, the limit that everything is measured against: ``requests.Session.post`` under gevent, and no more.

A process of its own: ``URL BODY --connections N [--ca FILE] [--dial]``, told by lines on its standard input how many
POSTs to make; with ``--dial`` each has a connection of its own. It answers with a line of JSON once they are made: the
processor's seconds that they took.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402 - gevent patches before anything else is imported
import time  # noqa: E402 - as above

import gevent  # noqa: E402 - as above
import requests  # noqa: E402 - as above
from requests.adapters import HTTPAdapter  # noqa: E402 - as above

from noteflow_hooks.bench.lines import say, told  # noqa: E402 - as above


def main() -> None:
    """Make as many POSTs as each line says, over connections that are kept unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("body")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--ca")
    parser.add_argument("--dial", action="store_true")
    given = parser.parse_args()
    session = requests.Session()
    session.trust_env = False
    session.verify = given.ca if given.ca is not None else True
    session.mount(given.url, HTTPAdapter(pool_maxsize=given.connections))
    body, headers = given.body.encode(), {"Content-Type": "application/json"}

    def post(left: list[int]) -> None:
        while left[0] > 0:
            left[0] -= 1
            # A body that is not read closes its connection.
            answer = session.post(given.url, data=body, headers=headers, timeout=10, stream=given.dial)
            answer.close()
            if answer.status_code != requests.codes.ok:
                raise SystemExit("the receiver refused a POST of the bare loop")

    say("ready")
    for line in told():
        began = time.process_time()
        left = [int(line)]
        gevent.joinall([gevent.spawn(post, left) for _ in range(given.connections)], raise_error=True)
        say(time.process_time() - began)


if __name__ == "__main__":
    main()

"""The bare loop, which everything is measured against: ``requests.Session.post`` under gevent, and nothing else.

It is a process with the arguments ``URL BODY --connections N [--ca FILE] [--dial]``. Each line on its standard input
says how many POSTs to make; with ``--dial`` each POST has a new connection. Once they are made it answers with a line
of JSON: the processor seconds that they took.
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
    """Make as many POSTs as each line says, over kept connections unless ``--dial`` is given."""
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
            # With ``--dial``: closing an answer whose body was not read closes its connection.
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

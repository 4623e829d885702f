"""Serve a Hub on this machine: publish to it as if it were the real one, without an account."""

from __future__ import annotations

import argparse

from tests.hub.server import Server

SAYS = """\
A Hub on {endpoint}, in memory: it forgets everything when it stops (Ctrl-C).

export HF_ENDPOINT={endpoint}
export HF_TOKEN={token}
export HF_HUB_DISABLE_XET=1

The token is that of "tester": who may write under "tester" and "crew", and has no paid plan.
{others}
Set the three in the shell that publishes, before it imports anything; then look:

curl {endpoint}/api/models
"""


def main() -> None:
    """Serve until interrupted, and print every request."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("--port", type=int, default=8764, help="0: any free one")
    parser.add_argument("--quiet", action="store_true", help="do not print the requests")
    options = parser.parse_args()
    server = Server(options.port, talks=not options.quiet)
    others = f'"stranger" may read and open pull requests: {server.hub.account("stranger")}\n'
    others += f'"member" has a paid plan: {server.hub.account("member", plan="pro")}\n'
    print(SAYS.format(endpoint=server.endpoint, token=server.hub.token, others=others), flush=True)  # noqa: T201
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


if __name__ == "__main__":
    main()

"""Watches this process for connections that leave the machine.

An audit hook cannot be taken back, so there is one for the whole process; it refuses the connection and remembers it,
because the libraries swallow the error.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

strayed: list[str] = []
_watching = False


def at_home(host: str) -> bool:
    """Tell whether a host is this machine.

    >>> [at_home(host) for host in ("127.0.0.1", "::1", "localhost", "", "10.0.0.1", "example.org")]
    [True, True, True, True, False, False]
    """
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = str(args[1][0])
    elif event == "socket.getaddrinfo":
        host = args[0].decode() if isinstance(args[0], bytes) else str(args[0] or "")
    else:
        return
    if at_home(host):
        return
    # datasets asks a viewer beside the endpoint: datasets-server.127.0.0.1, a name that cannot exist
    if not at_home(host.partition("datasets-server.")[2] or host):
        strayed.append(f"{event} {host}")
    raise socket.gaierror(socket.EAI_NONAME, f"{host} is not this machine")


def watch() -> None:
    """Refuse every connection off the loopback from now on."""
    global _watching
    if not _watching:
        sys.addaudithook(_heard)
        _watching = True

"""HTTP: a thread for every connection, and one route for every request, found in the raw path."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub import background, collections, discussions, files, info, lfs, refs, repos, spaces, tokens, upload
from tests.hub.hub import Asked, Hub
from tests.hub.wire import Refused, Reply, Request

Handler = Callable[[Hub, Request], Reply]

PARTS = {
    "{kind}": r"(?P<kind>models|datasets|spaces)",
    "{spaces}": r"(?P<kind>spaces)",
    "{kind?}": r"(?:(?P<kind>datasets|spaces)/)?",
    "{repo}": r"(?P<repo>[^/]+(?:/[^/]+?)?)",  # an id has one segment or two
    "{path}": r"(?P<path>.+)",
    "{slug*}": r"(?P<slug>[^/]+/[^/]+)",
}


def pattern(route: str) -> re.Pattern[str]:
    """Return the expression of a route: a name in braces is one segment, whatever is quoted in it.

    >>> pattern("/api/{kind}/{repo}/tree/{rev}").fullmatch("/api/models/a/b/tree/refs%2Fpr%2F1")["rev"]
    'refs%2Fpr%2F1'
    """
    known = re.sub(r"\{[^}]+\}", lambda found: PARTS.get(found[0], f"(?P<{found[0][1:-1]}>[^/]+)"), route)
    return re.compile(known.replace(".git/", r"\.git/"))


ROOMS = (repos, refs, files, upload, lfs, tokens, discussions, spaces, collections, background, info)
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = [
    (method, pattern(route), handler)
    for routes in (*(room.ROUTES for room in ROOMS), info.LAST)
    for method, route, handler in routes
]


def named(handler: Handler) -> str:
    """Return the name of a handler, such as ``repos.create``."""
    return f"{handler.__module__.rpartition('.')[2]}.{handler.__name__}"


def respond(hub: Hub, ask: Request) -> tuple[str, Reply]:
    """Return the name of the handler that a request belongs to, and its reply."""
    wanted = "GET" if ask.method == "HEAD" else ask.method
    for method, route, handler in ROUTES:
        if method == wanted and (found := route.fullmatch(ask.path)):
            parts = {name: unquote(text) for name, text in found.groupdict().items() if text is not None}
            try:
                if "authorization" in ask.headers and ask.account is None:
                    raise Refused(401, "Invalid credentials in Authorization header")
                with hub.lock:
                    told = Request(ask.method, ask.path, ask.query, ask.headers, ask.body, parts, ask.account)
                    return named(handler), handler(hub, told)
            except Refused as refusal:
                return named(handler), refusal.reply
            except Exception:  # noqa: BLE001  # a 5xx would be asked again five times: our own errors are a 400
                hub.broken.append(f"{ask.method} {ask.path}\n{traceback.format_exc()}")
                return named(handler), Refused(400, "The loopback Hub itself failed: see hub.broken").reply
    return "", Refused(404, f"The loopback Hub does not know {ask.method} {ask.path}").reply


class Connection(BaseHTTPRequestHandler):
    """One connection, kept open over many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Print a line for every request where a person looks on; a test looks into ``hub.requests``."""
        if self.server.talks:
            super().log_message(format, *args)

    def body(self, share: float = 1.0) -> bytes:
        """Read the body, or the first ``share`` of it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
                if share < 1:
                    return b"".join(pieces)
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(int(self.headers.get("Content-Length", 0)) * share))

    def serve(self) -> None:
        """Answer one request, or fail as planned."""
        hub, target = self.server.hub, urlsplit(self.path)
        with hub.lock:
            fault = next((one for one in hub.faults if one.hits(self.command, target.path)), None)
        if fault is not None and fault.failure == "drop":
            self.body(0.5)
            return self.hang_up(hub, target.path, "")
        content = self.body()
        if fault is not None and isinstance(fault.failure, int):
            return self.send(hub, target.path, "fault", fault.reply())
        headers = {name.lower(): value for name, value in self.headers.items()}
        account = hub.accounts.get(headers.get("authorization", "").removeprefix("Bearer ").strip())
        query = parse_qs(target.query, keep_blank_values=True)
        ask = Request(self.command, target.path, query, headers, content, account=account)
        name, reply = respond(hub, ask)
        if fault is not None and fault.failure == "lose":
            return self.hang_up(hub, target.path, name)
        return self.send(hub, target.path, name, reply, cut=fault is not None)

    def hang_up(self, hub: Hub, path: str, name: str) -> None:
        """Close the connection instead of answering."""
        hub.requests.append(Asked(self.command, path, 0, name))
        self.close_connection = True

    def send(self, hub: Hub, path: str, name: str, reply: Reply, cut: bool = False) -> None:
        """Send the reply, or half of its body; a HEAD gets the headers that a GET would."""
        hub.requests.append(Asked(self.command, path, reply.status, name))
        self.send_response(reply.status)
        headers = {"Content-Length": str(len(reply.body)), "X-Request-Id": f"{len(hub.requests):08d}", **reply.headers}
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
            self.close_connection |= cut
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve


class Server(ThreadingHTTPServer):
    """Listens on the loopback from the moment it is made; ``hub`` may be exchanged for a fresh one at any time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0, talks: bool = False) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.talks = talks
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.hub = Hub(self.endpoint)

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client go that hung up by itself."""

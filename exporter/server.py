"""Sockets and the event loop: serves an application until it is told to stop."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from exporter.errors import ListenError

KEEP_ALIVE_SECONDS = 130
"""Longer than Prometheus's usual intervals, so that a connection (and its TLS handshake) serves many scrapes."""

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")


def listen(addresses: Sequence[str]) -> list[socket.socket]:
    """A listening socket for each `host:port`; without a host, on all addresses of this machine, IPv4 and IPv6.

    Raises `ListenError`.
    """
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(_listen(address)) for address in addresses]
        opened.pop_all()
        return sockets


def _listen(address: str) -> socket.socket:
    listening = _bound(address)
    # asyncio sets it only for sockets made with the protocol's number, and Linux hands it down to what is accepted.
    # Without it, an answer's body waits 40 ms for its headers to be acknowledged.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _bound(address: str) -> socket.socket:
    match = _ADDRESS.fullmatch(address)
    if not match or int(match["port"]) > 65535:
        raise ListenError(f"cannot listen on {address!r}: expected host:port, such as :10042 or [::1]:10042")
    host, port = match["ipv6"] or match["host"], int(match["port"])
    try:
        if not host:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            return socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=1024)
        family, *_, resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(resolved[:2], family=family, backlog=1024)
    except OSError as error:
        # asyncio and socket add the address to their words, which is named already.
        problem = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise ListenError(f"cannot listen on {address}: {problem}") from None


def url(listening: socket.socket) -> str:
    """Where a browser on this machine finds what listens there."""
    host, port = listening.getsockname()[:2]
    if host in ("::", "0.0.0.0"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class Server(uvicorn.Server):
    """uvicorn, without its own handling of signals: `should_exit = True` ends it, after the requests under way."""

    def __init__(self, app: ASGIApp, *, grace: int) -> None:
        """`grace` is how many seconds the requests under way have."""
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=grace,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the caller: uvicorn would die of them once more after it has ended well."""
        yield

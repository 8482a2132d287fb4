"""Sockets and the event loop: serves an application until it is told to stop."""

import asyncio
import asyncio.sslproto
import contextlib
import os
import re
import resource
import socket
import ssl
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.errors import ListenError

KEEP_ALIVE_SECONDS = 130
"""Longer than Prometheus's usual intervals, so that a connection (and its TLS handshake) serves many scrapes."""

READ_SECONDS = 10
"""For a request to arrive, from its first byte (or the connection) to its last."""

WRITE_SECONDS = 30
"""For a client that takes nothing of its answer."""

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


def allow_many_connections() -> None:
    """Raises the limit of open files as far as the system allows: a stalled connection costs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))


def url(listening: socket.socket, scheme: str = "http") -> str:
    """Where a browser on this machine finds what listens there."""
    host, port = listening.getsockname()[:2]
    if host in ("::", "0.0.0.0"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


class _Protocol(H11Protocol):
    """uvicorn's, which ends connections that keep it waiting: uvicorn itself waits for a request without an end."""

    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        self._expect_request()
        super().data_received(data)
        if self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR):
            self._stop_reading()

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP. Where it follows a request that is being answered, that answer has no place any more."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            if self.cycle.response_started:
                self.transport.abort()
                return
        super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_reading()
        self._stop_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_writing()

    def _expect_request(self) -> None:
        if self._reading is None:
            # Not close(): over TLS that would wait for a farewell.
            self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def _absolute_form(app: ASGIApp) -> ASGIApp:
    """Takes `GET http://host/path`, as RFC 9112 (section 3.2.2) has every server do, for `GET /path`."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/"):
            scope = {**scope, "path": urlsplit(scope["path"]).path or "/"}
        await app(scope, receive, send)

    return wrapped


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's, with less patience for TLS handshakes that stall: 10 s instead of a minute."""

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        if kwargs.get("ssl"):
            kwargs["ssl_handshake_timeout"] = READ_SECONDS
        return await super().create_server(*args, **kwargs)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs `main`, which serves, on an event loop made for it."""
    # A read buffer for each TLS connection, from its first byte on: asyncio's 256 KiB make 1,000 stalled ones 256 MiB.
    # A record of TLS has 16 KiB at most.
    asyncio.sslproto.SSLProtocol.max_size = 16 * 1024
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(main)


class Server(uvicorn.Server):
    """uvicorn, without its own handling of signals: `should_exit = True` ends it, after the requests under way."""

    def __init__(self, app: ASGIApp, *, grace: int, tls: ssl.SSLContext | None = None) -> None:
        """`grace` is how many seconds the requests under way have."""
        config = uvicorn.Config(
            _absolute_form(app),
            loop="asyncio",
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace,
        )
        config.load()
        config.ssl = tls
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the caller: uvicorn would die of them once more after it has ended well."""
        yield

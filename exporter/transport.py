"""What `requests` leaves open: an end to a request as a whole, and retries that respect it.

The timeouts of `requests` bound each wait for a byte, so a server that sends one byte a second is never late.
Here every socket is known from the moment it is connected, and is shut down when time is up: whatever waits for
it, in TLS, headers or body, then fails at once.
"""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, ClassVar, Self

from requests.adapters import DEFAULT_POOLBLOCK, HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import ConnectTimeoutError, InvalidHeader, MaxRetryError, ResponseError


class Sockets:
    """The sockets of a session, and the moment from which on it may use none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: set[socket.socket] = set()
        self._request: object = None
        self._expired = False

    def add(self, connected: socket.socket) -> socket.socket:
        """A handle on the same connection that stays valid when TLS takes over the socket.

        Raises `TimeoutError` where time is up already: the caller has to close `connected`.
        """
        with self._lock:
            if self._expired:
                raise TimeoutError
            handle = connected.dup()
            self._handles.add(handle)
            return handle

    def discard(self, handle: socket.socket) -> None:
        with self._lock:
            self._handles.discard(handle)
            handle.close()

    @contextlib.contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Ends what is under way at `deadline` (of `time.monotonic`). For one request at a time."""
        request = object()
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._expire, [request])
        timer.daemon = True
        with self._lock:
            self._request, self._expired = request, False
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._request = None

    @property
    def expired(self) -> bool:
        return self._expired

    def _expire(self, request: object) -> None:
        with self._lock:
            if request is not self._request:
                return  # it ended in the same moment: the connection may serve the next one
            self._expired = True
            for handle in self._handles:
                with contextlib.suppress(OSError):  # the peer may have been quicker
                    handle.shutdown(socket.SHUT_RDWR)


class _KnownSocket:
    """Mixin of a urllib3 connection: registers its socket with `sockets` while it is open."""

    sockets: ClassVar[Sockets]
    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]  # of HTTPConnection
        try:
            self._handle = self.sockets.add(connected)
        except TimeoutError:
            connected.close()
            raise ConnectTimeoutError(self, "Connected too late") from None
        return connected

    def close(self) -> None:
        super().close()  # type: ignore[misc]  # of HTTPConnection
        if self._handle is not None:
            self.sockets.discard(self._handle)
            self._handle = None


class Adapter(HTTPAdapter):
    """An adapter of `requests` with one connection, whose socket is among `sockets`."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = DEFAULT_POOLBLOCK, **pool_kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **proxy_kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: PoolManager) -> None:
        known = {"sockets": self._sockets}
        http = type("KnownHTTPConnection", (_KnownSocket, HTTPConnection), known)
        https = type("KnownHTTPSConnection", (_KnownSocket, HTTPSConnection), known)
        manager.pool_classes_by_scheme = {
            "http": type("KnownHTTPConnectionPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("KnownHTTPSConnectionPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        }


class DeadlineRetry(Retry):
    """urllib3's `Retry`, which gives up at once where its pause would not end before `deadline`.

    `statuses` gets the HTTP status of each answer after which it tries again.
    """

    FIRST_PAUSE = 0.1
    """Seconds; up to as much again is added at random, so that exporters do not knock in step."""

    def __init__(self, total: int | None, *, deadline: float, statuses: list[int], **kwargs: Any) -> None:
        super().__init__(total, **kwargs)
        self.deadline = deadline
        self.statuses = statuses
        self._jitter = random.random()

    @classmethod
    def of_answers_and_connections(cls, total: int, deadline: float, statuses: list[int]) -> Self:
        """Tries again what is safe and of use: a GET that met a broken connection or an overloaded server."""
        return cls(
            total,
            deadline=deadline,
            statuses=statuses,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=("GET",),
            redirect=False,
            raise_on_status=False,
            retry_after_max=3600,
        )

    def new(self, **kw: Any) -> Self:
        return super().new(deadline=self.deadline, statuses=self.statuses, **kw)

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:  # noqa: ARG002
        """By status alone: urllib3 would also repeat a 413 that has a `Retry-After`."""
        return super().is_retry(method, status_code, False)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds; None where the header is missing, or is neither a number nor a date."""
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None

    def get_backoff_time(self) -> float:
        return self.FIRST_PAUSE * 2.0 ** max(0, len(self.history) - 1) * (1 + self._jitter)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        retry = super().increment(method, url, response, error, _pool, _stacktrace)
        pause = self.get_retry_after(response) if response is not None else None
        if time.monotonic() + (pause or retry.get_backoff_time()) >= self.deadline:
            raise MaxRetryError(_pool, url or "", error or ResponseError("no time for another attempt"))  # type: ignore[arg-type]
        if response is not None:
            self.statuses.append(response.status)
            # urllib3 would read it to its end, which may be far, in order to use the connection again.
            response.close()
        return retry

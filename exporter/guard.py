"""What stands before the application: the web configuration as it is now, its TLS, its headers, its users."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import ssl
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import anyio
import bcrypt
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from exporter import webconfig
from exporter.errors import ConfigError
from exporter.webconfig import WebConfig

CACHED_CHECKS = 100
DUMMY_COST = 10
"""The cost that exporter-toolkit's documentation suggests, for where there is no user to take it from."""


class LiveWebConfig:
    """The newest good web configuration: looks at its files when asked, and reads them again when one has changed."""

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        """Raises `ConfigError`."""
        self._path = path
        self._log = log
        self._lock = threading.Lock()
        self._config = webconfig.load(path)
        self._seen = self._look()

    @property
    def now(self) -> WebConfig:
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._reload()
            return self._config

    def _look(self) -> tuple[object, ...]:
        """What tells versions of the files apart."""
        return tuple(_identity(file) for file in self._config.files)

    def _reload(self) -> None:
        try:
            config = webconfig.load(self._path)
            if (config.tls is None) != (self._config.tls is None):
                raise ConfigError("tls_server_config", "switching TLS on or off takes a restart")
        except ConfigError as error:
            self._log.error("web configuration refused, the one before it stays", error=str(error))
            return
        self._config = config
        self._seen = self._look()
        self._log.info("web configuration reloaded")


def _identity(file: Path) -> tuple[int, ...] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - for each request, and a tenth of the time of Path.stat
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class LiveTLS(ssl.SSLContext):
    """A context for a listening socket that gives each new connection the newest one."""

    _live: LiveWebConfig

    @classmethod
    def of(cls, live: LiveWebConfig) -> "LiveTLS":
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._live = live
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """What asyncio calls for a connection."""
        context = self._live.now.tls
        if context is None:
            raise ssl.SSLError("TLS is off")
        return context.wrap_bio(*args, **kwargs)


class Guard:
    """ASGI middleware: basic auth for every path, where there are users, and the configured headers."""

    def __init__(self, app: ASGIApp, live: LiveWebConfig) -> None:
        self._app = app
        self._live = live
        self._salt = secrets.token_bytes(32)
        self._checked: OrderedDict[bytes, bool] = OrderedDict()
        self._dummies: dict[int, bytes] = {}
        # One at a time, as in exporter-toolkit: wrong passwords must not take all processors from the scrapes.
        self._one = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        config = self._live.now

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in config.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self._app
        if config.users and not await self._is_user(config.users, Headers(scope=scope).get("Authorization", "")):
            app = PlainTextResponse("Unauthorized.\n", 401, {"WWW-Authenticate": "Basic"})
        await app(scope, receive, send_with_headers)

    async def _is_user(self, users: dict[str, bytes], authorization: str) -> bool:
        """Does as much work for a user who is not there as for a wrong password, so that time tells nothing."""
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        name, password = credentials
        known = name in users
        expected = users[name] if known else await anyio.to_thread.run_sync(self._dummy, users, limiter=self._one)
        # Keyed and hashed, so that no password stays in memory longer than its request.
        key = hmac.digest(self._salt, b"\0".join((name.encode(), expected, password)), hashlib.sha256)
        if key not in self._checked:
            matches = await anyio.to_thread.run_sync(_matches, password, expected, limiter=self._one)
            self._checked[key] = matches and known
            while len(self._checked) > CACHED_CHECKS:
                self._checked.popitem(last=False)
        self._checked.move_to_end(key)
        return self._checked[key]

    def _dummy(self, users: dict[str, bytes]) -> bytes:
        """A hash that no password has, as costly as the users' own."""
        cost = max((int(hashed.split(b"$")[2]) for hashed in users.values()), default=DUMMY_COST)
        if cost not in self._dummies:
            self._dummies[cost] = bcrypt.hashpw(secrets.token_hex(16).encode(), bcrypt.gensalt(cost))
        return self._dummies[cost]


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # longer than the 72 bytes that bcrypt looks at
        return False


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    """Name and password of a header `Authorization: Basic …` (RFC 7617), None where it is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None

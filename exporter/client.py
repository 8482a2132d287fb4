"""A signed GET of the Exoscale API → bytes, or a `Failure` with one of the reasons."""

import contextlib
import io
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
from exoscale_auth import ExoscaleV2Auth
from urllib3.exceptions import HTTPError

from exporter import PROJECT_URL, __version__, failures
from exporter.config import Account, Scrape, is_loopback
from exporter.errors import Failure, Reason
from exporter.transport import Adapter, DeadlineRetry, Sockets

USER_AGENT = f"exoscale-ai-exporter/{__version__} (+{PROJECT_URL}) python/{platform.python_version()}"
_CHUNK = 64 * 1024

Observe = Callable[[str, tuple[int, ...], float], None]
"""Called with the operation, the HTTP status of each answer to it (more than one after a retry), and seconds."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a 200, and the local clock less the API's in seconds (header `Date`), where it sent one."""

    body: bytes
    clock_skew: float | None


class Client:
    """The API of one account in one zone, over a connection of its own that is kept alive between requests.

    Safe to call from several threads; they take turns. `close()` ends it.
    """

    def __init__(self, account: Account, zone: str, scrape: Scrape, observe: Observe, *, signed: bool = True) -> None:
        self._base = account.url(zone)
        self._scrape = scrape
        self._observe = observe
        self._turn = threading.Lock()
        self._sockets = Sockets()
        self._session = _Session()
        self._session.auth = ExoscaleV2Auth(account.api_key.reveal(), account.api_secret.reveal()) if signed else None
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        self._take_from_environment()
        self._adapter = Adapter(self._sockets)
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._secrets = (account.api_secret, account.api_key)

    def _take_from_environment(self) -> None:
        """Proxies and CA bundle, once: `requests` would look for them, and for ~/.netrc, at every request."""
        found = self._session.merge_environment_settings(self._base, {}, None, None, None)
        self._session.trust_env = False
        self._session.verify = found["verify"]
        # A proxy cannot reach this machine's loopback.
        if not is_loopback(urlsplit(self._base).hostname or ""):
            self._session.proxies.update(found["proxies"])

    def get(self, path: str, operation: str, deadline: float, params: dict[str, str] | None = None) -> Reply:
        """The answer to `GET {endpoint}{path}`, not later than `deadline` (of `time.monotonic`).

        Only the resolution of a name can hold up the calling thread longer: it cannot be interrupted.
        `operation` is the API's name of the request. Raises `Failure`.
        """
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Failure(
                Reason.TIMEOUT, "the request before this one has not ended yet (a name that resolves slowly?)"
            )
        try:
            return self._get(path, operation, deadline, params)
        finally:
            self._turn.release()

    def close(self) -> None:
        self._session.close()

    def _get(self, path: str, operation: str, deadline: float, params: dict[str, str] | None) -> Reply:
        started = time.monotonic()
        statuses: list[int] = []
        self._adapter.max_retries = DeadlineRetry.of_answers_and_connections(self._scrape.retries, deadline, statuses)
        try:
            with self._sockets.until(deadline):
                return self._answer(path, operation, deadline - started, params, statuses)
        except Exception as error:
            failure = error if isinstance(error, Failure) else failures.from_exception(error)
            # Whichever was first: the end of the time for all of it, or of the same time for a single step.
            if self._sockets.expired or (failure is not error and failure.reason is Reason.TIMEOUT):
                raise Failure(Reason.TIMEOUT, f"no complete answer in {deadline - started:.1f} s") from None
            failure.args = (self._without_secrets(failure.message),)
            raise failure from None
        finally:
            self._observe(operation, tuple(statuses), time.monotonic() - started)

    def _answer(
        self, path: str, operation: str, timeout: float, params: dict[str, str] | None, statuses: list[int]
    ) -> Reply:
        if timeout <= 0:
            raise Failure(Reason.TIMEOUT, "no time was left to ask the API")
        with self._session.get(
            self._base + path,
            params=params,
            timeout=timeout,
            stream=True,
            allow_redirects=False,
        ) as response:
            statuses.append(response.status_code)
            clock_skew = _clock_skew(response.headers.get("Date"))
            if response.status_code != 200:
                raise failures.from_status(
                    response.status_code,
                    _read_some(response),
                    operation,
                    clock_skew=clock_skew,
                    retry_after=self._adapter.max_retries.get_retry_after(response.raw),
                    location=response.headers.get("Location"),
                )
            failures.check_content_type(response.headers.get("Content-Type"), clock_skew)
            body = _read(response, self._scrape.max_response_bytes, clock_skew)
            if self._sockets.expired:  # a socket that is shut down looks like the end of a body without a length
                raise TimeoutError
            return Reply(body, clock_skew)

    def _without_secrets(self, text: str) -> str:
        """An API, or a proxy before it, may repeat what it was sent."""
        for secret in self._secrets:
            text = text.replace(secret.reveal(), "…")
        return text


def _clock_skew(date: str | None) -> float | None:
    """Seconds that this machine's clock is ahead of a `Date` header, which is cut to whole seconds."""
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None


def _read(response: requests.Response, limit: int, clock_skew: float | None) -> bytes:
    """The decompressed body. Raises `Failure` where it is longer than `limit` bytes."""
    body = io.BytesIO()
    for chunk in response.iter_content(_CHUNK):
        body.write(chunk)
        if body.tell() > limit:
            raise Failure(
                Reason.INVALID_RESPONSE,
                f"the API answered more than {limit} bytes (scrape.max_response_bytes)",
                clock_skew=clock_skew,
            )
    return body.getvalue()


def _read_some(response: requests.Response) -> bytes:
    """The beginning of an error's body: what it says is worth showing, and its end is not worth a failure."""
    with contextlib.suppress(HTTPError, OSError):
        return response.raw.read1(_CHUNK, decode_content=True)
    return b""


class _Session(requests.Session):
    """Does not look where a redirect leads: `requests` would read its body to the end, of whatever size it is."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, whatever the answer is."""

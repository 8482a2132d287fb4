"""The one place that says what kind of failure an exception or an HTTP status is, and puts it in words."""

import json
import re
from collections.abc import Iterator
from html import unescape
from http import HTTPStatus
from http.client import HTTPException, RemoteDisconnected

import requests
from urllib3 import exceptions as urllib3_exceptions

from exporter.errors import Failure, Reason

JSON = "application/json"
REDIRECTS = (301, 302, 303, 307, 308)

MAX_WORDS = 240
"""Characters of the API's own words that are shown: one line of a log."""

SKEW_WORTH_MENTIONING = 60.0
"""Seconds. A signature is good for ten minutes, so a clock that is off by much makes every request fail."""

_AUTHORIZATION = re.compile(r"EXO2-HMAC-SHA256\s+\S+|\b(credential|signature)=[^\s,;\"']+", re.IGNORECASE)


def from_status(
    status: int,
    body: bytes,
    operation: str,
    *,
    clock_skew: float | None = None,
    retry_after: float | None = None,
    location: str | None = None,
) -> Failure:
    """The failure that an answer other than 200 is. `clock_skew` and `retry_after` are in seconds."""
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    message = f"the API answered {phrase}"
    if said := words(body):
        message += f": {said}"
    reason = _reason(status)
    if reason is Reason.AUTH:
        message += f" – check the API key, the secret, and that the key's IAM role allows {operation}"
        if clock_skew is not None and abs(clock_skew) > SKEW_WORTH_MENTIONING:
            direction = "ahead of" if clock_skew > 0 else "behind"
            message += f"; this machine's clock is {abs(clock_skew):.0f} s {direction} the API's"
    elif status in REDIRECTS:
        target = f" to {words(location.encode())}" if location else ""
        message += f"{target} – redirects are not followed, check the endpoint"
    elif reason is Reason.RATE_LIMITED and retry_after is not None:
        message += f" – asks to wait {retry_after:.0f} s"
    return Failure(reason, message, retry_after=retry_after, clock_skew=clock_skew)


def _reason(status: int) -> Reason:
    if status in (401, 403):
        return Reason.AUTH
    if status == 429:
        return Reason.RATE_LIMITED
    if 400 <= status < 500:
        return Reason.CLIENT_ERROR
    return Reason.SERVER_ERROR if status >= 500 else Reason.INVALID_RESPONSE


def check_content_type(content_type: str | None, clock_skew: float | None) -> None:
    """Raises `Failure` where a 200 says that it is something else than JSON: a proxy's page, most often."""
    kind = (content_type or JSON).partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        message = f"the API answered {_one_line(kind)} instead of JSON"
        raise Failure(Reason.INVALID_RESPONSE, message, clock_skew=clock_skew)


def from_exception(error: Exception) -> Failure:
    """The failure that an exception of `requests`, `urllib3` or the socket below them is."""
    causes = list(_causes(error))
    for kinds, reason, text in _TABLE:
        for cause in causes:
            if isinstance(cause, kinds):
                return Failure(reason, text + _detail(causes, cause) if text.endswith(": ") else text)
    return Failure(Reason.CONNECTION, f"the request failed: {_one_line(str(causes[-1])) or type(error).__name__}")


_TABLE: tuple[tuple[tuple[type[BaseException], ...], Reason, str], ...] = (
    ((urllib3_exceptions.NameResolutionError,), Reason.CONNECTION, "the name of the API's host cannot be resolved"),
    ((requests.exceptions.SSLError, urllib3_exceptions.SSLError), Reason.CONNECTION, "TLS failed: "),
    (
        (requests.exceptions.ProxyError, urllib3_exceptions.ProxyError),
        Reason.CONNECTION,
        "the proxy cannot be used: ",
    ),
    ((ConnectionRefusedError,), Reason.CONNECTION, "the API's host refused the connection"),
    # Before time-outs: urllib3 derives it from one of them.
    ((urllib3_exceptions.NewConnectionError,), Reason.CONNECTION, "no connection to the API's host: "),
    (
        (requests.exceptions.Timeout, urllib3_exceptions.TimeoutError, TimeoutError),
        Reason.TIMEOUT,
        "no answer in time",
    ),
    ((RemoteDisconnected,), Reason.CONNECTION, "the API closed the connection without an answer"),
    ((urllib3_exceptions.IncompleteRead, ConnectionError), Reason.CONNECTION, "the connection broke: "),
    (
        (requests.exceptions.ContentDecodingError, urllib3_exceptions.DecodeError),
        Reason.INVALID_RESPONSE,
        "the API answered with a content encoding that cannot be undone",
    ),
    ((urllib3_exceptions.InvalidChunkLength,), Reason.CONNECTION, "the connection broke in the middle of the answer"),
    ((HTTPException, urllib3_exceptions.InvalidHeader), Reason.INVALID_RESPONSE, "the API did not answer in HTTP: "),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it wraps, outermost first: libraries keep it in `reason`, `args` or `__context__`."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        cause = pending.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]
        pending.extend(item for item in inner if isinstance(item, BaseException))


def _detail(causes: list[BaseException], cause: BaseException) -> str:
    """The most exact words: those of the innermost OSError, where there is one, else of the cause itself."""
    inner = [item for item in causes if isinstance(item, OSError) and not isinstance(item, requests.RequestException)]
    source = inner[-1] if inner else cause
    text = source.strerror if isinstance(source, OSError) and source.strerror else str(source)
    return _one_line(text) or type(source).__name__


def words(body: bytes) -> str:
    """What an error answer says, as one line without markup or credentials; empty where it says nothing.

    Understands RFC 9457 (`title`, `detail`, `errors` of texts or objects), `{"message"}`, `{"error"}`, HTML and text.
    """
    text = body.decode(errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        if "<" in text:
            text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<!--.*?-->|<[^>]*>", " ", text)
            text = unescape(text)
        return _one_line(text)
    return _one_line(": ".join(dict.fromkeys(_said(document))))


def _said(document: object) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key in ("title", "detail", "message", "error", "reason"):
            if isinstance(document.get(key), str | dict):
                yield from _said(document[key])
        errors = document.get("errors")
        for error in errors[:5] if isinstance(errors, list) else ():
            yield from _said(error)


def _one_line(text: str) -> str:
    text = _AUTHORIZATION.sub("…", text)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 1] + "…"

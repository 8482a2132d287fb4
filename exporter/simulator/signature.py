"""EXO2-HMAC-SHA256, the verifier's side. Written apart from the library that signs, so that each checks the other."""

import base64
import hashlib
import hmac
import re
from urllib.parse import parse_qs, urlsplit

_HEADER = re.compile(
    r"EXO2-HMAC-SHA256 credential=(?P<key>[^,]+)(?:,signed-query-args=(?P<args>[^,]*))?"
    r",expires=(?P<expires>\d{1,12}),signature=(?P<signature>[A-Za-z0-9+/=]+)"
)


def sign(method: str, target: str, body: bytes, expires: int, secret: str) -> str:
    """The signature of a request for `target` (path and query) whose every query argument is signed."""
    url = urlsplit(target)
    arguments = parse_qs(url.query, keep_blank_values=True)
    values = "".join(arguments[name][0] for name in sorted(arguments))
    message = b"\n".join(
        (f"{method} {url.path}".encode(), body, values.encode(), b"", str(expires).encode()),
    )
    return base64.b64encode(hmac.digest(secret.encode(), message, hashlib.sha256)).decode()


def is_valid(authorization: str, method: str, target: str, body: bytes, key: str, secret: str, now: float) -> bool:
    """Whether the header `Authorization` proves that the sender knows the secret, and has not expired at `now`."""
    match = _HEADER.fullmatch(authorization)
    if not match or not hmac.compare_digest(match["key"], key) or int(match["expires"]) < now:
        return False
    signed = match["args"].split(";") if match["args"] else []
    if sorted(signed) != sorted(parse_qs(urlsplit(target).query, keep_blank_values=True)):
        return False
    expected = sign(method, target, body, int(match["expires"]), secret)
    return hmac.compare_digest(match["signature"], expected)

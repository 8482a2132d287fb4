"""The faults that are a whole answer and no more: name → what it is, status, body, content type, headers."""

import json

JSON = "application/json"


def _problem(status: int, title: str, detail: str) -> bytes:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps({**problem, "errors": ["visibility: unknown", {"detail": "see documentation"}]}).encode()


_HTML = b"<html><head><style>b{}</style></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>"
_LISTED = b'{"deployments":[{"name":"a","state":"ready","model":{}}'
Answer = tuple[str, int, bytes, str, dict[str, str]]
ANSWERS: dict[str, Answer] = {
    "301": ("redirects for good", 301, b"", "text/plain", {"Location": "https://elsewhere.example/v2/ai/deployment"}),
    "302": ("redirects", 302, b"", "text/plain", {"Location": "/login"}),
    "400": ("bad request, RFC 9457", 400, _problem(400, "Bad Request", "Invalid visibility"), JSON, {}),
    "401": ("not authorized", 401, b'{"error":"unauthorized"}', JSON, {}),
    "403-signature": ("wrong signature", 403, b'{"message":"Invalid request signature"}', JSON, {}),
    "403-role": ("denied by the IAM role", 403, b'{"message":"Forbidden by role policy for ai"}', JSON, {}),
    "403-disabled": ("product off", 403, b'{"message":"Dedicated Inference is not enabled"}', JSON, {}),
    "404": ("not found", 404, b'{"message":"Not Found"}', JSON, {}),
    "409": ("conflict", 409, b'{"message":"Conflict"}', JSON, {}),
    "418": ("teapot, as text", 418, b"I'm a teapot", "text/plain", {}),
    "429": ("too many requests", 429, b'{"error":"Too many requests"}', JSON, {}),
    "429-retry-after": ("too many requests, wait 30 s", 429, b'{"error":"slow down"}', JSON, {"Retry_After": "30"}),
    "429-retry-after-short": ("too many requests, wait 1 s", 429, b'{"error":"wait"}', JSON, {"Retry_After": "1"}),
    "429-retry-after-odd": ("too many requests, odd date", 429, b'{"error":"slow"}', JSON, {"Retry_After": "soon"}),
    "500": ("internal error", 500, b'{"message":"Internal Server Error"}', JSON, {}),
    "501": ("not implemented", 501, b'{"message":"Not Implemented"}', JSON, {}),
    "502": ("bad gateway, as HTML", 502, _HTML, "text/html", {}),
    "503": ("unavailable", 503, b"Service Unavailable", "text/plain", {}),
    "503-retry-after": ("unavailable, wait 30 s", 503, b"Service Unavailable", "text/plain", {"Retry_After": "30"}),
    "504": ("gateway timeout", 504, b"", "text/plain", {}),
    "204": ("no content", 204, b"", JSON, {}),
    "empty-body": ("200 without a body", 200, b"", JSON, {}),
    "html": ("200 with a page", 200, b"<html><body>Welcome</body></html>", "text/html", {}),
    "html-as-json": ("200 with a page that says it is JSON", 200, b"<html><body>Welcome</body></html>", JSON, {}),
    "wrong-content-type": ("200 with a listing that says it is HTML", 200, _LISTED + b"]}", "text/html", {}),
    "truncated-json": ("200 with half a listing", 200, _LISTED, JSON, {}),
    "top-level-list": ("200 with a list", 200, b"[]", JSON, {}),
    "top-level-text": ("200 with a text", 200, b'"deployments"', JSON, {}),
    "deployments-null": ("200 with null for the list", 200, b'{"deployments":null}', JSON, {}),
    "deployments-missing": ("200 without the list", 200, b"{}", JSON, {}),
    "deployments-object": ("200 with an object for the list", 200, b'{"deployments":{}}', JSON, {}),
    "deep-json": ("200 with JSON nested 100,000 deep", 200, b'{"deployments":' + b"[" * 100_000, JSON, {}),
    "invalid-utf8": ("200 with bytes that are no text", 200, b'{"deployments":[],"x":"\xff"}', JSON, {}),
    "nan": ("200 with NaN", 200, b'{"deployments":[{"name":"a","replicas":NaN}]}', JSON, {}),
    "duplicate-keys": ("200 with a key given twice", 200, b'{"deployments":[],"deployments":[]}', JSON, {}),
}

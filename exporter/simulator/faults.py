"""What can go wrong with an API, each by a name.

A fault is a function of the request's handler. It answers in its own way, or changes how the request is answered.
Waiting ends when the client goes away, so that no fault keeps a thread for longer than its client wants it.
"""

import functools
import gzip
import json
import time
from collections.abc import Callable
from email.utils import formatdate

from exporter.simulator.answers import ANSWERS
from exporter.simulator.wire import Request, answer_with, begin, client_leaves, close, drip, send_half

Fault = Callable[[Request], None]
NONE = "none"
ENDPOINTS_DOWN = "endpoints-down"
FAULTS: dict[str, Fault] = {}
"""All faults by name; the docstring of each says what it does."""


def _named(name: str, does: str) -> Callable[[Fault], Fault]:
    def register(fault: Fault) -> Fault:
        fault.__doc__ = does
        FAULTS[name] = fault
        return fault

    return register


def get(name: str) -> Fault:
    """The fault of this name; `delay=SECONDS` is one for every number. Raises `KeyError` where there is none."""
    if name.startswith("delay="):
        try:
            seconds = float(name.removeprefix("delay="))
        except ValueError:
            raise KeyError(name) from None
        return lambda request: _delay(request, seconds)
    return FAULTS[name]


def _delay(request: Request, seconds: float) -> None:
    if not client_leaves(request, seconds):
        answer_with(request, request.listing)


@_named(NONE, "answers as it should")
def _none(request: Request) -> None:
    answer_with(request, request.listing)


@_named(ENDPOINTS_DOWN, "lists as it should, while the models' endpoints do not answer")
def _endpoints_down(request: Request) -> None:
    answer_with(request, request.listing)


@_named("hang", "accepts the request and never answers")
def _hang(request: Request) -> None:
    client_leaves(request, 3600)
    close(request)


@_named("drip-headers", "sends the headers a byte a second")
def _drip_headers(request: Request) -> None:
    drip(request, (bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"), 1)
    close(request)


@_named("endless-headers", "sends a header of more and more bytes, without an end")
def _endless_headers(request: Request) -> None:
    request.handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: ")
    drip(request, (b"x" * 100 for _ in range(100_000)), 0.2)
    close(request)


@_named("many-headers", "sends ten thousand headers at once")
def _many_headers(request: Request) -> None:
    begin(request, *(f"X-Header-{number}: x" for number in range(10_000)), length=0)
    close(request)


@_named("drip-body", "sends the body a byte a second")
def _drip_body(request: Request) -> None:
    body = begin(request, length=len(json.dumps(request.listing)))
    drip(request, (bytes([byte]) for byte in body), 1)
    close(request)


@_named("stop-mid-body", "sends half of the body and then nothing")
def _stop_mid_body(request: Request) -> None:
    send_half(request)
    _hang(request)


@_named("stop-without-length", "sends half of a body without a length, and then nothing")
def _stop_without_length(request: Request) -> None:
    send_half(request, "Connection: close", with_length=False)
    _hang(request)


@_named("close-before-headers", "closes the connection without an answer")
def _close_before_headers(request: Request) -> None:
    close(request)


@_named("reset-before-headers", "resets the connection without an answer")
def _reset_before_headers(request: Request) -> None:
    close(request, reset=True)


@_named("reset-mid-body", "resets the connection in the middle of the body")
def _reset_mid_body(request: Request) -> None:
    send_half(request)
    close(request, reset=True)


@_named("close-mid-body", "closes the connection in the middle of the body")
def _close_mid_body(request: Request) -> None:
    send_half(request)
    close(request)


@_named("broken-chunks", "sends a chunked body whose chunks make no sense")
def _broken_chunks(request: Request) -> None:
    body = begin(request, "Transfer-Encoding: chunked")
    request.handler.wfile.write(b"%x\r\n%s\r\nzz\r\n" % (len(body) // 2, body[: len(body) // 2]))
    close(request)


@_named("not-http", "answers in a language that is not HTTP")
def _not_http(request: Request) -> None:
    request.handler.wfile.write(b"220 mail.example ESMTP ready\r\n")
    close(request)


@functools.cache
def _gzipped_blanks() -> bytes:
    return gzip.compress(b" " * 2**24)


@_named("gzip-bomb", "sends a small body that unpacks to a gigabyte")
def _gzip_bomb(request: Request) -> None:
    request.answer(200, _gzipped_blanks() * 64, Content_Encoding="gzip")


@_named("broken-gzip", "says gzip and sends something else")
def _broken_gzip(request: Request) -> None:
    request.answer(200, b"not gzip at all", Content_Encoding="gzip")


@_named("bracket-flood", "sends ten million empty entries")
def _bracket_flood(request: Request) -> None:
    request.answer(200, b'{"deployments":[' + b"{}," * 9_999_999 + b"{}]}")


@_named("endless-500", "answers 500 with a body that does not end")
def _endless_error(request: Request) -> None:
    _endless(request, "500 Internal Server Error")


@_named("endless-302", "redirects with a body that does not end")
def _endless_redirect(request: Request) -> None:
    _endless(request, "302 Found", "Location: /login")


def _endless(request: Request, status: str, *headers: str) -> None:
    head = (f"HTTP/1.1 {status}", "Content-Type: text/plain", *headers, "", "")
    request.handler.wfile.write("\r\n".join(head).encode())
    drip(request, (b"oops " for _ in range(100_000)), 0.2)
    close(request)


@_named("clock-skew", "answers well, with a clock that is ten minutes behind")
def _clock_skew(request: Request) -> None:
    request.answer(200, json.dumps(request.listing).encode(), Date=formatdate(time.time() - 600, usegmt=True))


@_named("403-clock", "refuses the signature, with a clock that is ten minutes behind")
def _clock_403(request: Request) -> None:
    body = b'{"message":"Invalid request signature"}'
    request.answer(403, body, Date=formatdate(time.time() - 600, usegmt=True))


@_named("echo-credentials", "refuses the request and repeats its Authorization header")
def _echo_credentials(request: Request) -> None:
    said = f"cannot accept {request.handler.headers['Authorization']}"
    request.answer(403, json.dumps({"message": said}).encode())


@_named("invalid-entry", "lists an entry more, which cannot be read")
def _invalid_entry(request: Request) -> None:
    entries = [*request.listing.get("deployments", []), {"name": 42, "state": ["ready"]}]
    answer_with(request, {"deployments": entries})


@_named("unknown-state", "shows every deployment in a state that is new to the exporter")
def _unknown_state(request: Request) -> None:
    entries = request.listing.get("deployments", [])
    answer_with(request, {"deployments": [{**entry, "state": "hibernating"} for entry in entries]})


@_named("no-deployments", "lists no deployments")
def _no_deployments(request: Request) -> None:
    answer_with(request, {"deployments": []})


def _register_answers() -> None:
    """The faults that are an answer and no more."""
    for name, (does, status, body, content_type, headers) in ANSWERS.items():

        def fault(
            request: Request,
            status: int = status,
            body: bytes = body,
            content_type: str = content_type,
            headers: dict[str, str] = headers,
        ) -> None:
            request.answer(status, body, content_type, **headers)

        _named(name, does)(fault)


_register_answers()

"""How the simulator speaks when it does not speak as it should: piece by piece."""

import json
import select
import socket
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from exporter.simulator.answers import JSON


class Request(Protocol):
    """What a fault gets: the handler of a request, and the answer that it would have got."""

    listing: dict[str, Any]

    @property
    def handler(self) -> BaseHTTPRequestHandler: ...

    def answer(self, status: int, body: bytes, content_type: str = JSON, **headers: str) -> None:
        """Sends a whole answer. In the names of headers `_` stands for `-`."""


def answer_with(request: Request, listing: object) -> None:
    """Answers well, with this listing."""
    request.answer(200, json.dumps(listing).encode())


def client_leaves(request: Request, within: float) -> bool:
    """Waits `within` seconds, or less where the client closes the connection: then it is True."""
    return bool(select.select([request.handler.connection], [], [], within)[0])


def begin(request: Request, *headers: str, length: int | None = None) -> bytes:
    """Sends the status line and headers of a 200, and returns the listing that should follow."""
    body = json.dumps(request.listing).encode()
    head = ["HTTP/1.1 200 OK", f"Content-Type: {JSON}", *headers]
    if length is not None:
        head.append(f"Content-Length: {length}")
    request.handler.wfile.write("\r\n".join((*head, "", "")).encode())
    return body


def send_half(request: Request, *headers: str, with_length: bool = True) -> None:
    """Sends a 200 with the first half of the listing."""
    body = begin(request, *headers, length=len(json.dumps(request.listing)) if with_length else None)
    request.handler.wfile.write(body[: len(body) // 2])


def drip(request: Request, data: Iterator[bytes], pause: float) -> None:
    """Sends piece after piece, with a pause in seconds after each, until the client closes the connection."""
    for piece in data:
        request.handler.wfile.write(piece)
        if client_leaves(request, pause):
            return


def close(request: Request, *, reset: bool = False) -> None:
    """Has the connection closed after this request, or reset."""
    connection = request.handler.connection
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.handler.close_connection = True

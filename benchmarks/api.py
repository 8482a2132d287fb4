"""An API that costs next to nothing: its answers are made beforehand. It runs in a process of its own."""

import argparse
import itertools
import json
import ssl
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STATES = ("ready", "ready", "ready", "ready", "ready", "ready", "ready", "scaling", "deploying", "error")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(number: int, update: int) -> dict[str, Any]:
    """One like the API's, all of its texts and dates its own, after an update at that second."""
    identifier = str(uuid.UUID(int=number << 64 | 0x4000_8000_0000_0000_0000))
    return {
        "id": identifier,
        "name": f"deployment-{number}",
        "state": STATES[number % len(STATES)],
        "model": {"id": str(uuid.UUID(int=number % 40)), "name": f"organization/model-{number % 40}-Instruct"},
        "visibility": "private",
        "gpu-count": 1 + number % 4,
        "gpu-type": ("gpua5000", "gpurtx6000pro", "gpu3")[number % 3],
        "replicas": number % 6,
        "service-level": "pro",
        "deployment-url": f"https://{identifier}.inference-ch-gva-2.exoscale-cloud.com/v1",
        "created-at": (BEGAN + timedelta(milliseconds=60_007 * number)).isoformat(timespec="milliseconds"),
        "updated-at": (BEGAN + timedelta(milliseconds=90_011 * number, seconds=update)).isoformat(
            timespec="milliseconds"
        ),
    }


def listing(deployments: int, update: int) -> bytes:
    """The answer of `list-deployments`."""
    return json.dumps({"deployments": [deployment(number, update) for number in range(deployments)]}).encode()


class Api(ThreadingHTTPServer):
    """Answers with its listings, which take turns on each connection, after `delay` seconds; knows what came before."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, deployments: int, listings: int, delay: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.listings = [listing(deployments, update) for update in range(listings)]
        self.delay = delay
        self.counts = {"handshakes": 0, "requests": 0}
        self.lock = threading.Lock()
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's thread, so that no handshake makes another one wait.
        if self._tls:
            request = self._tls.wrap_socket(request, server_side=True)
            self.counts["handshakes"] += 1
        super().finish_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """`/counts` is for the benchmark, everything else the API."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Api

    def setup(self) -> None:
        super().setup()
        self.listings = itertools.cycle(self.server.listings)

    def do_GET(self) -> None:
        if self.path == "/counts":
            body = json.dumps(self.server.counts).encode()
        else:
            body = next(self.listings)
            with self.server.lock:
                self.server.counts["requests"] += 1
            time.sleep(self.server.delay)
        head = f"HTTP/1.1 200 OK\r\nDate: {self.date_time_string()}\r\nContent-Type: application/json\r\n"
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Prints the base URL, and serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--deployments", type=int, required=True)
    parser.add_argument("--listings", type=int, default=2, help="different ones, that take turns")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--certificate", help="PEM file with a certificate and its key: HTTPS")
    flags = parser.parse_args()
    tls = None
    if flags.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(flags.certificate)
    api = Api(flags.deployments, flags.listings, flags.delay, tls)
    sys.stdout.write(f"{'https' if tls else 'http'}://127.0.0.1:{api.server_port}\n")
    sys.stdout.flush()
    api.serve_forever()


if __name__ == "__main__":
    main()

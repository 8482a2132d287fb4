"""The simulator's HTTP: `/{zone}/v2/…` on loopback, a path prefix standing for each zone's own host."""

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from exporter.simulator import faults, fleet, signature
from exporter.simulator.answers import JSON

_ENDPOINT = re.compile(r"/inference/(?P<zone>[a-z0-9-]+)/(?P<id>[^/]+)/v1(?:/models)?")
_PATH = re.compile(r"(?:/(?P<zone>[a-z0-9-]+))?/v2/(?P<operation>zone|ai/deployment)")


class Simulator:
    """An Exoscale API on a port of its own of the loopback interface. A context manager: it serves while it is open.

    `fleet` gives the deployments of a zone, by default those of `exporter.simulator.fleet`. `now` is the clock that
    moves it, in Unix time. With `tls`, it speaks HTTPS; the context may be exchanged while it runs.
    """

    key = "EXOdemo00000000000000000000"
    token = "demo-token"  # noqa: S105 - as little
    """What the model endpoints take as a bearer token."""
    secret = "demo-secret-of-the-simulator-000000000000000"  # noqa: S105 - opens nothing but this simulator

    def __init__(
        self,
        *,
        port: int = 0,
        zones: tuple[str, ...] = fleet.ZONES,
        deployments: Callable[[str, float, float], list[dict[str, Any]]] = fleet.deployments,
        now: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.zones = zones
        self.faults: dict[str, str] = {}
        self.requests: list[str] = []
        """Method and target of the latest requests."""
        self.connections = 0
        self._deployments = deployments
        self._now = now
        self._start = now()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"

    @property
    def endpoint(self) -> str:
        """For the configuration's `endpoint`."""
        return self.url + "/{zone}/v2"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def listing(self, zone: str, visibility: str | None) -> dict[str, Any]:
        """The answer of `list-deployments`. Without a visibility, all of them (the API's default is not documented).

        Where a deployment has no URL of its own, it gets that of an endpoint of the simulator's.
        """
        entries = [
            {"deployment-url": f"{self.url}/inference/{zone}/{entry['id']}/v1", **entry}
            if isinstance(entry, dict) and "id" in entry
            else entry
            for entry in self._deployments(zone, self._start, self._now() - self._start)
        ]
        if visibility is not None:
            entries = [entry for entry in entries if entry.get("visibility") == visibility]
        return {"deployments": entries}

    def zone_list(self) -> dict[str, Any]:
        """The answer of `list-zones`."""
        return {"zones": [{"name": zone, "api-endpoint": f"{self.url}/{zone}/v2"} for zone in self.zones]}

    def set_fault(self, zone: str, name: str) -> None:
        """Has every request for the zone meet the fault. Raises `KeyError` where there is no such zone or fault."""
        if zone not in self.zones:
            raise KeyError(zone)
        faults.get(name)
        self.faults[zone] = name

    def is_authorized(self, method: str, target: str, authorization: str) -> bool:
        return signature.is_valid(authorization, method, target, b"", self.key, self.secret, self._now())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], simulator: Simulator) -> None:
        super().__init__(address, _Handler)
        self.simulator = simulator

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news here: many faults are waited out that way."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    listing: dict[str, Any]
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    @property
    def handler(self) -> BaseHTTPRequestHandler:
        return self

    def setup(self) -> None:
        if self.server.simulator.tls:
            self.request = self.server.simulator.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.simulator.connections += 1

    def do_GET(self) -> None:
        simulator = self.server.simulator
        url = urlsplit(self.path)
        if url.path == "/faults":
            self._show_faults()
            return
        if endpoint := _ENDPOINT.fullmatch(url.path):
            self._answer_as_model(endpoint["zone"], endpoint["id"])
            return
        simulator.requests.append(f"{self.command} {self.path}")
        match = _PATH.fullmatch(url.path)
        zone = (match["zone"] if match else None) or simulator.zones[0]
        if match and match["operation"] == "zone":
            self.listing = simulator.zone_list()
        elif match and zone in simulator.zones:
            visibility = parse_qs(url.query).get("visibility", [None])[0]
            self.listing = simulator.listing(zone, visibility)
            if not simulator.is_authorized(self.command, self.path, self.headers["Authorization"] or ""):
                self.answer(403, b'{"message":"Invalid request signature"}')
                return
        else:
            self.answer(404, b'{"message":"Not Found"}')
            return
        faults.get(simulator.faults.get(zone, faults.NONE))(self)

    def _answer_as_model(self, zone: str, identifier: str) -> None:
        """An endpoint in the way of the OpenAI API: it wants a token, and is there while its deployment is ready."""
        simulator = self.server.simulator
        entries = simulator.listing(zone, None)["deployments"]
        ready = any(entry["id"] == identifier and entry["state"] == "ready" for entry in entries)
        if simulator.faults.get(zone) == faults.ENDPOINTS_DOWN:
            self.close_connection = True
        elif not ready:
            self.answer(503, b'{"error":{"message":"no model is loaded"}}')
        elif self.headers["Authorization"] != f"Bearer {simulator.token}":
            self.answer(401, b'{"error":{"message":"Invalid API key"}}')
        else:
            self.answer(200, b'{"object":"list","data":[]}')

    def do_PUT(self) -> None:
        zone = urlsplit(self.path).path.removeprefix("/faults/")
        name = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode(errors="replace").strip()
        try:
            self.server.simulator.set_fault(zone, name)
        except KeyError:
            self.answer(404, b"No such zone or no such fault: GET /faults shows them.\n", "text/plain")
        else:
            self._show_faults()

    def do_DELETE(self) -> None:
        self.server.simulator.faults.pop(urlsplit(self.path).path.removeprefix("/faults/"), None)
        self._show_faults()

    def _show_faults(self) -> None:
        known = {name: fault.__doc__ for name, fault in faults.FAULTS.items()}
        shown = {"zones": self.server.simulator.zones, "current": self.server.simulator.faults, "faults": known}
        self.answer(200, json.dumps(shown, indent=2).encode() + b"\n")

    def answer(self, status: int, body: bytes, content_type: str = JSON, **headers: str) -> None:
        self.send_response_only(status)
        shown = {"Date": self.date_time_string(), "Content-Type": content_type, "Content-Length": str(len(body))}
        shown.update((name.replace("_", "-"), value) for name, value in headers.items())
        for name, value in shown.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the exporter's log is the one to read."""

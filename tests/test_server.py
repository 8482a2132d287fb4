"""The server against clients that are broken, slow or hostile, on the plain and on the TLS port."""

import contextlib
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from exporter import server
from exporter.cli import main
from exporter.errors import ListenError
from exporter.simulator.server import Simulator
from tests import tls
from tests.harness import Exporter, configuration, credentials, eventually, running

STALLED = 1000


@pytest.fixture(params=["http", "https"])
def exporter(request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path) -> Iterator[Exporter]:
    web_config = None
    if request.param == "https":
        tls.make(tmp_path)
        web_config = tmp_path / "web.yml"
        web_config.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    server.allow_many_connections()
    with Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator), web_config=web_config) as exporter:
        exporter.session.verify = str(tmp_path / "ca.crt")
        yield exporter


def spoken(exporter: Exporter, request: bytes) -> bytes:
    """All that comes back for these bytes until the server closes the connection, or has nothing to say for a while."""
    with exporter.connect() as plain:
        connection = plain
        if exporter.url.startswith("https"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(plain)
        connection.settimeout(3)
        answer = b""
        with connection, contextlib.suppress(OSError):
            connection.sendall(request)
            while piece := connection.recv(65536):
                answer += piece
                if b"Connection: keep-alive" in request and b"\r\n\r\n" in answer:
                    break
        return answer


def request_for(target: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers, "", "")).encode()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x00\x00garbage\r\n\r\n", b"400"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /-/healthy HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /-/healthy HTTP/1.0\r\n\r\n", b"200"),
        (request_for("/-/healthy", "X-Padding: " + "x" * 17_000).rstrip(), b"400"),
        (request_for("/-/healthy", *(f"X-{n}: {'x' * 100}" for n in range(160))).rstrip(), b"400"),
        (request_for("/-/healthy", "Content-Length: nonsense"), b"400"),
        (request_for("/-/healthy", "Content-Length: -1"), b"400"),
        (request_for("/-/healthy", "Transfer-Encoding: chunked") + b"zz\r\n", b"400"),
        (request_for("/-/healthy", "Content-Length: 5") + b"hello", b"200"),
        (request_for("/-/healthy", "Upgrade: websocket", "Connection: upgrade"), b"200"),
        (request_for("/-/healthy", "Upgrade: h2c", "Connection: upgrade, HTTP2-Settings"), b"200"),
        (request_for("/-/healthy", method="bad method"), b"400"),
        (request_for("/-/healthy", method="GE\x00T"), b"400"),
        (request_for("/-/healthy", method="CONNECT"), b"405"),
        (request_for("http://anything.example/-/healthy"), b"200"),
        (request_for("https://anything.example:1/-/healthy?x=1"), b"200"),
        (request_for("http://anything.example"), b"200"),
        (request_for("*", method="OPTIONS"), b"4"),
        (request_for("../../etc/passwd"), b"404"),
        (request_for("/../../etc/passwd"), b"404"),
        (request_for("/%2e%2e/%2e%2e/etc/passwd"), b"404"),
        (request_for("/-/healthy/%00"), b"404"),
        (request_for("/%ff%fe"), b"404"),
        (request_for("/" + "x" * 30_000), b"404"),
        (request_for("/metrics?" + "name[]=x&" * 3000), b"200"),
        (request_for("/metrics?%ff=%ff&name[]=%ff"), b"200"),
        (request_for("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 1e309"), b"200"),
        (request_for("/metrics", "Accept: " + "application/openmetrics-text;version=" + "9" * 5000), b"200"),
        (request_for("/metrics", "Accept-Encoding: " + "gzip;q=" * 1000), b"200"),
    ],
    ids=lambda value: repr(value[:48]) if len(value) > 4 else value.decode(),
)
def test_an_odd_request_gets_a_clean_answer(
    exporter: Exporter, request_bytes: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = spoken(exporter, request_bytes)
    assert answer.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status)), answer[:200]
    assert b"Traceback" not in answer
    assert "Traceback" not in caplog.text
    assert exporter.get("/-/healthy").status_code == 200


def test_headers_that_go_on_and_on_end_with_the_connection(exporter: Exporter) -> None:
    # The server closes it before it has read everything, which can cost the client the answer, too.
    answer = spoken(exporter, request_for("/-/healthy", "X-Padding: " + "x" * 2_000_000))
    assert answer[:12] in (b"HTTP/1.1 400", b"")
    assert exporter.get("/-/healthy").status_code == 200


class Stalled:
    """Connections that say nothing, begin a request and stop, or go on with it byte by byte."""

    def __init__(self, exporter: Exporter, count: int) -> None:
        self.connections = [exporter.connect() for _ in range(count)]
        self._stop = threading.Event()
        for connection in self.connections[1::3]:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        self._dripping = threading.Thread(target=self._drip)
        self._dripping.start()

    def _drip(self) -> None:
        while not self._stop.wait(1):
            for connection in self.connections[2::3]:
                with contextlib.suppress(OSError):
                    connection.sendall(b"G")

    def closed(self) -> int:
        """How many the server has closed."""
        count = 0
        for connection in self.connections:
            connection.setblocking(False)
            try:
                connection.recv(4096)
                count += 1
            except BlockingIOError:
                pass
            except OSError:
                count += 1
        return count

    def close(self) -> None:
        self._stop.set()
        self._dripping.join()
        for connection in self.connections:
            connection.close()


def latency(exporter: Exporter, path: str) -> float:
    """The median of some requests, each on a connection of its own, in seconds."""
    taken = []
    for _ in range(9):
        started = time.monotonic()
        response = requests.get(exporter.url + path, verify=exporter.session.verify, timeout=5)
        taken.append(time.monotonic() - started)
        assert response.status_code == 200
    return statistics.median(taken)


def test_a_thousand_stalled_connections_hold_up_no_one_and_are_closed(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 5)
    alone = {path: latency(exporter, path) for path in ("/-/healthy", "/metrics")}
    stalled = Stalled(exporter, STALLED)
    try:
        beside = {path: latency(exporter, path) for path in ("/-/healthy", "/metrics")}
        print(f"latency in seconds, alone {alone}, beside {STALLED} stalled connections {beside}")  # noqa: T201
        assert max(beside.values()) < 1
        eventually(lambda: stalled.closed() == STALLED, within=20)
    finally:
        stalled.close()


def test_a_request_that_drips_is_ended_although_bytes_keep_coming(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.5)
    with (
        Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter,
        exporter.connect() as connection,
    ):
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 5:
                connection.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - started < 2


def test_a_body_that_drips_after_the_answer_is_ended_too(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.5)
    with (
        Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter,
        exporter.connect() as connection,
    ):
        started = time.monotonic()
        connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 5:
                connection.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - started < 2


def test_an_idle_connection_between_scrapes_is_kept(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.3)
    with (
        Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter,
        exporter.connect() as connection,
    ):
        for _ in range(3):
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"Healthy.\n"):
                piece = connection.recv(4096)
                assert piece, "the connection was closed"
                answer += piece
            time.sleep(0.5)


def test_a_scrape_that_takes_longer_than_a_request_may_is_not_ended(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.3)
    simulator.set_fault("ch-gva-2", "delay=1")
    with Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter:
        assert exporter.scrape().total("exoscale_ai_up") == 1


def test_a_client_that_takes_nothing_of_its_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WRITE_SECONDS", 0.5)
    many = [{"name": f"deployment-{n}", "state": "ready", "model": {"name": "m" * 500}} for n in range(3000)]
    with (
        Simulator(deployments=lambda *_: many) as simulator,
        Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter,
        socket.socket() as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(exporter.address)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(10)
        time.sleep(4)
        received = 0
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(2**20):
                received += len(piece)
        complete = len(exporter.get("/metrics").content)
    assert received < complete


# Addresses


def test_several_addresses(simulator: Simulator) -> None:
    with running("--web.listen-address=127.0.0.1:0", **credentials(simulator)) as (_, _url, lines):
        first, second = lines[0].partition("address=")[2].split(" ")[0].split(",")
        assert first != second
        for url in (first, second):
            assert requests.get(url + "-/healthy", timeout=5).text == "Healthy.\n"


def test_ipv6() -> None:
    (listening,) = server.listen(["[::1]:0"])
    with listening, socket.create_connection(listening.getsockname()[:2]):
        assert server.url(listening).startswith("http://[::1]:")


def test_all_addresses_are_ipv4_and_ipv6() -> None:
    (listening,) = server.listen([":0"])
    port = listening.getsockname()[1]
    with listening:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port)):
                pass
        assert server.url(listening) == f"http://localhost:{port}/"
        assert server.url(listening, "https") == f"https://localhost:{port}/"


def test_a_name_is_an_address_too() -> None:
    (listening,) = server.listen(["localhost:0"])
    listening.close()


def test_one_bad_address_leaves_none_open() -> None:
    (taken,) = server.listen(["127.0.0.1:0"])
    with taken, pytest.raises(ListenError, match="Address already in use"):
        server.listen(["127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"])


def test_a_busy_port_ends_the_demo_with_1_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    (taken,) = server.listen(["127.0.0.1:0"])
    with taken:
        assert main(["--demo", "--web.listen-address", f"127.0.0.1:{taken.getsockname()[1]}"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("Address already in use")

"""What is measured, each in a process of its own: started, asked, weighed."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests

ROOT = Path(__file__).parent.parent
MIB = 2**20
KEY = {"EXOSCALE_API_KEY": "EXObenchmark", "EXOSCALE_API_SECRET": "benchmark"}


class Served:
    """A server's process and a connection to it, kept alive as Prometheus keeps its own."""

    def __init__(self, pid: int, url: str) -> None:
        self.url = url
        self._pid = pid
        self._process = Path(f"/proc/{pid}")
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        self._buffer = bytearray(2**18)
        self._others: list[Served] = []

    def get(self, path: str = "/metrics") -> bytes:
        """A whole answer. Raises `AssertionError` where its status is not 200."""
        return self._request(path).read()

    def seconds(self, path: str = "/metrics") -> float:
        """From the first byte sent to the last one received, which are not kept: that would cost time of its own."""
        began = time.perf_counter()
        response = self._request(path)
        while response.readinto(self._buffer):
            pass
        return time.perf_counter() - began

    def _request(self, path: str) -> http.client.HTTPResponse:
        self._connection.request("GET", path, headers={"X-Prometheus-Scrape-Timeout-Seconds": "100"})
        response = self._connection.getresponse()
        assert response.status == 200, response.read(200)
        return response

    def beside(self) -> "Served":
        """The same, with a connection of its own."""
        self._others.append(Served(self._pid, self.url))
        return self._others[-1]

    def close(self) -> None:
        """Ends the connections."""
        self._connection.close()
        for other in self._others:
            other.close()

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self, field: str = "VmRSS") -> int:
        """Bytes of memory: now, or `VmHWM`, the most since `forget_peak`."""
        found = re.search(rf"{field}:\s+(\d+) kB", (self._process / "status").read_text())
        assert found
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        """VmHWM begins anew (proc(5), clear_refs)."""
        (self._process / "clear_refs").write_text("5")


@contextlib.contextmanager
def running(command: Sequence[str | Path], url: str = "", **environ: str) -> Iterator[Served]:
    """A server's process. Where it does not print its URL, this is it; it may take a moment until somebody answers."""
    output = None if url else subprocess.PIPE
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("EXOSCALE_", "COVERAGE_"))}
    process = subprocess.Popen(
        command,
        stdout=output or subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**clean, **environ},
        cwd=ROOT,
    )
    try:
        if process.stdout:
            url = process.stdout.readline().strip()
        wait_for(urlsplit(url).netloc)
        with contextlib.closing(Served(process.pid, url)) as served:
            yield served
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_for(address: str) -> None:
    """Until somebody listens at HOST:PORT."""
    host, _, port = address.partition(":")
    for _ in range(2000):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(port))):
            return
        time.sleep(0.005)
    raise AssertionError(f"nothing listens at {address}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def api(deployments: int, *options: str) -> contextlib.AbstractContextManager[Served]:
    """An API with as many deployments in every zone."""
    return running([sys.executable, "-m", "benchmarks.api", f"--deployments={deployments}", *options])


@contextlib.contextmanager
def exporter(endpoint: str, zones: int = 1, **environ: str) -> Iterator[Served]:
    """The exporter of as many zones of the API."""
    names = ", ".join(f"zz-aaa-{number}" for number in range(zones))
    scrape = "{timeout: 100s, max_response_bytes: 1073741824}"
    text = f"accounts: [{{name: a, endpoint: '{endpoint}/{{zone}}/v2', zones: [{names}]}}]\nscrape: {scrape}\n"
    address = f"127.0.0.1:{free_port()}"
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        config.write(text)
        config.flush()
        flags = [f"--config.file={config.name}", f"--web.listen-address={address}"]
        command = [sys.executable, "-m", "exporter", *flags]
        with running(command, f"http://{address}", **KEY, **environ) as served:
            yield served


def stock(endpoint: str) -> contextlib.AbstractContextManager[Served]:
    """The usual way."""
    return running([sys.executable, "-m", "benchmarks.stock", f"{endpoint}/zz-aaa-0/v2/ai/deployment"])


@contextlib.contextmanager
def pushgateway(exposition: bytes) -> Iterator[Served]:
    """Debian's, which holds what the exporter said of deployments."""
    program = shutil.which("prometheus-pushgateway")
    if program is None:
        raise SystemExit("prometheus-pushgateway is not installed (Debian has it); the benchmark needs it")
    address = f"127.0.0.1:{free_port()}"
    with running([program, f"--web.listen-address={address}"], f"http://{address}") as served:
        pushed = [line for line in exposition.splitlines(keepends=True) if b"exoscale_ai_deployment_" in line]
        put = requests.put(f"http://{address}/metrics/job/benchmark", data=b"".join(pushed), timeout=300)
        put.raise_for_status()
        yield served


def counts(api: Served, ca: Path | None = None) -> dict[str, int]:
    """TLS handshakes and requests that the API has had before this one."""
    answer: dict[str, int] = requests.get(f"{api.url}/counts", verify=str(ca) if ca else True, timeout=10).json()
    return answer

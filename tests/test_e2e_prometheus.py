"""A real Prometheus scrapes the exporter, and its own checker judges the metrics."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.simulator import fleet
from exporter.simulator.server import Simulator
from tests.harness import Exporter, configuration, eventually, program

pytestmark = pytest.mark.e2e

START = 1777887720.0
GOLDEN = Path(__file__).parent / "data" / "golden"


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """An instant vector: labels → value."""
        response = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=5).json()
        return {
            frozenset((k, v) for k, v in series["metric"].items() if k not in ("__name__", "instance", "job")): float(
                series["value"][1]
            )
            for series in response["data"]["result"]
        }

    def value(self, expression: str) -> float | None:
        return next(iter(self.query(expression).values()), None)

    def target(self) -> dict[str, Any]:
        """The target's health and last error; the health is unknown until it was scraped."""
        targets = requests.get(f"{self.url}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
        return dict(targets[0]) if targets else {"health": "unknown"}


@contextmanager
def prometheus(exporter: Exporter, folder: Path) -> Iterator[Prometheus]:
    """Debian's Prometheus, which scrapes the exporter every second."""
    command = program("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = exporter.url.removeprefix("http://")
    jobs = [{"job_name": "exoscale-ai", "static_configs": [{"targets": [target]}]}]
    settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    process = subprocess.Popen(
        [
            command,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _answers(server.url), within=30)
        eventually(lambda: server.target()["health"] != "unknown", within=30)
        yield server
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=1).status_code == 200
    except requests.ConnectionError:
        return False


def test_prometheus_has_the_fleet(tmp_path: Path) -> None:
    clock = [START]
    with (
        Simulator(now=lambda: clock[0]) as simulator,
        Exporter(configuration("accounts: [{name: demo}]", simulator)) as exporter,
        prometheus(exporter, tmp_path) as server,
    ):
        for elapsed in (0, 100):
            clock[0] = START + elapsed
            entries = [
                (zone, entry)
                for zone in fleet.ZONES
                for entry in fleet.deployments(zone, START, elapsed)
                if entry["visibility"] == "private"
            ]

            def gpus(entries: list[tuple[str, dict[str, Any]]] = entries) -> bool:
                held = sum(entry["gpu-count"] * entry["replicas"] for _, entry in entries)
                metrics = "exoscale_ai_deployment_gpu_count_per_replica * exoscale_ai_deployment_replicas"
                return bool(server.value(f"sum({metrics})") == held)

            eventually(gpus, within=30)
            states = server.query("count by (state) (exoscale_ai_deployment_state == 1)")
            expected: dict[frozenset[tuple[str, str]], float] = {}
            for _, entry in entries:
                key = frozenset({("state", entry["state"])})
                expected[key] = expected.get(key, 0) + 1
            assert states == expected
            replicas = server.query("sum by (zone) (exoscale_ai_deployment_replicas)")
            for zone in fleet.ZONES:
                held = sum(entry["replicas"] for entry_zone, entry in entries if entry_zone == zone)
                assert replicas[frozenset({("zone", zone)})] == held
        assert server.value("up") == 1
        joined = "exoscale_ai_deployment_replicas * on (account, zone, deployment_id, deployment, model) "
        joined += "group_left (gpu_type) exoscale_ai_deployment_info"
        assert len(server.query(joined)) == len(entries)


def test_prometheus_takes_every_odd_form(tmp_path: Path) -> None:
    forms = {path.stem: json.loads(path.read_bytes())["deployments"] for path in GOLDEN.glob("*.json")}
    with (
        Simulator(zones=tuple(forms), deployments=lambda zone, *_: forms[zone]) as simulator,
        Exporter(configuration(f"accounts: [{{zones: [{', '.join(forms)}]}}]", simulator)) as exporter,
        prometheus(exporter, tmp_path) as server,
    ):
        target = server.target()
        assert (target["health"], target["lastError"]) == ("up", "")
        for zone, entries in forms.items():
            listed = server.value(f'exoscale_ai_deployments{{zone="{zone}"}}') or 0
            left_out = server.value(f'exoscale_ai_invalid_entries{{zone="{zone}"}}') or 0
            public = sum(bool(entry) and entry.get("visibility") == "public" for entry in entries)
            assert listed + left_out + public == len(entries)
        names = {dict(series)["deployment"] for series in server.query('exoscale_ai_deployment_info{zone="labels"}')}
        assert names == {entry["name"] for entry in forms["labels"]}


def promtool_check_metrics(text: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [program("promtool"), "check", "metrics"]
    return subprocess.run(command, input=text, capture_output=True, check=False)


def test_promtool_finds_nothing_in_the_metrics_of_the_demo(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "500")
    exporter.scrape()
    checked = promtool_check_metrics(exporter.get("/metrics").content)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.prom")), ids=lambda path: path.stem)
def test_promtool_finds_nothing_in_the_golden_files(path: Path) -> None:
    checked = promtool_check_metrics(path.read_bytes())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")

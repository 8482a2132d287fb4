"""Simulator with faults → exporter → real Prometheus → real Alertmanager → a receiver: the whole way of an alert.

The committed rules and examples, with their minutes turned into fractions of a second.
"""

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter.simulator.server import Simulator
from tests.alerts.rules import ROOT, RULE_FILES
from tests.harness import Exporter, configuration, eventually, program

pytestmark = pytest.mark.e2e

SPEED = 100
SECONDS = {"m": 60, "h": 3600, "d": 86400}
WITHIN = 45.0

Labels = frozenset[tuple[str, str]]


def faster(duration: str) -> str:
    """`5m` is `3000ms`."""
    return f"{int(duration[:-1]) * SECONDS[duration[-1]] * 1000 // SPEED}ms"


def faster_rules(text: str) -> str:
    """The rules of a file with every wait and every range `SPEED` times shorter."""
    document = yaml.safe_load(text)
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(r"(?<=[\[:])\d+[mhd](?=[\]:])", lambda match: faster(match[0]), rule["expr"])
        for key in ("for", "keep_firing_for"):
            if key in rule:
                rule[key] = faster(rule[key])
    return json.dumps(document)


class Receiver:
    """What Alertmanager's webhooks were told: for each alert its route and status, in the order of their coming."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: list[tuple[str, str, Labels]] = []

        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.tell(self.path.removeprefix("/"), message["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def tell(self, route: str, alerts: list[dict[str, Any]]) -> None:
        with self._lock:
            self._told += [(route, alert["status"], frozenset(alert["labels"].items())) for alert in alerts]

    def history(self, **labels: str) -> list[tuple[str, str]]:
        """Route and status of what came with exactly these labels, repetitions left out."""
        with self._lock:
            came = [(route, status) for route, status, found in self._told if found == frozenset(labels.items())]
        return [item for index, item in enumerate(came) if index == 0 or came[index - 1] != item]

    def names(self) -> set[tuple[str, str]]:
        """Name and zone of every alert that came."""
        with self._lock:
            return {(dict(labels)["alertname"], dict(labels).get("zone", "")) for _, _, labels in self._told}

    @contextmanager
    def serving(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def running(folder: Path, command: str, *arguments: str) -> Iterator[str]:
    """The URL of a program that listens on a free port, until it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / f"{command}.log").open("w") as log:
        process = subprocess.Popen(
            [program(command), *arguments, f"--web.listen-address={address}"], cwd=folder, stdout=log, stderr=log
        )
    try:
        eventually(lambda: is_ready(address), within=WITHIN)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/-/ready", timeout=1).status_code == 200
    except requests.ConnectionError:
        return False


def write_alertmanager(folder: Path, receiver: Receiver) -> None:
    settings = yaml.safe_load((ROOT / "prometheus" / "alertmanager.yml").read_text())
    settings["route"] |= {"group_wait": "100ms", "group_interval": "1s"}
    for route in settings["receivers"]:
        route["webhook_configs"][0]["url"] = f"{receiver.url}/{route['name']}"
    (folder / "alertmanager.yml").write_text(json.dumps(settings))


def write_prometheus(folder: Path, exporter: Exporter, alertmanager: str) -> None:
    for path in RULE_FILES:
        (folder / path.name).write_text(faster_rules(path.read_text()))
    settings = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    targets = [exporter.url.removeprefix("http://")]
    settings["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    settings["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(json.dumps(settings))


def deployment(name: str, state: str) -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "state": state, "model": {"name": "mistral"}, "deployment-url": "",
            "gpu-count": 2, "gpu-type": "gpu3", "replicas": 3}  # fmt: skip


def test_alerts_arrive_with_their_labels_and_resolve(tmp_path: Path) -> None:
    fleet = {
        "ch-gva-2": [deployment("chat", "error"), deployment("search", "ready")],
        "de-fra-1": [deployment("embeddings", "error")],
        "at-vie-2": [deployment("translation", "ready")],
    }
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(zones=tuple(fleet), deployments=lambda zone, *_: fleet[zone]))
        zones = f"accounts: [{{name: demo, zones: [{', '.join(fleet)}]}}]"
        exporter = stack.enter_context(Exporter(configuration(zones, simulator)))
        exporter.instruments.config_loaded(time.time())
        receiver = stack.enter_context(Receiver().serving())
        write_alertmanager(tmp_path, receiver)
        alertmanager = stack.enter_context(
            running(
                tmp_path,
                "prometheus-alertmanager",
                "--config.file=alertmanager.yml",
                "--storage.path=alertmanager",
                "--cluster.listen-address=",
            )
        )
        write_prometheus(tmp_path, exporter, alertmanager)
        stack.enter_context(
            running(tmp_path, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus")
        )

        def error(zone: str, name: str) -> list[tuple[str, str]]:
            return receiver.history(
                alertname="ExoscaleAIDeploymentError",
                severity="critical",
                account="demo",
                zone=zone,
                deployment_id=f"id-{name}",
                deployment=name,
                model="mistral",
                state="error",
            )

        def zone_failing() -> list[tuple[str, str]]:
            return receiver.history(
                alertname="ExoscaleAIZoneListingFailing", severity="warning", account="demo", zone="de-fra-1"
            )

        def auth_failing() -> list[tuple[str, str]]:
            return receiver.history(
                alertname="ExoscaleAIAuthFailing", severity="critical", account="demo", zone="at-vie-2"
            )

        paged, told = ("pager", "firing"), ("chat", "firing")
        eventually(lambda: error("ch-gva-2", "chat") == error("de-fra-1", "embeddings") == [paged], within=WITHIN)
        simulator.set_fault("de-fra-1", "500")
        simulator.set_fault("at-vie-2", "403-signature")
        eventually(lambda: auth_failing() == [paged], within=WITHIN)
        eventually(lambda: zone_failing() == [told], within=WITHIN)
        time.sleep(1.5)  # a second more than a round of notifications, for what must not come
        assert error("de-fra-1", "embeddings") == [paged], "a failed zone resolves nothing"
        assert receiver.names() == {
            ("ExoscaleAIDeploymentError", "ch-gva-2"),
            ("ExoscaleAIDeploymentError", "de-fra-1"),
            ("ExoscaleAIZoneListingFailing", "de-fra-1"),
            ("ExoscaleAIAuthFailing", "at-vie-2"),
        }

        for zone, entries in fleet.items():
            simulator.set_fault(zone, "none")
            fleet[zone] = [{**entry, "state": "ready"} for entry in entries]
        eventually(lambda: error("ch-gva-2", "chat") == [paged, ("pager", "resolved")], within=WITHIN)
        eventually(lambda: error("de-fra-1", "embeddings") == [paged, ("pager", "resolved")], within=WITHIN)
        eventually(lambda: zone_failing() == [told, ("chat", "resolved")], within=WITHIN)
        eventually(lambda: auth_failing() == [paged, ("pager", "resolved")], within=WITHIN)

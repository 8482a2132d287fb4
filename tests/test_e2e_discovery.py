"""From listing to probing: the examples of `prometheus/`, run by a real Prometheus and a real blackbox exporter.

Only addresses, intervals and waits are changed.
"""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter.simulator.server import Simulator
from tests.harness import Exporter, configuration, eventually
from tests.programs import serving

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parent.parent / "prometheus"
# blackbox_exporter keeps half a second of the time it is given for its answer.
FAST = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **params: str) -> Any:
        return requests.get(f"{self.url}/api/v1/{path}", params=params, timeout=5).json()["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        return [(item["metric"], float(item["value"][1])) for item in self.get("query", query=expression)["result"]]

    def values(self, expression: str, label: str) -> dict[str, float]:
        """One label's values, and the values of the series that have them."""
        return {labels.get(label, ""): value for labels, value in self.query(expression)}

    def targets(self, job: str) -> list[dict[str, Any]]:
        return [target for target in self.get("targets")["activeTargets"] if target["labels"]["job"] == job]

    def firing(self) -> set[tuple[str, str]]:
        """Name and deployment of the alerts that fire."""
        alerts = self.get("alerts")["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("deployment", ""))
            for alert in alerts
            if alert["state"] == "firing"
        }


@contextmanager
def prometheus(folder: Path, example: str, addresses: dict[str, str]) -> Iterator[Prometheus]:
    """Prometheus with one of the examples and the project's rules."""
    for rules in ("recording.yml", "alerts.yml"):
        document = yaml.safe_load((EXAMPLES / rules).read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            for wait in ("for", "keep_firing_for"):
                if wait in rule:
                    rule[wait] = "1s"
            rule["expr"] = rule["expr"].replace("[3m]", "[3s]")
        (folder / rules).write_text(json.dumps(document))
    text = (EXAMPLES / example).read_text()
    for standard, address in addresses.items():
        assert standard in text
        text = text.replace(standard, address)
    settings = yaml.safe_load(text)
    settings["global"] = FAST
    settings["alerting"] = {}
    for job in settings["scrape_configs"]:
        for discovery in job.get("http_sd_configs", ()):
            discovery["refresh_interval"] = "1s"
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    (folder / "data").mkdir()
    with serving(folder, "prometheus", f"--config.file={folder}/prometheus.yml", "--storage.tsdb.path=data") as url:
        yield Prometheus(url)


def deployment(name: str, state: str = "ready") -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "state": state, "model": {"name": "mistral"}, "replicas": 1}


def address(url: str) -> str:
    return url.partition("://")[2].rstrip("/")


def test_endpoints_are_discovered_probed_and_missed(tmp_path: Path) -> None:
    fleet = {"ch-gva-2": [deployment("chat"), deployment("new", "creating")], "de-fra-1": [deployment("search")]}
    with (
        Simulator(zones=("ch-gva-2", "de-fra-1"), deployments=lambda zone, *_: fleet[zone]) as simulator,
        Exporter(configuration("accounts: [{name: p, zones: [ch-gva-2, de-fra-1]}]", simulator)) as exporter,
        serving(tmp_path, "prometheus-blackbox-exporter", f"--config.file={EXAMPLES}/blackbox.yml") as blackbox,
        prometheus(
            tmp_path,
            "prometheus-endpoints.yml",
            {"localhost:10042": address(exporter.url), "localhost:9115": address(blackbox)},
        ) as server,
    ):

        def up() -> dict[str, float]:
            return server.values("probe_success", "deployment")

        # Ready deployments are probed, with their labels.
        eventually(lambda: up() == {"chat": 1.0, "search": 1.0}, within=30)
        ((labels, _),) = server.query('probe_success{deployment="chat"}')
        assert labels == {
            "__name__": "probe_success",
            "job": "exoscale-ai-endpoints",
            "instance": f"{simulator.url}/inference/ch-gva-2/id-chat/v1",
            "account": "p",
            "zone": "ch-gva-2",
            "deployment_id": "id-chat",
            "deployment": "chat",
            "model": "mistral",
        }
        assert server.values("probe_http_status_code", "deployment")["chat"] == 401

        # One that becomes ready appears, one that is deleted vanishes.
        fleet["ch-gva-2"] = [deployment("new")]
        eventually(lambda: up() == {"new": 1.0, "search": 1.0}, within=30)

        # A zone that fails keeps the targets it had.
        simulator.set_fault("de-fra-1", "503")
        eventually(lambda: server.values('exoscale_ai_up{zone="de-fra-1"}', "zone") == {"de-fra-1": 0.0}, within=30)
        eventually(lambda: requests.get(exporter.url + "/sd", timeout=5).status_code == 503)
        fleet["ch-gva-2"] = [deployment("new"), deployment("newer")]
        assert len(server.targets("exoscale-ai-endpoints")) == 2
        simulator.faults.clear()
        eventually(lambda: up() == {"new": 1.0, "newer": 1.0, "search": 1.0}, within=30)

        # An endpoint that dies while the API says ready is an alert, and no more when it lives again.
        assert not server.firing() & {("ExoscaleAIEndpointDown", "search")}
        simulator.set_fault("de-fra-1", "endpoints-down")
        eventually(lambda: ("ExoscaleAIEndpointDown", "search") in server.firing(), within=30)
        assert ("ExoscaleAIEndpointDown", "new") not in server.firing()
        assert server.values("exoscale_ai_up", "zone") == {"ch-gva-2": 1.0, "de-fra-1": 1.0}
        simulator.faults.clear()
        eventually(lambda: ("ExoscaleAIEndpointDown", "search") not in server.firing(), within=30)


@pytest.mark.parametrize(("token", "success"), [(Simulator.token, "1"), ("wrong", "0")], ids=["right", "wrong"])
def test_an_endpoint_can_be_probed_with_a_token_from_a_file(tmp_path: Path, token: str, success: str) -> None:
    standard = "/etc/blackbox_exporter/exoscale-ai-token"
    text = (EXAMPLES / "blackbox.yml").read_text()
    assert standard in text
    (tmp_path / "token").write_text(token + "\n")
    (tmp_path / "blackbox.yml").write_text(text.replace(standard, str(tmp_path / "token")))
    with (
        Simulator(deployments=lambda *_: [deployment("chat")]) as simulator,
        serving(tmp_path, "prometheus-blackbox-exporter", f"--config.file={tmp_path}/blackbox.yml") as blackbox,
    ):
        target = f"{simulator.url}/inference/ch-gva-2/id-chat/v1/models"
        module = "exoscale_ai_endpoint_authenticated"
        probed = requests.get(f"{blackbox}/probe", params={"target": target, "module": module}, timeout=15).text
    assert f"\nprobe_success {success}\n" in probed


def _share(server: Prometheus) -> tuple[set[str], dict[str, float]]:
    """The instances that a server has as targets, and whether each is up."""
    targets = eventually(lambda: server.targets("exoscale-ai-zones"), within=30)
    instances = {target["labels"]["instance"] for target in targets}

    def scraped() -> bool:
        return server.values("exoscale_ai_up", "instance").keys() == instances

    eventually(scraped, within=30)
    return instances, server.values("exoscale_ai_up", "instance")


def test_zones_are_spread_over_two_servers_by_the_multi_target_pattern(tmp_path: Path) -> None:
    yaml_text = """
        accounts:
          - {name: a, zones: [at-vie-2, ch-gva-2, de-fra-1]}
          - {name: b, zones: [at-vie-2, ch-gva-2, de-fra-1]}
        scrape: {deployments_on_metrics: false}
    """
    everything = {f"{account}/{zone}" for account in "ab" for zone in ("at-vie-2", "ch-gva-2", "de-fra-1")}
    seen: list[set[str]] = []
    with Simulator() as simulator:
        simulator.set_fault("ch-gva-2", "500")
        current = configuration(yaml_text, simulator)
        with Exporter(current, deployments_on_metrics=lambda: current.scrape.deployments_on_metrics) as exporter:
            for share in ("0", "1"):
                folder = tmp_path / share
                folder.mkdir()
                addresses = {"localhost:10042": address(exporter.url), 'regex: "0"': f'regex: "{share}"'}
                with prometheus(folder, "prometheus-multi-target.yml", addresses) as server:
                    instances, found = _share(server)
                    assert found == {i: 0.0 if i.endswith("ch-gva-2") else 1.0 for i in instances}
                    assert set(server.values('up{job="exoscale-ai-zones"}', "instance").values()) == {1.0}
                    build_infos = functools.partial(server.query, "exoscale_ai_exporter_build_info")
                    assert len(eventually(build_infos)) == 1
                    seen.append(instances)
    assert seen[0] | seen[1] == everything
    assert not seen[0] & seen[1]
    assert seen[0]
    assert seen[1]


@pytest.mark.parametrize("page", ["README.md", "docs/discovery.md"])
def test_what_the_documentation_shows_is_what_these_tests_have_run(page: str) -> None:
    names = ("blackbox.yml", "prometheus-endpoints.yml", "prometheus-multi-target.yml")
    run = [(EXAMPLES / name).read_text() for name in names]
    text = (EXAMPLES.parent / page).read_text()
    shown = re.findall(r"```yaml\n(?:modules:\n|scrape_configs:\n)?(  [#-] .*?)```", text, re.DOTALL)
    shown = [block for block in shown if "static_configs" not in block]
    assert len(shown) == 3
    for block, example in zip(shown, run, strict=True):
        assert block in example

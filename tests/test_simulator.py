"""The simulator: a believable fleet, and faults that can be chosen while it runs."""

import pytest
import requests

from exporter.inventory import KNOWN_STATES
from exporter.simulator import faults, fleet
from exporter.simulator.server import Simulator

START = 1777887720.0


def states_of(name: str, zone: str, seconds: int) -> list[str]:
    """The states that a deployment goes through, in their order, '-' where it is not listed."""
    seen: list[str] = []
    for elapsed in range(seconds):
        listed = {entry["name"]: entry["state"] for entry in fleet.deployments(zone, START, elapsed)}
        if not seen or seen[-1] != listed.get(name, "-"):
            seen.append(listed.get(name, "-"))
    return seen


def test_the_fleet_is_a_dozen_deployments_over_several_models_gpu_types_and_zones() -> None:
    assert len([plan for plan in fleet.PLANS if plan.visibility == "private"]) == 12
    assert len({plan.model for plan in fleet.PLANS}) >= 8
    assert {plan.gpu_type for plan in fleet.PLANS} == {"gpua5000", "gpu3080ti", "gpurtx6000pro", "gpu3"}
    assert {plan.zone for plan in fleet.PLANS} == set(fleet.ZONES)


def test_a_deployment_comes_and_goes() -> None:
    seen = states_of("nightly-evaluation", "ch-gva-2", 780)
    assert seen == ["creating", "preparing", "deploying", "ready", "-", "creating"]


def test_a_deployment_that_comes_again_is_another_one() -> None:
    first, second = (
        next(e for e in fleet.deployments("ch-gva-2", START, elapsed) if e["name"] == "nightly-evaluation")
        for elapsed in (200, 1000)
    )
    assert first["id"] != second["id"]
    assert first["created-at"] < second["created-at"]


def test_a_deployment_scales() -> None:
    seen = [
        next((e["state"], e["replicas"]) for e in fleet.deployments("ch-gva-2", START, t) if e["name"] == "assistant")
        for t in (0, 100, 200, 310, 330)
    ]
    assert seen == [("ready", 2), ("scaling", 4), ("ready", 4), ("scaling", 2), ("ready", 2)]


def test_over_time_every_known_state_occurs() -> None:
    seen = {e["state"] for t in range(0, 800, 10) for zone in fleet.ZONES for e in fleet.deployments(zone, START, t)}
    assert seen == set(KNOWN_STATES)


def test_one_is_scaled_to_zero_and_one_is_in_error() -> None:
    entries = [entry for zone in fleet.ZONES for entry in fleet.deployments(zone, START, 0)]
    assert len([entry for entry in entries if entry["replicas"] == 0]) == 1
    assert len([entry for entry in entries if entry["state"] == "error"]) == 1


def test_faults_are_chosen_over_http_while_it_runs(simulator: Simulator) -> None:
    def status() -> int:
        return requests.get(f"{simulator.url}/ch-gva-2/v2/zone", timeout=5).status_code

    assert status() == 200
    shown = requests.put(f"{simulator.url}/faults/ch-gva-2", data="503", timeout=5).json()
    assert shown["current"] == {"ch-gva-2": "503"}
    assert status() == 503
    assert requests.delete(f"{simulator.url}/faults/ch-gva-2", timeout=5).json()["current"] == {}
    assert status() == 200


@pytest.mark.parametrize(
    ("zone", "name"), [("ch-gva-2", "none-such"), ("nowhere", "503"), ("ch-gva-2", "delay=soon"), ("ch-gva-2", "")]
)
def test_an_unknown_zone_or_fault_is_refused(simulator: Simulator, zone: str, name: str) -> None:
    response = requests.put(f"{simulator.url}/faults/{zone}", data=name, timeout=5)
    assert response.status_code == 404
    assert simulator.faults == {}


def test_every_fault_says_what_it_does(simulator: Simulator) -> None:
    shown = requests.get(f"{simulator.url}/faults", timeout=5).json()
    assert set(shown["faults"]) == set(faults.FAULTS)
    assert all(shown["faults"].values())


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/ai/model", "/nowhere/v2/ai/deployment", "/v2/ai/deployment/x"])
def test_what_the_simulator_does_not_know_is_404(simulator: Simulator, path: str) -> None:
    assert requests.get(simulator.url + path, timeout=5).status_code == 404

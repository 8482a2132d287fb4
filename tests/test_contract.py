"""The simulator against the official SDK and the OpenAPI document inside it, and the exporter against both."""

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import pytest
import requests
from exoscale.api.v2 import Client as SdkClient

from exporter.inventory import KNOWN_STATES, Deployment, parse_deployments
from exporter.simulator import fleet
from exporter.simulator.server import Simulator
from exporter.zones import KNOWN_ZONES

DOCUMENT: dict[str, Any] = json.loads(resources.files("exoscale").joinpath("openapi.json").read_text())
ENTRY = DOCUMENT["components"]["schemas"]["list-deployments-response-entry"]


def schema(operation: str) -> dict[str, Any]:
    """The schema of the operation's 200, with the document's definitions where its references find them."""
    path = {"list-deployments": "/ai/deployment", "list-zones": "/zone"}[operation]
    found = DOCUMENT["paths"][path]["get"]
    assert found["operationId"] == operation
    return {**found["responses"]["200"]["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}


@pytest.fixture
def sdk(simulator: Simulator) -> Iterator[SdkClient]:
    client = SdkClient(simulator.key, simulator.secret, url=simulator.endpoint.format(zone="ch-gva-2"))
    yield client
    client.http_client.close()


def test_the_official_sdk_lists_the_deployments_of_the_simulator(sdk: SdkClient) -> None:
    listed = sdk.list_deployments()["deployments"]
    planned = {plan.name for plan in fleet.PLANS if plan.zone == "ch-gva-2"}
    assert {entry["name"] for entry in listed} == planned


def test_the_official_sdk_lists_the_zones_of_the_simulator(sdk: SdkClient, simulator: Simulator) -> None:
    assert tuple(zone["name"] for zone in sdk.list_zones()["zones"]) == simulator.zones


def test_the_official_sdk_is_refused_with_a_wrong_secret(simulator: Simulator) -> None:
    client = SdkClient(simulator.key, "wrong", url=simulator.endpoint.format(zone="ch-gva-2"))
    with pytest.raises(Exception, match="Invalid request signature"):
        client.list_deployments()
    client.http_client.close()


@pytest.mark.parametrize("zone", fleet.ZONES)
@pytest.mark.parametrize("elapsed", [0, 30, 100, 300, 700, 760, 5000])
def test_every_answer_of_the_simulator_is_what_the_document_says(zone: str, elapsed: float) -> None:
    clock = [1777887720.0]
    with Simulator(now=lambda: clock[0]) as simulator:
        clock[0] += elapsed
        body = simulator.listing(zone, None)
    jsonschema.validate(body, schema("list-deployments"), format_checker=jsonschema.FormatChecker())


def test_the_zones_of_the_simulator_are_what_the_document_says(simulator: Simulator) -> None:
    jsonschema.validate(requests.get(f"{simulator.url}/v2/zone", timeout=5).json(), schema("list-zones"))


def test_the_example_of_the_document_is_readable() -> None:
    """Whatever the document requires and no more makes an entry that the exporter reads."""
    required = {"name": "n", "state": "ready", "deployment-url": "u", "model": {}, "visibility": "private"}
    assert set(required) == set(ENTRY["required"])
    inventory = parse_deployments(json.dumps({"deployments": [required]}).encode(), "private")
    assert len(inventory.deployments) == 1


def test_the_exporter_knows_every_state_of_the_document() -> None:
    unknown = set(ENTRY["properties"]["state"]["enum"]) - set(KNOWN_STATES)
    assert not unknown, f"the API has states that exporter.inventory.KNOWN_STATES lacks: {sorted(unknown)}"


def test_the_exporter_reads_every_field_of_the_document() -> None:
    unread = set(ENTRY["properties"]) - set(Deployment.__struct_encode_fields__)
    assert not unread, f"the API has fields that exporter.inventory.Deployment lacks: {sorted(unread)}"


def test_the_exporter_knows_every_zone_of_the_document() -> None:
    zones = DOCUMENT["servers"][0]["variables"]["zone"]["enum"]
    assert set(zones) <= set(KNOWN_ZONES), "exporter.zones.KNOWN_ZONES is out of date"

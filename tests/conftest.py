"""Fixtures that most tests share."""

from collections.abc import Iterator

import hypothesis
import pytest

from exporter.simulator.server import Simulator
from tests.harness import Exporter, configuration

# How long an example takes says nothing on a machine that does other work too.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True)
hypothesis.settings.load_profile("default")

ENVIRONMENT = (
    "EXOSCALE_API_KEY",
    "EXOSCALE_API_SECRET",
    "EXOSCALE_ZONE",
    "EXOSCALE_API_ENDPOINT",
    "EXPORTER_REVISION",
    "NOTIFY_SOCKET",
)


@pytest.fixture(autouse=True)
def _no_configuration_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def exporter(simulator: Simulator) -> Iterator[Exporter]:
    """An exporter of the simulator's three zones."""
    zones = f"accounts: [{{name: demo, zones: [{', '.join(simulator.zones)}]}}]"
    with Exporter(configuration(zones, simulator)) as exporter:
        yield exporter

"""Retries: of what is safe and of use, within the deadline, and as the API asks."""

import dataclasses
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
import responses

from exporter.client import Client
from exporter.errors import Failure, Reason
from exporter.instruments import Instruments
from exporter.inventory import Inventory
from exporter.simulator.server import Simulator
from exporter.target import Target
from tests.harness import Exporter, Log, configuration

URL = "https://api.example/v2/ai/deployment"
CURRENT = configuration(
    "accounts: [{zones: [z], endpoint: 'https://api.example/v2', api_key: EXOkey, api_secret: very-secret}]"
)
ACCOUNT = CURRENT.accounts[0]


def client_with(retries: int, observed: list[tuple[int, ...]]) -> Client:
    scrape = dataclasses.replace(CURRENT.scrape, retries=retries)
    return Client(ACCOUNT, "z", scrape, lambda _operation, statuses, _seconds: observed.append(statuses))


@pytest.fixture
def observed() -> list[tuple[int, ...]]:
    """The statuses of the answers to each request."""
    return []


@pytest.fixture
def client(observed: list[tuple[int, ...]]) -> Iterator[Client]:
    client = client_with(1, observed)
    yield client
    client.close()


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def get(client: Client, seconds: float = 5.0) -> bytes:
    return client.get("/ai/deployment", "list-deployments", time.monotonic() + seconds).body


def reason_of(client: Client, seconds: float = 5.0) -> Reason:
    with pytest.raises(Failure) as failure:
        get(client, seconds)
    return failure.value.reason


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_overloaded_api_is_asked_again(
    client: Client, api: responses.RequestsMock, observed: list[tuple[int, ...]], status: int
) -> None:
    api.get(URL, status=status)
    api.get(URL, json={})
    assert get(client) == b"{}"
    assert observed == [(status, 200)]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 418, 500, 501])
def test_an_answer_that_would_be_the_same_again_is_final(
    client: Client, api: responses.RequestsMock, observed: list[tuple[int, ...]], status: int
) -> None:
    api.get(URL, status=status, headers={"Retry-After": "0"})
    api.get(URL, json={})
    reason_of(client)
    assert observed == [(status,)]


@pytest.mark.parametrize("fault", ["close-before-headers", "reset-before-headers"])
def test_a_broken_connection_is_tried_again(simulator: Simulator, fault: str) -> None:
    simulator.set_fault("ch-gva-2", fault)
    with Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter:
        exporter.scrape()
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2), (3, 4)])
def test_the_number_of_retries_is_that_of_the_configuration(
    api: responses.RequestsMock, observed: list[tuple[int, ...]], retries: int, requests: int
) -> None:
    api.get(URL, status=503)
    client = client_with(retries, observed)
    assert reason_of(client) is Reason.SERVER_ERROR
    client.close()
    assert observed == [(503,) * requests]


@pytest.mark.parametrize(("fault", "pause"), [("503", 0.1), ("429-retry-after-short", 1.0)])
def test_there_is_a_pause_before_the_retry_as_long_as_the_api_asks_for(
    simulator: Simulator, fault: str, pause: float
) -> None:
    simulator.set_fault("ch-gva-2", fault)
    with Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter:
        (visit,) = exporter.scraper()
    assert pause <= visit.seconds < pause + 0.9
    assert len(simulator.requests) == 2


def test_a_retry_whose_pause_does_not_fit_the_deadline_is_given_up_at_once(
    client: Client, api: responses.RequestsMock, observed: list[tuple[int, ...]]
) -> None:
    api.get(URL, status=503)
    started = time.monotonic()
    assert reason_of(client, seconds=0.09) is Reason.SERVER_ERROR
    assert time.monotonic() - started < 0.09
    assert observed == [(503,)]


@pytest.mark.parametrize("seconds", ["30", "9" * 30], ids=["seconds", "absurd"])
def test_retry_after_that_does_not_fit_is_given_up_at_once(
    client: Client, api: responses.RequestsMock, observed: list[tuple[int, ...]], seconds: str
) -> None:
    api.get(URL, status=429, headers={"Retry-After": seconds})
    started = time.monotonic()
    assert reason_of(client) is Reason.RATE_LIMITED
    assert time.monotonic() - started < 1
    assert observed == [(429,)]


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("30", 30, 30),
        ("0", 0, 0),
        ("999999", 3600, 3600),
        (formatdate(time.time() + 3000, usegmt=True), 2000, 3001),
        (formatdate(time.time() - 3000, usegmt=True), 0, 0),
    ],
    ids=["seconds", "zero", "more than an hour", "date", "past date"],
)
def test_how_long_to_wait_is_known_from_the_failure(
    api: responses.RequestsMock, header: str, low: float, high: float
) -> None:
    api.get(URL, status=429, headers={"Retry-After": header})
    client = client_with(0, [])
    with pytest.raises(Failure) as failure:
        get(client)
    client.close()
    assert failure.value.retry_after is not None
    assert low <= failure.value.retry_after <= high


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "1.5"])
def test_a_header_that_is_not_understood_asks_for_nothing(api: responses.RequestsMock, header: str | None) -> None:
    api.get(URL, status=429, headers={} if header is None else {"Retry-After": header})
    client = client_with(0, [])
    with pytest.raises(Failure) as failure:
        get(client)
    client.close()
    assert failure.value.retry_after is None


def test_after_a_429_the_zone_is_not_asked_before_it_may_be(simulator: Simulator) -> None:
    clock = [1000.0]
    account = configuration("accounts: [{zones: [ch-gva-2]}]", simulator).accounts[0]
    client = Client(account, "ch-gva-2", configuration("", simulator).scrape, lambda *_: None)
    target = Target(account, "ch-gva-2", client, 0.0, Instruments("", ""), Log().logger, monotonic=lambda: clock[0])

    def outcome() -> Inventory | Failure:
        return target.listing(time.monotonic() + 5).result().outcome

    # The client has the clock of the system; the target's own says when the API may be asked again.
    simulator.set_fault("ch-gva-2", "429-retry-after")
    first = outcome()
    simulator.set_fault("ch-gva-2", "none")
    asked = len(simulator.requests)
    clock[0] += 29
    second = outcome()
    assert isinstance(first, Failure)
    assert isinstance(second, Failure)
    assert (first.reason, second.reason) == (Reason.RATE_LIMITED, Reason.RATE_LIMITED)
    assert second.message == "the API asked to wait, 1 s are left"
    assert len(simulator.requests) == asked
    clock[0] += 1.5
    assert isinstance(outcome(), Inventory)
    target.close()

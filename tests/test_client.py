"""The client: what it sends, what it accepts, and how it treats its connection."""

import time
from collections.abc import Iterator

import pytest
import requests
import responses

from exporter import __version__
from exporter.client import Client
from exporter.errors import Failure, Reason
from exporter.simulator.server import Simulator
from tests.harness import configuration

URL = "https://api.example/v2/ai/deployment"
CURRENT = configuration(
    "accounts: [{zones: [z], endpoint: 'https://api.example/v2', api_key: EXOkey, api_secret: very-secret}]\n"
    "scrape: {max_response_bytes: 1000, retries: 0}"
)

Observed = list[tuple[str, tuple[int, ...], float]]


@pytest.fixture
def observed() -> Observed:
    return []


@pytest.fixture
def client(observed: Observed) -> Iterator[Client]:
    client = Client(CURRENT.accounts[0], "z", CURRENT.scrape, lambda *seen: observed.append(seen))
    yield client
    client.close()


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def get(client: Client, seconds: float = 5.0) -> bytes:
    return client.get("/ai/deployment", "list-deployments", time.monotonic() + seconds).body


def failure_of(client: Client, seconds: float = 5.0) -> Failure:
    with pytest.raises(Failure) as failure:
        get(client, seconds)
    return failure.value


def test_it_says_who_it_is_with_version_and_project(client: Client, api: responses.RequestsMock) -> None:
    api.get(URL, json={})
    assert get(client) == b"{}"
    agent = api.calls[0].request.headers["User-Agent"]
    assert agent.startswith(f"exoscale-ai-exporter/{__version__} (+https://")


def test_an_answer_is_observed_with_operation_and_status(
    client: Client, api: responses.RequestsMock, observed: Observed
) -> None:
    api.get(URL, json={})
    api.get(URL, status=500)
    get(client)
    failure_of(client)
    assert [(operation, statuses) for operation, statuses, _ in observed] == [
        ("list-deployments", (200,)),
        ("list-deployments", (500,)),
    ]


def test_a_request_without_an_answer_is_observed_without_a_status(
    client: Client, api: responses.RequestsMock, observed: Observed
) -> None:
    api.get(URL, body=requests.exceptions.ReadTimeout())
    failure_of(client)
    assert [(operation, statuses) for operation, statuses, _ in observed] == [("list-deployments", ())]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(client: Client, api: responses.RequestsMock, status: int) -> None:
    elsewhere = api.get("https://elsewhere.example/", json={})
    api.get(URL, status=status, headers={"Location": "https://elsewhere.example/"})
    failure = failure_of(client)
    assert failure.reason is Reason.INVALID_RESPONSE
    assert "https://elsewhere.example/" in failure.message
    assert elsewhere.call_count == 0


def test_a_redirect_to_nowhere_is_what_it_is(client: Client, api: responses.RequestsMock) -> None:
    api.get(URL, status=301, headers={"Location": "http://[::bad"})
    assert "301 Moved Permanently to http://[::bad" in failure_of(client).message


def test_an_answer_that_nothing_has_changed_is_no_redirect(client: Client, api: responses.RequestsMock) -> None:
    api.get(URL, status=304)
    failure = failure_of(client)
    assert (failure.reason, failure.message) == (Reason.INVALID_RESPONSE, "the API answered 304 Not Modified")


def test_the_clock_skew_is_local_time_less_the_date_header(
    client: Client, api: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1777887720.0 + 90)
    api.get(URL, json={}, headers={"Date": "Mon, 04 May 2026 09:42:00 GMT"})
    reply = client.get("/ai/deployment", "list-deployments", time.monotonic() + 5)
    assert reply.clock_skew == 90.0


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 0000 99:99:99 GMT"])
def test_without_a_readable_date_there_is_no_clock_skew(
    client: Client, api: responses.RequestsMock, date: str | None
) -> None:
    api.get(URL, json={}, headers={} if date is None else {"Date": date})
    assert client.get("/ai/deployment", "list-deployments", time.monotonic() + 5).clock_skew is None


def test_more_bytes_than_allowed_are_an_invalid_response(client: Client, api: responses.RequestsMock) -> None:
    api.get(URL, body=b"[" + b" " * 999 + b"]", content_type="application/json")
    failure = failure_of(client)
    assert failure.reason is Reason.INVALID_RESPONSE
    assert "scrape.max_response_bytes" in failure.message


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/problem+json", "Application/JSON"])
def test_json_by_any_of_its_names_is_accepted(client: Client, api: responses.RequestsMock, kind: str) -> None:
    api.get(URL, body=b"{}", content_type=kind)
    assert get(client) == b"{}"


def test_no_time_left_is_a_timeout_without_a_request(client: Client, api: responses.RequestsMock) -> None:
    api.get(URL, json={})
    assert failure_of(client, seconds=-1).reason is Reason.TIMEOUT
    assert len(api.calls) == 0


def test_an_answer_that_repeats_key_and_secret_is_shown_without_them(
    client: Client, api: responses.RequestsMock
) -> None:
    api.get(URL, status=403, json={"message": "key EXOkey and secret very-secret are wrong"})
    failure = failure_of(client)
    assert "key … and secret … are wrong" in failure.message
    assert "very-secret" not in repr(failure)


def test_cookies_are_not_kept(client: Client, api: responses.RequestsMock) -> None:
    api.get(URL, json={}, headers={"Set-Cookie": "session=1; Path=/"})
    get(client)
    get(client)
    assert "Cookie" not in api.calls[1].request.headers


def test_one_connection_serves_all_requests(simulator: Simulator) -> None:
    current = configuration("accounts: [{zones: [ch-gva-2]}]", simulator)
    client = Client(current.accounts[0], "ch-gva-2", current.scrape, lambda *_: None)
    for _ in range(20):
        get(client)
    client.close()
    assert len(simulator.requests) == 20
    assert simulator.connections == 1


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    current = configuration("accounts: [{zones: [ch-gva-2]}]", simulator)
    client = Client(current.accounts[0], "ch-gva-2", current.scrape, lambda *_: None)
    assert get(client)
    client.close()


def test_a_proxy_of_the_environment_is_used_otherwise(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    """The simulator stands for a proxy that knows nothing of CONNECT."""
    monkeypatch.setenv("HTTPS_PROXY", simulator.url)
    monkeypatch.setenv("https_proxy", simulator.url)
    client = Client(CURRENT.accounts[0], "z", CURRENT.scrape, lambda *_: None)
    failure = failure_of(client)
    client.close()
    assert failure.reason is Reason.CONNECTION
    assert "proxy" in failure.message


def test_zones_are_asked_without_a_signature(api: responses.RequestsMock) -> None:
    api.get("https://api.example/v2/zone", json={})
    client = Client(CURRENT.accounts[0], "z", CURRENT.scrape, lambda *_: None, signed=False)
    client.get("/zone", "list-zones", time.monotonic() + 5)
    client.close()
    assert "Authorization" not in api.calls[0].request.headers

"""The multi-target pattern and service discovery: exactly what is asked for, in exactly the form Prometheus wants."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import discovery
from exporter.errors import Failure, Reason
from exporter.inventory import Deployment, Inventory
from exporter.simulator.server import Simulator
from exporter.visit import Visit
from tests.harness import Answer, Exporter, configuration

TWO_ACCOUNTS = """
accounts:
  - {name: a, zones: [at-vie-2, ch-gva-2]}
  - {name: b, zones: [ch-gva-2, de-fra-1]}
"""


@pytest.fixture
def exporter(simulator: Simulator) -> Any:
    with Exporter(configuration(TWO_ACCOUNTS, simulator)) as exporter:
        yield exporter


def zones_of(answer: Answer, name: str = "exoscale_ai_up") -> set[tuple[str, str]]:
    return {(dict(series)["account"], dict(series)["zone"]) for series in answer.select(name)}


# /probe


@pytest.mark.parametrize(
    ("query", "zones"),
    [
        ("account=a&zone=ch-gva-2", {("a", "ch-gva-2")}),
        ("account=b", {("b", "ch-gva-2"), ("b", "de-fra-1")}),
        ("zone=ch-gva-2", {("a", "ch-gva-2"), ("b", "ch-gva-2")}),
    ],
)
def test_a_probe_is_about_what_it_names_and_asks_for_nothing_else(
    exporter: Exporter, simulator: Simulator, query: str, zones: set[tuple[str, str]]
) -> None:
    answer = Answer(exporter.get("/probe?" + query).text)
    assert zones_of(answer) == zones
    assert zones_of(answer, "exoscale_ai_deployment_info") == zones
    assert zones_of(answer, "exoscale_ai_scrape_errors_total") == zones
    assert zones_of(answer, "exoscale_ai_api_requests_total") == zones
    assert len(simulator.requests) == len(zones)
    assert "process_" not in answer.text
    assert "build_info" not in answer.text


def test_a_probe_of_a_failing_zone_is_a_200_with_up_0(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "500")
    response = exporter.get("/probe?account=a&zone=ch-gva-2")
    assert response.status_code == 200
    assert Answer(response.text).value("exoscale_ai_up", account="a", zone="ch-gva-2") == 0


def test_a_probe_ends_before_prometheus_does(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "hang")
    response = exporter.get(
        "/probe?account=a&zone=ch-gva-2", headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"}, timeout=1
    )
    assert Answer(response.text).total("exoscale_ai_up") == 0


WRONG = {
    "account=c": "There is no account 'c'.",
    "zone=nowhere": "There is no zone 'nowhere'.",
    "account=a&zone=de-fra-1": "There is no zone 'de-fra-1' in account 'a'.",
    "account=a&account=a": "The parameter account is given 2 times.",
    "zone=ch-gva-2&zone=at-vie-2": "The parameter zone is given 2 times.",
    "account=": "The parameter account is empty.",
    "zone=&account=a": "The parameter zone is empty.",
    "account=" + "x" * 10_000: "The parameter account is longer than any name.",
    "acount=a": "There is no parameter 'acount'; known are: account, zone",
    "account=a&x=" + "y" * 10_000: "There is no parameter 'x'",
    "account=a%00": "There is no account 'a\\x00'.",
    "account=%3Cscript%3E": "There is no account '<script>'.",
}


@pytest.mark.parametrize("query", WRONG, ids=lambda query: query[:40])
@pytest.mark.parametrize("path", ["/probe", "/sd"])
def test_a_wrong_parameter_is_a_400_with_a_sentence_and_never_a_listing(
    exporter: Exporter, simulator: Simulator, path: str, query: str
) -> None:
    response = exporter.get(f"{path}?{query}")
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.text.startswith(WRONG[query])
    assert response.text.count("\n") == 1
    assert simulator.requests == []


def test_a_probe_without_a_name_is_a_400(exporter: Exporter) -> None:
    response = exporter.get("/probe")
    assert (response.status_code, response.text.split(":")[0]) == (400, "Name what to probe")


# Leaving deployments out of /metrics


def test_deployments_can_be_left_out_of_metrics(simulator: Simulator) -> None:
    current = configuration(TWO_ACCOUNTS + "scrape: {deployments_on_metrics: false}", simulator)
    with Exporter(current, deployments_on_metrics=lambda: current.scrape.deployments_on_metrics) as exporter:
        names = {name for name, _ in Answer(exporter.get("/metrics").text).about()}
        assert simulator.requests == []
        assert {name for name in names if name.startswith("exoscale_ai_")} == {
            "exoscale_ai_exporter_build_info",
            "exoscale_ai_exporter_config_last_reload_successful",
            "exoscale_ai_exporter_config_last_reload_success_timestamp_seconds",
        }
        assert "process_cpu_seconds_total" in names
        probed = Answer(exporter.get("/probe?account=a").text)
        assert zones_of(probed, "exoscale_ai_deployment_info") == {("a", "at-vie-2"), ("a", "ch-gva-2")}


# /sd


def test_every_deployment_with_a_url_is_a_target_group(exporter: Exporter, simulator: Simulator) -> None:
    response = exporter.get("/sd?account=b&zone=de-fra-1")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    groups = response.json()
    entries = simulator.listing("de-fra-1", "private")["deployments"]
    assert [group["targets"] for group in groups] == [[entry["deployment-url"]] for entry in entries]
    port = simulator.url.rpartition(":")[2]
    first = entries[0]
    assert groups[0]["labels"] == {
        "__meta_exoscale_ai_account": "b",
        "__meta_exoscale_ai_zone": "de-fra-1",
        "__meta_exoscale_ai_deployment_id": first["id"],
        "__meta_exoscale_ai_deployment": "chat-production",
        "__meta_exoscale_ai_model": "mistralai/Mistral-Small-3.2-24B-Instruct",
        "__meta_exoscale_ai_model_id": first["model"]["id"],
        "__meta_exoscale_ai_state": "ready",
        "__meta_exoscale_ai_gpu_type": "gpua5000",
        "__meta_exoscale_ai_service_level": "pro",
        "__meta_exoscale_ai_visibility": "private",
        "__meta_exoscale_ai_host": f"127.0.0.1:{port}",
        "__meta_exoscale_ai_path": f"/inference/de-fra-1/{first['id']}/v1",
    }


def test_without_parameters_it_is_all_of_them(exporter: Exporter) -> None:
    accounts = {group["labels"]["__meta_exoscale_ai_account"] for group in exporter.get("/sd").json()}
    assert accounts == {"a", "b"}


def test_state_filters(exporter: Exporter) -> None:
    states = [g["labels"]["__meta_exoscale_ai_state"] for g in exporter.get("/sd?account=a&state=error").json()]
    assert states == ["error"]
    assert exporter.get("/sd?state=hibernating").json() == []
    assert exporter.get("/sd?state=").status_code == 400


def test_no_deployments_are_an_empty_list() -> None:
    with (
        Simulator(deployments=lambda *_: []) as simulator,
        Exporter(configuration(TWO_ACCOUNTS, simulator)) as exporter,
    ):
        assert exporter.get("/sd").text == "[]"


def test_a_listing_that_failed_is_a_503_so_that_prometheus_keeps_its_list(
    exporter: Exporter, simulator: Simulator
) -> None:
    simulator.set_fault("de-fra-1", "403-role")
    response = exporter.get("/sd")
    assert response.status_code == 503
    assert "Forbidden by role policy for ai" in response.text
    assert exporter.get("/sd?account=a").status_code == 200, "it does not need that listing"


def visit(*deployments: Deployment) -> Visit:
    return Visit(account="a", zone="z", at=0.0, seconds=0.0, outcome=Inventory(deployments))


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "string",
        "ftp://models.example/v1",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//models.example/v1",
        "https:///v1",
        "https://[::1/v1",
        "https://models.example:port/v1",
        "https://models.example:99999/v1",
    ],
)
def test_what_is_no_http_url_is_no_target(url: str | None) -> None:
    assert discovery.endpoints([visit(Deployment(name="d", deployment_url=url))]) == []


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://models.example/v1", "models.example", "/v1"),
        ("http://models.example:8080", "models.example:8080", "/"),
        ("HTTPS://user:secret@Models.Example/v1/", "models.example", "/v1/"),
        ("https://[::1]:8080/v1?x=1", "[::1]:8080", "/v1"),
    ],
)
def test_host_and_path_are_there_for_relabelling(url: str, host: str, path: str) -> None:
    (group,) = discovery.endpoints([visit(Deployment(name="d", deployment_url=url))])
    assert group["labels"]["__meta_exoscale_ai_host"] == host
    assert group["labels"]["__meta_exoscale_ai_path"] == path


def test_what_the_api_left_out_is_an_empty_text_and_the_state_unknown() -> None:
    (group,) = discovery.endpoints([visit(Deployment(name="d", deployment_url="https://models.example/v1"))])
    labels = {name.removeprefix("__meta_exoscale_ai_"): value for name, value in group["labels"].items()}
    assert labels.pop("state") == "unknown"
    assert {name for name, value in labels.items() if value} == {"account", "zone", "deployment", "host", "path"}


@given(st.text())
def test_any_url_is_a_target_or_none(url: str) -> None:
    for group in discovery.endpoints([visit(Deployment(name="d", deployment_url=url))]):
        assert all(isinstance(value, str) for value in group["labels"].values())


def test_the_first_failure_is_what_is_told() -> None:
    failed = Visit(account="a", zone="z", at=0.0, seconds=0.0, outcome=Failure(Reason.TIMEOUT, "too late"))
    with pytest.raises(Failure, match="too late"):
        discovery.endpoints([visit(), failed])


# /sd/probes


def test_every_zone_of_every_account_is_a_probe_of_this_exporter(exporter: Exporter, simulator: Simulator) -> None:
    groups = exporter.get("/sd/probes").json()
    host = exporter.url.removeprefix("http://")
    assert simulator.requests == []
    assert [group["targets"] for group in groups] == [[host]] * 4
    assert groups[0]["labels"] == {
        "__scheme__": "http",
        "__metrics_path__": "/probe",
        "__param_account": "a",
        "__param_zone": "at-vie-2",
        "__meta_exoscale_ai_account": "a",
        "__meta_exoscale_ai_zone": "at-vie-2",
        "instance": "a/at-vie-2",
    }


def test_zones_that_are_discovered_are_probes_too(simulator: Simulator) -> None:
    with Exporter(configuration("", simulator)) as exporter:
        zones = {group["labels"]["__param_zone"] for group in exporter.get("/sd/probes").json()}
    assert zones == set(simulator.zones)


@pytest.mark.parametrize("host", ["", "a b", "x/../", "[::1", "a:b", "a" * 10 + ":123456"])
def test_a_host_header_that_is_none_is_a_400(exporter: Exporter, host: str) -> None:
    assert exporter.get("/sd/probes", headers={"Host": host}).status_code == 400


def test_probes_take_no_parameters(exporter: Exporter) -> None:
    assert exporter.get("/sd/probes?account=a").status_code == 400


@pytest.mark.parametrize("path", ["/probe?account=a", "/sd", "/sd/probes"])
def test_other_methods_are_405(exporter: Exporter, path: str) -> None:
    assert exporter.session.post(exporter.url + path).status_code == 405

"""The exporter's HTTP, over real sockets."""

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter import server
from exporter.query import scrape_timeout
from exporter.simulator.server import Simulator
from tests.harness import Answer, Exporter, configuration, eventually


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 9.5),
        ("1.5", 1.0),
        ("0.6", 0.3),
        ("0.1", 0.05),
        (None, float("inf")),
        ("", float("inf")),
        ("0", float("inf")),
        ("-1", float("inf")),
        ("nan", float("inf")),
        ("inf", float("inf")),
        ("soon", float("inf")),
    ],
)
def test_half_a_second_of_prometheus_timeout_is_left_for_the_answer(header: str | None, seconds: float) -> None:
    assert scrape_timeout(header) == pytest.approx(seconds)


def test_text_is_the_default(exporter: Exporter) -> None:
    response = exporter.get("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    answer = Answer(response.text)
    assert answer.total("exoscale_ai_up") == 3
    assert answer.value("exoscale_ai_exporter_config_last_reload_successful") is not None
    assert answer.select("exoscale_ai_exporter_build_info", version="1.2.3", revision="abcdef")
    assert answer.value("process_start_time_seconds")
    assert answer.select("python_info")
    assert "_created" not in response.text.replace("deployment_created", "")


def test_openmetrics_is_given_to_who_asks_for_it(exporter: Exporter) -> None:
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
    response = exporter.get("/metrics", headers={"Accept": accept})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")
    assert {"exoscale_ai_up", "exoscale_ai_scrape_errors"} <= {f.name for f in parse_openmetrics(response.text)}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=one", "text/plain;version=1.x", ";;,=", "*"])
def test_an_odd_accept_header_is_no_error(exporter: Exporter, accept: str) -> None:
    assert Answer(exporter.get("/metrics", headers={"Accept": accept}).text).total("exoscale_ai_up") == 3


def test_gzip_is_given_to_who_accepts_it_and_to_no_one_else(exporter: Exporter) -> None:
    packed = exporter.get("/metrics", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert Answer(gzip.decompress(packed.raw.read()).decode()).total("exoscale_ai_up") == 3
    for refused in ("identity", "gzip;q=0", "br"):
        plain = exporter.get("/metrics", headers={"Accept-Encoding": refused})
        assert "Content-Encoding" not in plain.headers
        assert "Accept-Encoding" in plain.headers["Vary"]


def test_name_filters_samples(exporter: Exporter) -> None:
    response = exporter.get("/metrics?name[]=exoscale_ai_up&name[]=exoscale_ai_scrape_errors_total")
    names = {line.split("{")[0] for line in response.text.splitlines() if not line.startswith("#")}
    assert names == {"exoscale_ai_up", "exoscale_ai_scrape_errors_total"}


def test_an_unknown_name_gives_nothing(exporter: Exporter) -> None:
    response = exporter.get("/metrics?name[]=nothing")
    assert (response.status_code, response.text) == (200, "")


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
def test_head_is_get_without_a_body(exporter: Exporter, path: str) -> None:
    response = exporter.session.head(exporter.url + path)
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy"])
def test_other_methods_are_405(exporter: Exporter, method: str, path: str) -> None:
    response = exporter.session.request(method, exporter.url + path)
    assert response.status_code == 405
    assert {"GET", "HEAD"} == set(response.headers["Allow"].replace(" ", "").split(","))


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metrics/x", "/-/", "//", "/%2e%2e/etc/passwd"])
def test_other_paths_are_404_with_a_sentence(exporter: Exporter, path: str) -> None:
    response = exporter.get(path)
    assert response.status_code == 404
    assert response.text.startswith("There is nothing at ")


def test_health_never_asks_the_api(exporter: Exporter, simulator: Simulator) -> None:
    assert exporter.get("/-/healthy").text == "Healthy.\n"
    assert exporter.get("/-/ready").text == "Ready.\n"
    assert simulator.requests == []


def test_starting_and_registering_asks_nothing_either(exporter: Exporter, simulator: Simulator) -> None:
    assert exporter.url
    assert simulator.requests == []


def test_health_answers_while_scrapes_take_all_they_can(simulator: Simulator) -> None:
    for zone in simulator.zones:
        simulator.set_fault(zone, "hang")
    yaml = "accounts: [{zones: [ch-gva-2]}]\nscrape: {timeout: 2s}"
    with Exporter(configuration(yaml, simulator), max_requests=5) as exporter, ThreadPoolExecutor(8) as pool:
        scrapes = [pool.submit(exporter.session.get, exporter.url + "/metrics") for _ in range(8)]
        eventually(lambda: sum(scrape.done() for scrape in scrapes) == 3)
        started = time.monotonic()
        assert exporter.get("/-/healthy").status_code == 200
        assert time.monotonic() - started < 1
        statuses = sorted(scrape.result().status_code for scrape in scrapes)
    assert statuses == [200] * 5 + [503] * 3


def test_a_bug_is_a_500_with_a_sentence_and_its_traceback_is_in_the_log_only(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("oops")

    monkeypatch.setattr(exporter.web, "_scrape", broken)
    response = exporter.get("/metrics")
    assert (response.status_code, response.text) == (500, "A bug of the exporter, see its log.\n")
    (logged,) = exporter.log.of("error")
    assert isinstance(logged["exc_info"], RuntimeError)


def test_another_telemetry_path(simulator: Simulator) -> None:
    with Exporter(configuration("", simulator), telemetry_path="/prometheus") as exporter:
        assert exporter.get("/prometheus").status_code == 200
        assert exporter.get("/metrics").status_code == 404
        assert 'href="/prometheus"' in exporter.get("/").text


def test_the_page_shows_zones_and_deployments(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "403-role")
    response = exporter.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for words in ("Version 1.2.3", 'href="/metrics"', "code-completion", "Forbidden by role policy for ai", "de-fra-1"):
        assert words in response.text


def test_the_page_does_not_wait_for_a_slow_api(exporter: Exporter, simulator: Simulator) -> None:
    exporter.get("/")
    for zone in simulator.zones:
        simulator.set_fault(zone, "hang")
    started = time.monotonic()
    assert "code-completion" in exporter.get("/").text
    assert time.monotonic() - started < 3


def test_the_page_before_any_answer_says_so(simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "hang")
    with Exporter(configuration("accounts: [{zones: [ch-gva-2]}]", simulator)) as exporter:
        assert "No zone has answered yet" in exporter.get("/").text


def test_a_client_that_goes_away_leaves_nothing_behind(exporter: Exporter) -> None:
    for _ in range(10):
        host, port = exporter.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert exporter.get("/-/healthy").status_code == 200
    eventually(lambda: threading.active_count() < 20)


def test_an_answer_is_not_held_back_until_its_headers_are_acknowledged() -> None:
    (listening,) = server.listen(["127.0.0.1:0"])
    with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

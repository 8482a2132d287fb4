"""A scrape: all zones of all accounts, in parallel, each on its own, and no later than the deadline."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import responses

from exporter.errors import Reason
from exporter.instruments import Instruments
from exporter.inventory import Deployment, Inventory
from exporter.scrape import Scraper
from exporter.simulator.server import Simulator
from exporter.zones import KNOWN_ZONES
from tests.harness import Exporter, Log, configuration

ZONES = "zones: [at-vie-2, ch-gva-2, de-fra-1]"


def test_every_zone_is_listed_with_one_signed_request(exporter: Exporter, simulator: Simulator) -> None:
    exporter.scrape()
    assert sorted(simulator.requests) == [f"GET /{zone}/v2/ai/deployment" for zone in sorted(simulator.zones)]


def test_the_numbers_are_those_of_the_api(exporter: Exporter, simulator: Simulator) -> None:
    answer = exporter.scrape()
    for zone in simulator.zones:
        entries = simulator.listing(zone, "private")["deployments"]
        assert answer.value("exoscale_ai_deployments", account="demo", zone=zone) == len(entries)
        for entry in entries:
            labels = {
                "account": "demo",
                "zone": zone,
                "deployment_id": entry["id"],
                "deployment": entry["name"],
                "model": entry["model"]["name"],
            }
            assert answer.value("exoscale_ai_deployment_replicas", **labels) == entry["replicas"]
            assert answer.value("exoscale_ai_deployment_gpu_count_per_replica", **labels) == entry["gpu-count"]
            assert answer.value("exoscale_ai_deployment_state", **labels, state=entry["state"]) == 1
            assert answer.total("exoscale_ai_deployment_state", **labels) == 1


def test_public_deployments_are_those_of_an_account_that_asks_for_them(simulator: Simulator) -> None:
    with Exporter(configuration(f"accounts: [{{visibility: public, {ZONES}}}]", simulator)) as exporter:
        answer = exporter.scrape()
    assert "GET /de-fra-1/v2/ai/deployment?visibility=public" in simulator.requests
    assert len(answer.select("exoscale_ai_deployment_info")) == 1
    assert len(answer.select("exoscale_ai_deployment_info", deployment="shared-mistral")) == 1


def test_zones_are_visited_in_parallel(simulator: Simulator) -> None:
    for zone in simulator.zones:
        simulator.set_fault(zone, "delay=0.5")
    with Exporter(configuration(f"accounts: [{{name: a, {ZONES}}}, {{name: b, {ZONES}}}]", simulator)) as exporter:
        started = time.monotonic()
        answer = exporter.scrape()
        assert time.monotonic() - started < 1.5
    assert answer.total("exoscale_ai_up") == 6


def test_a_slow_zone_delays_nothing_past_the_deadline_and_touches_no_other(
    exporter: Exporter, simulator: Simulator
) -> None:
    simulator.set_fault("ch-gva-2", "hang")
    started = time.monotonic()
    answer = exporter.scrape(timeout=1.5)
    assert 0.9 < time.monotonic() - started < 1.5
    assert answer.value("exoscale_ai_up", account="demo", zone="ch-gva-2") == 0
    assert answer.value("exoscale_ai_scrape_errors_total", account="demo", zone="ch-gva-2", reason="timeout") == 1
    assert answer.total("exoscale_ai_up") == 2
    assert not answer.select("exoscale_ai_deployment_info", zone="ch-gva-2")
    assert len(answer.select("exoscale_ai_deployment_info", zone="de-fra-1")) == 4


def test_the_deadline_of_the_configuration_holds_where_prometheus_allows_more(simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "hang")
    with Exporter(configuration(f"accounts: [{{{ZONES}}}]\nscrape: {{timeout: 300ms}}", simulator)) as exporter:
        started = time.monotonic()
        exporter.scrape(timeout=30)
        assert time.monotonic() - started < 1.5


def test_counters_of_errors_exist_at_0_from_the_first_scrape_on(exporter: Exporter) -> None:
    errors = exporter.scrape().select("exoscale_ai_scrape_errors_total")
    assert len(errors) == 3 * len(Reason)
    assert set(errors.values()) == {0.0}


def test_last_success_is_absent_before_the_first_and_stays_after_it(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "500")
    name = "exoscale_ai_last_success_timestamp_seconds"
    assert exporter.scrape().value(name, account="demo", zone="ch-gva-2") is None
    simulator.set_fault("ch-gva-2", "none")
    succeeded = exporter.scrape().value(name, account="demo", zone="ch-gva-2")
    assert succeeded == pytest.approx(time.time(), abs=5)
    simulator.set_fault("ch-gva-2", "500")
    assert exporter.scrape().value(name, account="demo", zone="ch-gva-2") == succeeded


def test_a_deleted_deployment_is_gone() -> None:
    with (
        Simulator(deployments=lambda *_: entries) as changing,
        Exporter(configuration(f"accounts: [{{{ZONES}}}]", changing)) as exporter,
    ):
        entries = [{"name": "here", "state": "ready", "model": {}}]
        assert len(exporter.scrape().select("exoscale_ai_deployment_info")) == 3
        entries = []
        assert not exporter.scrape().select("exoscale_ai_deployment_info")


def test_connections_are_kept_from_scrape_to_scrape(exporter: Exporter, simulator: Simulator) -> None:
    for _ in range(10):
        exporter.scrape()
    assert simulator.connections == 3


def test_zones_are_asked_for_where_none_are_configured(simulator: Simulator) -> None:
    with Exporter(configuration("", simulator)) as exporter:
        answer = exporter.scrape()
        exporter.scrape()
    assert {dict(series)["zone"] for series in answer.select("exoscale_ai_up")} == set(simulator.zones)
    assert simulator.requests.count(f"GET /{KNOWN_ZONES[0]}/v2/zone") == 1


def test_a_failure_is_logged_once_and_its_end_once(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "403-role")
    for _ in range(5):
        exporter.scrape()
    simulator.set_fault("ch-gva-2", "none")
    for _ in range(5):
        exporter.scrape()
    (warning,) = exporter.log.of("warning")
    assert (warning["account"], warning["zone"], warning["reason"]) == ("demo", "ch-gva-2", "auth")
    assert "Forbidden by role policy for ai" in warning["error"]
    assert len(exporter.log.of("debug")) == 4
    assert [entry["event"] for entry in exporter.log.of("info")] == ["listing works again"]


def test_entries_left_out_are_logged_when_they_change(exporter: Exporter, simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "invalid-entry")
    for _ in range(3):
        answer = exporter.scrape()
    assert answer.value("exoscale_ai_invalid_entries", account="demo", zone="ch-gva-2") == 1
    (warning,) = exporter.log.of("warning")
    assert warning["event"] == "entries left out"
    assert warning["count"] == 1


def test_scrapes_at_the_same_time_share_one_listing(exporter: Exporter, simulator: Simulator) -> None:
    for zone in simulator.zones:
        simulator.set_fault(zone, "delay=0.5")
    with ThreadPoolExecutor(20) as pool:
        visits = list(pool.map(lambda _: exporter.scraper(), range(20)))
    assert len(simulator.requests) == 3
    assert all(visit.inventory for scrape in visits for visit in scrape)


@responses.activate
def test_an_answer_is_read_again_only_where_it_is_another_one() -> None:
    one, other, broken = '{"deployments": [{"name": "one"}]}', '{"deployments": [{"name": "other"}]}', "<html>"
    for body in (one, one, other, broken, other, one):
        responses.get(re.compile("https://.*/ai/deployment"), body=body, content_type="application/json")
    config = configuration("accounts: [{zones: [ch-gva-2], api_key: EXOkey, api_secret: very-secret}]")
    scraper = Scraper(config, Instruments("", ""), Log().logger)
    first, again, changed, failed, recovered, back = (scraper()[0].inventory for _ in range(6))
    scraper.close()
    assert first
    assert again is first
    assert changed == Inventory((Deployment("other"),))
    assert failed is None
    assert recovered is changed
    assert back == first

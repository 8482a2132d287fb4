"""Calm: listings are shared, nothing is left behind, and what was known survives."""

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.errors import Reason
from exporter.instruments import Instruments
from exporter.scrape import Scraper
from exporter.simulator import faults
from exporter.simulator.server import Simulator
from exporter.zones import KNOWN_ZONES, REFRESH_SECONDS, RETRY_SECONDS
from tests.harness import (
    Answer,
    Exporter,
    Log,
    configuration,
    credentials,
    eventually,
    open_files_and_threads_return_to_where_they_were,
    running,
)

ONE_ZONE = "accounts: [{zones: [ch-gva-2]}]"
NEVER_ANSWERING = ("hang", "drip-headers", "endless-headers", "drip-body", "stop-mid-body", "stop-without-length")


# Coalescing


def test_concurrent_scrapes_cost_one_call_of_the_api(exporter: Exporter, simulator: Simulator) -> None:
    for zone in simulator.zones:
        simulator.set_fault(zone, "delay=0.7")
    with ThreadPoolExecutor(21) as pool:
        page = pool.submit(requests.get, exporter.url + "/", timeout=5)
        answers = list(pool.map(lambda _: requests.get(exporter.url + "/metrics", timeout=5), range(20)))
    assert page.result().status_code == 200
    assert {Answer(answer.text).total("exoscale_ai_up") for answer in answers} == {3}
    assert len(simulator.requests) == 3


def test_a_failure_that_is_shared_is_counted_once(exporter: Exporter, simulator: Simulator) -> None:
    for zone in simulator.zones:
        simulator.set_fault(zone, "hang")
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: exporter.scraper(1.0), range(10)))
    simulator.faults.clear()
    assert exporter.scrape().total("exoscale_ai_scrape_errors_total", reason="timeout") == 3


def test_who_has_less_time_leaves_earlier_and_harms_no_one(simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "delay=1")
    with Exporter(configuration(ONE_ZONE, simulator)) as exporter, ThreadPoolExecutor(2) as pool:
        patient = pool.submit(exporter.scraper, 5.0)
        eventually(lambda: simulator.requests)
        started = time.monotonic()
        (hasty,) = exporter.scraper(0.2)
        assert time.monotonic() - started < 0.9
        assert hasty.failure
        assert hasty.failure.reason is Reason.TIMEOUT
        assert patient.result()[0].inventory
        assert len(simulator.requests) == 1


# The optional cache


def test_a_cached_answer_is_used_again_and_shows_its_age(simulator: Simulator) -> None:
    clock = [1000.0]
    scraper = Scraper(
        configuration(ONE_ZONE + "\nscrape: {cache: 30s}", simulator),
        Instruments("", ""),
        Log().logger,
        monotonic=lambda: clock[0],
    )
    ages = []
    # The clock stands still while the API is asked, and the request has the time of the system.
    scraper._targets["default", "ch-gva-2"]._client.get = _without_deadline(scraper)  # type: ignore[method-assign] # noqa: SLF001
    for step in (0, 10, 20, 1):
        clock[0] += step
        (visit,) = scraper()
        ages.append(visit.cache_age)
    scraper.close()
    assert ages == [0, 10, 30, 0]
    assert len(simulator.requests) == 2


def _without_deadline(scraper: Scraper) -> Any:
    get = scraper._targets["default", "ch-gva-2"]._client.get  # noqa: SLF001
    return lambda path, operation, _deadline, params: get(path, operation, time.monotonic() + 5, params)


def test_a_failure_is_not_cached_nor_hidden_by_the_cache(simulator: Simulator) -> None:
    yaml = ONE_ZONE + "\nscrape: {cache: 1ms}"
    with Exporter(configuration(yaml, simulator)) as exporter:
        assert exporter.scrape().total("exoscale_ai_up") == 1
        time.sleep(0.01)
        simulator.set_fault("ch-gva-2", "500")
        for _ in range(3):
            answer = exporter.scrape()
            assert answer.total("exoscale_ai_up") == 0
            assert not answer.select("exoscale_ai_cache_age_seconds")
        simulator.faults.clear()
        assert exporter.scrape().total("exoscale_ai_up") == 1
    assert len(simulator.requests) == 5


def test_without_a_cache_there_is_no_age(exporter: Exporter) -> None:
    assert not exporter.scrape().select("exoscale_ai_cache_age_seconds")


# Discovery of zones


def zone_scraper(simulator: Simulator, clock: list[float], log: Log) -> Scraper:
    return Scraper(configuration("", simulator), Instruments("", ""), log.logger, monotonic=lambda: clock[0])


class Clock:
    """The system's clock, which can be moved ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def zones_visited(scraper: Scraper) -> set[str]:
    return {visit.zone for visit in scraper()}


def test_a_zone_that_is_new_is_found_within_an_hour(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    with Exporter(configuration("", simulator)) as exporter:
        assert zones_visited(exporter.scraper) == set(simulator.zones)
        simulator.zones = (*simulator.zones, "it-mil-1")
        assert "it-mil-1" not in zones_visited(exporter.scraper)
        later = time.monotonic() + REFRESH_SECONDS
        monkeypatch.setattr(exporter.scraper._discovered["default"], "_monotonic", lambda: later)  # noqa: SLF001
        exporter.scraper()
        eventually(lambda: "it-mil-1" in zones_visited(exporter.scraper))


def test_the_last_known_zones_survive_a_failure(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    with Exporter(configuration("", simulator)) as exporter:
        exporter.scraper()
        for zone in simulator.zones:
            simulator.set_fault(zone, "503")
        later = time.monotonic() + REFRESH_SECONDS
        monkeypatch.setattr(exporter.scraper._discovered["default"], "_monotonic", lambda: later)  # noqa: SLF001
        exporter.scraper()
        eventually(lambda: [e for e in exporter.log.of("warning") if e["event"] == "listing of the zones failed"])
        assert zones_visited(exporter.scraper) == set(simulator.zones)


def test_a_first_failure_falls_back_to_the_zones_known_at_release(simulator: Simulator) -> None:
    for zone in KNOWN_ZONES:
        simulator.faults[zone] = "503"
    with Exporter(configuration("", simulator)) as exporter:
        assert zones_visited(exporter.scraper) == set(KNOWN_ZONES)
        events = [entry["event"] for entry in exporter.log.of("warning")]
    assert "zones unknown, using those known at release" in events


def test_after_the_fallback_the_api_is_asked_again_soon(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in KNOWN_ZONES:
        simulator.faults[zone] = "503"
    with Exporter(configuration("", simulator)) as exporter:
        exporter.scraper()
        simulator.faults.clear()
        later = time.monotonic() + RETRY_SECONDS
        monkeypatch.setattr(exporter.scraper._discovered["default"], "_monotonic", lambda: later)  # noqa: SLF001
        exporter.scraper()
        eventually(lambda: zones_visited(exporter.scraper) == set(simulator.zones))


def test_a_zone_whose_host_is_down_does_not_hide_the_others(simulator: Simulator) -> None:
    simulator.faults[KNOWN_ZONES[0]] = "hang"
    with Exporter(configuration("", simulator)) as exporter:
        assert zones_visited(exporter.scraper) == set(simulator.zones)


def test_a_list_of_zones_that_hangs_leaves_time_for_the_listings(simulator: Simulator) -> None:
    for zone in set(KNOWN_ZONES) - {"ch-gva-2"}:
        simulator.faults[zone] = "hang"
    with Exporter(configuration("", simulator)) as exporter:
        started = time.monotonic()
        visits = exporter.scraper(2.0)
        assert time.monotonic() - started < 2.5
    assert [visit.zone for visit in visits if visit.inventory] == ["ch-gva-2"]


def test_a_zone_with_a_name_that_is_none_gets_no_signed_request(simulator: Simulator) -> None:
    simulator.zones = ("ch-gva-2", "evil.example/", "x@evil.example", "", "-a")
    with Exporter(configuration("", simulator)) as exporter:
        assert zones_visited(exporter.scraper) == {"ch-gva-2"}


# Nothing is left behind


def test_a_thousand_scrapes_of_an_api_that_never_answers_leave_no_thread_and_no_socket() -> None:
    """Each of them ends at its deadline, in the middle of a handshake, headers or body."""
    with Simulator(zones=NEVER_ANSWERING) as simulator:
        for zone in NEVER_ANSWERING:
            simulator.set_fault(zone, zone)
        yaml = f"accounts: [{{zones: [{', '.join(NEVER_ANSWERING)}]}}]"
        scraper = Scraper(configuration(yaml, simulator), Instruments("", ""), Log().logger)
        with open_files_and_threads_return_to_where_they_were():
            for _ in range(1000):
                started = time.monotonic()
                visits = scraper(0.02)
                assert time.monotonic() - started < 0.5
                assert {visit.failure and visit.failure.reason for visit in visits} == {Reason.TIMEOUT}
        scraper.close()


def test_a_name_that_resolves_slowly_holds_one_thread_at_most(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolution cannot be interrupted: while it lasts, no further thread starts to wait for it."""
    resolved = threading.Event()
    real = socket.getaddrinfo

    def slow(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "slow.localhost":
            resolved.wait(20)
            host = "127.0.0.1"
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    endpoint = simulator.endpoint.replace("127.0.0.1", "slow.localhost")
    scraper = Scraper(
        configuration(ONE_ZONE, simulator, EXOSCALE_API_ENDPOINT=endpoint), Instruments("", ""), Log().logger
    )
    before = threading.active_count()
    for _ in range(50):
        started = time.monotonic()
        (visit,) = scraper(0.02)
        assert time.monotonic() - started < 0.5
        assert visit.failure
        assert visit.failure.reason is Reason.TIMEOUT
    # The one that resolves with its timer, and perhaps the last one that waits for its turn.
    assert threading.active_count() <= before + 3
    resolved.set()
    eventually(lambda: threading.active_count() <= before)
    assert scraper(2.0)[0].inventory
    scraper.close()


def test_a_name_that_resolves_slowly_does_not_delay_the_end(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket, time\n"
        "real = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda host, *args, **kwargs: time.sleep(60) if host == 'api.example' "
        "else real(host, *args, **kwargs)\n"
    )
    environ = {
        **credentials(simulator),
        "EXOSCALE_API_ENDPOINT": "https://api.example/v2",
        "PYTHONPATH": str(tmp_path),
    }
    with running(**environ) as (process, url, _):
        answer = requests.get(
            url + "metrics",
            headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"},
            timeout=5,
        )
        assert Answer(answer.text).total("exoscale_ai_up") == 0
        stopped = time.monotonic()
        process.terminate()
        assert process.wait(6) == 0
        assert time.monotonic() - stopped < 5


def usage(process: int) -> tuple[int, int, int]:
    """Threads, open files and resident memory in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return (
        int(fields["Threads"]),
        len(list(Path(f"/proc/{process}/fd").iterdir())),
        int(fields["VmRSS"].split()[0]) * 1024,
    )


def test_soak(simulator: Simulator, tmp_path: Path) -> None:
    """Two thousand scrapes with faults at random: threads, files and memory end where they were."""
    choice = random.Random(20260504)
    names = sorted(set(faults.FAULTS) - {"bracket-flood", "429-retry-after"})  # costly to send; ends the asking
    # What coverage remembers of a process grows with it.
    unmeasured = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
    environ = {**credentials(simulator), **unmeasured, "EXOSCALE_ZONE": ",".join(simulator.zones)}
    (tmp_path / "config.yml").write_text("scrape: {max_response_bytes: 1048576}\n")
    session = requests.Session()
    with running(f"--config.file={tmp_path}/config.yml", **environ) as (process, url, lines):

        def scrape(timeout: float) -> Answer:
            header = {"X-Prometheus-Scrape-Timeout-Seconds": str(timeout)}
            response = session.get(url + "metrics", headers=header, timeout=5)
            assert response.status_code == 200
            return Answer(response.text) if timeout > 1 else Answer("")

        def suffer(scrapes: int) -> tuple[int, int, int]:
            for _ in range(scrapes):
                for zone in simulator.zones:
                    simulator.set_fault(zone, choice.choice(names) if choice.random() < 0.7 else "none")
                scrape(timeout=0.04)
            simulator.faults.clear()
            eventually(lambda: scrape(timeout=10).total("exoscale_ai_up") == 3)
            eventually(lambda: usage(process.pid)[0] <= 3)
            return usage(process.pid)

        settled, final = suffer(500), suffer(1500)
        errors = scrape(timeout=10).select("exoscale_ai_scrape_errors_total")
    session.close()
    print(f"soak: threads, files, bytes after 500 scrapes {settled}, after 2000 {final}")  # noqa: T201
    assert final[:2] == settled[:2]
    assert final[2] < settled[2] * 1.05
    assert {dict(series)["reason"] for series, value in errors.items() if value} == {str(reason) for reason in Reason}
    assert not [line for line in lines if "Traceback" in line or "bug" in line]

"""The fault matrix: whatever the API does, the scrape answers in time, blames the right thing and loses nothing else.

Every row runs a healthy scrape, one with the fault, and a healthy one again, over real sockets. Rows run side by side.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from exporter.errors import Reason
from exporter.simulator import faults
from exporter.simulator.server import Simulator
from tests.harness import Answer, Exporter, configuration

START = 1777887720.0
DEADLINE = 1.0
ANSWERED_WITHIN = 1.5
"""Prometheus's own timeout, of which the exporter leaves half a second."""

Switch = Callable[[bool], None]
"""Turns a fault on and off."""


@dataclass(frozen=True)
class Row:
    """`fault` is the simulator's, or the name of a set-up in SETUPS. `words` must be in the log."""

    fault: str
    reason: Reason
    words: str
    recovers: bool = True


ROWS = (
    # Connections
    Row("refused", Reason.CONNECTION, "refused the connection"),
    Row("name-unknown", Reason.CONNECTION, "the name of the API's host cannot be resolved"),
    Row("name-slow", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("tls-unknown-ca", Reason.CONNECTION, "TLS failed: "),
    Row("tls-wrong-host", Reason.CONNECTION, "TLS failed: "),
    Row("tls-expired", Reason.CONNECTION, "TLS failed: "),
    Row("tls-silent", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("close-before-headers", Reason.CONNECTION, "closed the connection without an answer"),
    Row("reset-before-headers", Reason.CONNECTION, "the connection broke: Connection reset by peer"),
    Row("close-mid-body", Reason.CONNECTION, "the connection broke"),
    Row("reset-mid-body", Reason.CONNECTION, "the connection broke"),
    Row("broken-chunks", Reason.CONNECTION, "the connection broke"),
    # Time
    Row("hang", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("drip-headers", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("endless-headers", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("drip-body", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("stop-mid-body", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("stop-without-length", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    Row("delay=5", Reason.TIMEOUT, "no complete answer in 1.0 s"),
    # Statuses
    Row("301", Reason.INVALID_RESPONSE, "301 Moved Permanently to https://elsewhere.example/v2/ai/deployment"),
    Row("302", Reason.INVALID_RESPONSE, "302 Found to /login – redirects are not followed, check the endpoint"),
    Row("endless-302", Reason.INVALID_RESPONSE, "302 Found: oops to /login – redirects are not followed"),
    Row("400", Reason.CLIENT_ERROR, "400 Bad Request: Bad Request: Invalid visibility: visibility: unknown: see"),
    Row("401", Reason.AUTH, "401 Unauthorized: unauthorized – check the API key, the secret, and that"),
    Row("403-signature", Reason.AUTH, "403 Forbidden: Invalid request signature – check the API key, the secret"),
    Row(
        "403-role",
        Reason.AUTH,
        "Forbidden by role policy for ai – check the API key, the secret, and that the",
    ),
    Row("403-disabled", Reason.AUTH, "403 Forbidden: Dedicated Inference is not enabled"),
    Row("403-clock", Reason.AUTH, "list-deployments; this machine's clock is 60"),
    Row("echo-credentials", Reason.AUTH, "403 Forbidden: cannot accept …"),
    Row("404", Reason.CLIENT_ERROR, "404 Not Found: Not Found"),
    Row("409", Reason.CLIENT_ERROR, "409 Conflict: Conflict"),
    Row("418", Reason.CLIENT_ERROR, "I'm a teapot"),
    Row("429", Reason.RATE_LIMITED, "429 Too Many Requests: Too many requests"),
    Row("429-retry-after", Reason.RATE_LIMITED, "slow down – asks to wait 30 s", recovers=False),
    Row("429-retry-after-short", Reason.RATE_LIMITED, "429 Too Many Requests: wait – asks to wait 1 s", recovers=False),
    Row("429-retry-after-odd", Reason.RATE_LIMITED, "429 Too Many Requests: slow"),
    Row("500", Reason.SERVER_ERROR, "500 Internal Server Error: Internal Server Error"),
    Row("endless-500", Reason.SERVER_ERROR, "500 Internal Server Error: oops"),
    Row("501", Reason.SERVER_ERROR, "501 Not Implemented: Not Implemented"),
    Row("502", Reason.SERVER_ERROR, "502 Bad Gateway: 502 Bad Gateway nginx"),
    Row("503", Reason.SERVER_ERROR, "503 Service Unavailable: Service Unavailable"),
    Row("503-retry-after", Reason.SERVER_ERROR, "503 Service Unavailable: Service Unavailable"),
    Row("504", Reason.SERVER_ERROR, "504 Gateway Timeout"),
    # Answers
    Row("204", Reason.INVALID_RESPONSE, "204 No Content"),
    Row("empty-body", Reason.INVALID_RESPONSE, "an empty answer"),
    Row("html", Reason.INVALID_RESPONSE, "text/html instead of JSON"),
    Row("html-as-json", Reason.INVALID_RESPONSE, "the API answered HTML"),
    Row("wrong-content-type", Reason.INVALID_RESPONSE, "text/html instead of JSON"),
    Row("truncated-json", Reason.INVALID_RESPONSE, "not JSON"),
    Row("top-level-list", Reason.INVALID_RESPONSE, "JSON without a list 'deployments'"),
    Row("top-level-text", Reason.INVALID_RESPONSE, "JSON without a list 'deployments'"),
    Row("deployments-null", Reason.INVALID_RESPONSE, "JSON without a list 'deployments'"),
    Row("deployments-missing", Reason.INVALID_RESPONSE, "JSON without a list 'deployments'"),
    Row("deployments-object", Reason.INVALID_RESPONSE, "JSON without a list 'deployments'"),
    Row("deep-json", Reason.INVALID_RESPONSE, "JSON nested too deeply"),
    Row("bracket-flood", Reason.INVALID_RESPONSE, "the API answered more than"),
    Row("invalid-utf8", Reason.INVALID_RESPONSE, "not UTF-8 text"),
    Row("nan", Reason.INVALID_RESPONSE, "JSON with NaN"),
    Row("duplicate-keys", Reason.INVALID_RESPONSE, "JSON with a key given twice"),
    Row("gzip-bomb", Reason.INVALID_RESPONSE, "scrape.max_response_bytes"),
    Row("broken-gzip", Reason.INVALID_RESPONSE, "a content encoding that cannot be undone"),
    Row("not-http", Reason.INVALID_RESPONSE, "did not answer in HTTP"),
    Row("many-headers", Reason.INVALID_RESPONSE, "did not answer in HTTP"),
)
HARMLESS = {"none", "clock-skew", "invalid-entry", "unknown-state", "no-deployments", "endpoints-down"}


class Scenario:
    """A zone that stays healthy and one with the fault, in an exporter of their own."""

    def __init__(self, stack: ExitStack, row: Row, resolve: dict[str, Any], ca: trustme.CA) -> None:
        self.row = row
        self.simulator = stack.enter_context(Simulator(now=lambda: START))
        setup: Callable[..., tuple[str, Switch]] = SETUPS.get(row.fault, _by_simulator)
        self.endpoint, self.switch = setup(self, stack, resolve, ca)
        yaml = f"""
            accounts:
              - name: steady
                zones: [ch-gva-2]
              - name: faulty
                zones: [de-fra-1]
                endpoint: "{self.endpoint}"
            scrape:
              max_response_bytes: 1048576
        """
        self.exporter = stack.enter_context(Exporter(configuration(yaml, self.simulator)))

    def scrape(self) -> tuple[Answer, float]:
        started = time.monotonic()
        answer = self.exporter.scrape(timeout=DEADLINE + 0.5)
        return answer, time.monotonic() - started


def _by_simulator(scenario: Scenario, stack: ExitStack, *_: Any) -> tuple[str, Switch]:
    """The zone's requests meet the fault of this name."""
    del stack

    def switch(on: bool) -> None:
        scenario.simulator.set_fault("de-fra-1", scenario.row.fault if on else "none")

    return scenario.simulator.endpoint, switch


def _refused(scenario: Scenario, stack: ExitStack, *_: Any) -> tuple[str, Switch]:
    """Nothing listens on the port while the fault is on."""
    second = stack.enter_context(ExitStack())
    first = second.enter_context(Simulator(now=lambda: START))
    port = int(first.url.rpartition(":")[2])

    def switch(on: bool) -> None:
        scenario.exporter.scraper.close()
        second.close()
        if on:
            second.enter_context(socket.socket()).bind(("127.0.0.1", port))  # so that no one else takes the port
        else:
            second.enter_context(Simulator(port=port, now=lambda: START))

    return first.endpoint, switch


def _name(answer: Any) -> Callable[..., tuple[str, Switch]]:
    def setup(scenario: Scenario, stack: ExitStack, resolve: dict[str, Any], _: Any) -> tuple[str, Switch]:
        del stack
        host = f"{scenario.row.fault}.localhost"
        resolve[host] = "127.0.0.1"

        def switch(on: bool) -> None:
            scenario.exporter.scraper.close()  # a connection that is kept alive needs no name
            resolve[host] = answer if on else "127.0.0.1"

        return scenario.simulator.endpoint.replace("127.0.0.1", host), switch

    return setup


def _tls(make_bad: Callable[[trustme.CA], trustme.LeafCert]) -> Callable[..., tuple[str, Switch]]:
    """A certificate that is good while the fault is off."""

    def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context

    def setup(scenario: Scenario, stack: ExitStack, _: Any, ca: trustme.CA) -> tuple[str, Switch]:
        good = context(ca.issue_cert("127.0.0.1"))
        bad = context(make_bad(ca))
        secure = stack.enter_context(Simulator(now=lambda: START, tls=good))

        def switch(on: bool) -> None:
            scenario.exporter.scraper.close()
            secure.tls = bad if on else good

        return secure.endpoint, switch

    return setup


def _tls_silent(scenario: Scenario, stack: ExitStack, _: Any, ca: trustme.CA) -> tuple[str, Switch]:
    """The port accepts connections and says nothing to their handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    second = stack.enter_context(ExitStack())
    first = second.enter_context(Simulator(now=lambda: START, tls=context))
    port = int(first.url.rpartition(":")[2])

    def switch(on: bool) -> None:
        scenario.exporter.scraper.close()
        second.close()
        if on:
            second.enter_context(socket.create_server(("127.0.0.1", port)))
        else:
            second.enter_context(Simulator(port=port, now=lambda: START, tls=context))

    return first.endpoint, switch


def _expired(ca: trustme.CA) -> trustme.LeafCert:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return ca.issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=9), not_after=yesterday)


SETUPS: dict[str, Callable[..., tuple[str, Switch]]] = {
    "refused": _refused,
    "name-unknown": _name(socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
    "name-slow": _name(2.0),
    "tls-unknown-ca": _tls(lambda _: trustme.CA().issue_cert("127.0.0.1")),
    "tls-wrong-host": _tls(lambda ca: ca.issue_cert("api.example")),
    "tls-expired": _tls(_expired),
    "tls-silent": _tls_silent,
}


@dataclass(frozen=True)
class Observed:
    """What a row's three scrapes gave, and what else could be seen."""

    before: Answer
    during: Answer
    after: Answer
    seconds: float
    warnings: list[Any]
    everything: str
    secrets: tuple[str, ...]


def observe(row: Row, resolve: dict[str, Any], ca: trustme.CA) -> Observed:
    with ExitStack() as stack:
        scenario = Scenario(stack, row, resolve, ca)
        before, _ = scenario.scrape()
        scenario.switch(True)
        during, seconds = scenario.scrape()
        page = scenario.exporter.get("/").text
        scenario.switch(False)
        if row.fault == "name-slow":
            time.sleep(1.5)  # a name that resolves slowly cannot be interrupted, and holds up the next request
        after, _ = scenario.scrape()
        warnings = scenario.exporter.log.of("warning")
        everything = f"{during.text}{page}{scenario.exporter.log.entries}"
        return Observed(before, during, after, seconds, warnings, everything, (Simulator.secret, Simulator.key))


@pytest.fixture(scope="module")
def observations() -> Iterator[dict[Row, Future[Observed]]]:
    """All rows, side by side."""
    ca = trustme.CA()
    resolve: dict[str, Any] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        answer = resolve.get(host, host)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            time.sleep(answer)
            answer = "127.0.0.1"
        return real(answer, *args, **kwargs)

    with (
        pytest.MonkeyPatch.context() as patch,
        ca.cert_pem.tempfile() as bundle,
        ThreadPoolExecutor(6) as pool,
    ):
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        patch.setenv("REQUESTS_CA_BUNDLE", bundle)
        futures = {row: pool.submit(observe, row, resolve, ca) for row in ROWS}
        wait(futures.values())  # before pytest changes the environment, which `requests` reads
        yield futures


@pytest.fixture(params=ROWS, ids=lambda row: row.fault)
def row(request: pytest.FixtureRequest) -> Row:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def observed(row: Row, observations: dict[Row, Future[Observed]]) -> Observed:
    return observations[row].result()


def errors(answer: Answer) -> dict[str, float]:
    found = answer.select("exoscale_ai_scrape_errors_total", account="faulty")
    return {dict(series)["reason"]: value for series, value in found.items()}


def fleet_of(answer: Answer, account: str) -> dict[Any, float]:
    """What is known of an account's deployments, without what differs from scrape to scrape."""
    return {key: value for key, value in answer.about(account=account).items() if "_deployment" in key[0]}


def test_the_answer_is_in_time(observed: Observed) -> None:
    assert observed.seconds < ANSWERED_WITHIN


def test_the_right_reason_goes_up_by_one_and_no_other(row: Row, observed: Observed) -> None:
    assert errors(observed.before) == dict.fromkeys(Reason, 0.0)
    assert errors(observed.during) == {reason: float(reason == row.reason) for reason in Reason}


def test_up_is_0_for_the_zone(observed: Observed) -> None:
    assert observed.during.value("exoscale_ai_up", account="faulty", zone="de-fra-1") == 0
    assert observed.during.value("exoscale_ai_up", account="steady", zone="ch-gva-2") == 1


def test_the_other_zone_is_complete_and_unchanged(observed: Observed) -> None:
    assert len(fleet_of(observed.before, "steady")) > 50
    assert fleet_of(observed.during, "steady") == fleet_of(observed.before, "steady")


def test_no_old_value_of_the_zone_is_left(observed: Observed) -> None:
    assert len(fleet_of(observed.before, "faulty")) > 40
    assert fleet_of(observed.during, "faulty") == {}
    assert observed.during.value("exoscale_ai_invalid_entries", account="faulty", zone="de-fra-1") is None


def test_a_line_of_the_log_says_what_is_wrong(row: Row, observed: Observed) -> None:
    failures = [entry for entry in observed.warnings if entry["event"] == "listing failed"]
    assert len(failures) == 1
    assert failures[0]["account"] == "faulty"
    assert failures[0]["reason"] == row.reason
    assert row.words in failures[0]["error"]
    assert "\n" not in failures[0]["error"]
    assert len(failures[0]["error"]) < 450


def test_no_secret_is_anywhere(observed: Observed) -> None:
    for secret in observed.secrets:
        assert secret not in observed.everything
    assert "signature=" not in observed.everything


def test_the_next_healthy_scrape_recovers(row: Row, observed: Observed) -> None:
    if not row.recovers:
        assert observed.after.value("exoscale_ai_up", account="faulty", zone="de-fra-1") == 0
        assert errors(observed.after)["rate_limited"] >= 2
        return
    assert observed.after.value("exoscale_ai_up", account="faulty", zone="de-fra-1") == 1
    assert fleet_of(observed.after, "faulty") == fleet_of(observed.before, "faulty")


def test_every_fault_of_the_simulator_has_its_row() -> None:
    assert set(faults.FAULTS) - {row.fault for row in ROWS} == HARMLESS
    assert len(ROWS) >= 40


def test_no_thread_is_left(observations: dict[Row, Future[Observed]]) -> None:
    for future in observations.values():
        future.result()
    stuck = [thread.name for thread in threading.enumerate() if "Target" in thread.name]
    assert not stuck

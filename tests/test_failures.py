"""What an exception or an answer is called, and the API's own words in one safe line."""

import json
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from exporter import failures
from exporter.errors import Failure, Reason
from exporter.instruments import Instruments
from exporter.scrape import Scraper
from exporter.simulator.server import Simulator
from exporter.target import Target
from tests.harness import Log, configuration


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"title": "Bad Request", "status": 400, "detail": "Invalid visibility"}, "Bad Request: Invalid visibility"),
        ({"title": "Bad", "errors": ["a is wrong", "b is missing"]}, "Bad: a is wrong: b is missing"),
        ({"detail": "Bad", "errors": [{"path": "/a", "detail": "too long"}, {"pointer": "/b"}]}, "Bad: too long"),
        ({"title": "Same", "detail": "Same"}, "Same"),
        ({"message": "Invalid request signature"}, "Invalid request signature"),
        ({"error": "slow down", "retry_after": 30}, "slow down"),
        ({"error": {"code": 7, "message": "nested"}}, "nested"),
        ({"errors": "no list"}, ""),
        ({"status": 500}, ""),
        ("just a text", "just a text"),
        (["a", "list"], ""),
        (None, ""),
    ],
    ids=repr,
)
def test_the_words_of_json(body: Any, words: str) -> None:
    assert failures.words(json.dumps(body).encode()) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b"Service Unavailable\n", "Service Unavailable"),
        (b"<html><style>b{}</style><script>x()</script><h1>502</h1>\n<p>Bad &amp; gone</p>", "502 Bad & gone"),
        (b"\xff\xfe\x00binary", "�� binary"),
        (b"two\r\nlines\x1b[31m red\x00", "two lines [31m red"),
        (b"x" * 1000, "x" * 239 + "…"),
        (b"[" * 100_000, "[" * 239 + "…"),
        (b"EXO2-HMAC-SHA256 credential=EXOkey,expires=1,signature=abc= is wrong", "… is wrong"),
        (b"bad signature=abc123, credential=EXOkey", "bad …, …"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_the_words_of_anything_else(body: bytes, words: str) -> None:
    assert failures.words(body) == words


@given(st.binary())
def test_any_body_gives_one_line_of_limited_length(body: bytes) -> None:
    words = failures.words(body)
    assert words.isprintable()
    assert len(words) <= failures.MAX_WORDS


@given(st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_json_gives_one_line_of_limited_length(document: Any) -> None:
    words = failures.words(json.dumps({"errors": document, "error": document}).encode())
    assert words.isprintable()
    assert len(words) <= failures.MAX_WORDS


def test_a_status_that_has_no_name_is_called_by_its_number() -> None:
    failure = failures.from_status(599, b"", "list-deployments")
    assert (failure.reason, failure.message) == (Reason.SERVER_ERROR, "the API answered 599")


@pytest.mark.parametrize(("skew", "words"), [(61, "61 s ahead of"), (-90, "90 s behind"), (59, ""), (None, "")])
def test_the_clock_is_mentioned_when_it_is_off_by_more_than_a_minute(skew: float | None, words: str) -> None:
    message = failures.from_status(403, b"", "list-deployments", clock_skew=skew).message
    assert ("clock" in message) == bool(words)
    assert words in message


def test_an_exception_that_nothing_is_known_of_is_a_failed_request() -> None:
    failure = failures.from_exception(requests.exceptions.InvalidURL("odd"))
    assert (failure.reason, failure.message) == (Reason.CONNECTION, "the request failed: odd")
    assert failures.from_exception(ValueError()).message == "the request failed: ValueError"


def test_a_cause_is_found_however_deep_it_is_wrapped() -> None:
    refused = urllib3.exceptions.NewConnectionError(None, "x")  # type: ignore[arg-type]
    refused.__cause__ = ConnectionRefusedError(111, "Connection refused")
    wrapped = requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", refused))  # type: ignore[arg-type]
    assert failures.from_exception(wrapped).message == "the API's host refused the connection"


def test_exceptions_that_are_each_other_s_cause_come_to_an_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert failures.from_exception(first).reason is Reason.CONNECTION


def test_a_bug_in_a_listing_is_a_failure_of_its_zone_and_a_traceback_in_the_log(simulator: Simulator) -> None:
    class Broken:
        def get(self, *_: Any) -> Any:
            raise RuntimeError("a bug")

    log = Log()
    account = configuration("accounts: [{zones: [z]}]", simulator).accounts[0]
    target = Target(account, "z", Broken(), 0.0, Instruments("", ""), log.logger)  # type: ignore[arg-type]
    outcome = target.listing(1e9).result(timeout=5).outcome
    assert isinstance(outcome, Failure)
    assert outcome.message == "unexpected RuntimeError, see the log"
    assert log.of("error")[0]["exc_info"]


def test_a_failure_that_is_kept_does_not_keep_the_answer_that_it_is_about(simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "truncated-json")
    current = configuration("accounts: [{zones: [ch-gva-2]}]", simulator)
    scraper = Scraper(current, Instruments("", ""), Log().logger)
    (visit,) = scraper()
    scraper.close()
    assert visit.failure
    assert visit.failure.__traceback__ is None
    assert visit.failure.__context__ is None

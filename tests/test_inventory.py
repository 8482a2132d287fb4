"""What the parser makes of an answer. The forms an entry can take are shown by the golden files."""

import json
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from exporter.errors import Failure, Reason
from exporter.inventory import KNOWN_STATES, MAX_JSON_VALUES, parse_deployments, parse_zones, timestamp

ENTRY = {"name": "chat", "state": "ready", "model": {"name": "mistral"}}


def listing(*entries: Any) -> bytes:
    return json.dumps({"deployments": entries}).encode()


def test_an_unreadable_entry_costs_itself_only() -> None:
    inventory = parse_deployments(listing(ENTRY, {"state": "ready"}, {**ENTRY, "name": "embeddings"}), "private")
    assert [deployment.name for deployment in inventory.deployments] == ["chat", "embeddings"]
    assert inventory.invalid == ("deployments[1]: Object missing required field name",)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        42,
        "chat",
        [],
        {},
        {**ENTRY, "name": None},
        {**ENTRY, "name": 7},
        {**ENTRY, "state": 1},
        {**ENTRY, "model": "mistral"},
        {**ENTRY, "model": {"name": []}},
        {**ENTRY, "replicas": "2"},
        {**ENTRY, "replicas": True},
        {**ENTRY, "replicas": 1.5},
        {**ENTRY, "replicas": 2**63},
        {**ENTRY, "gpu-count": -(2**63) - 1},
        {**ENTRY, "created-at": "yesterday"},
        {**ENTRY, "created-at": 1777887720},
        {**ENTRY, "updated-at": "2026-02-30T00:00:00Z"},
        {**ENTRY, "name": "half \ud83d"},
        {**ENTRY, "model": {"name": "half \ude00"}},
    ],
    ids=repr,
)
def test_an_entry_of_wrong_types_is_unreadable(entry: Any) -> None:
    inventory = parse_deployments(listing(ENTRY, entry), "private")
    assert len(inventory.deployments) == 1
    assert len(inventory.invalid) == 1
    assert inventory.invalid[0].startswith("deployments[1]: ")


@pytest.mark.parametrize("before_the_slice_ends", range(5))
def test_half_a_character_is_found_where_two_slices_of_a_long_answer_meet(before_the_slice_ends: int) -> None:
    begun = listing(ENTRY, {**ENTRY, "name": "\ud83d"}).index(b"\\ud83d")
    longer = "chat" + "x" * (2**20 - before_the_slice_ends - begun)
    body = listing({**ENTRY, "name": longer}, {**ENTRY, "name": "\ud83d"})
    assert body.index(b"\\ud83d") == 2**20 - before_the_slice_ends
    assert parse_deployments(body, "private").invalid == ("deployments[1]: holds text that is not Unicode",)


def test_what_an_entry_says_is_not_repeated_in_why_it_is_unreadable() -> None:
    inventory = parse_deployments(listing({**ENTRY, "replicas": "a secret"}), "private")
    assert "a secret" not in inventory.invalid[0]


def test_entries_that_cannot_be_told_apart_give_one_deployment_and_say_so() -> None:
    inventory = parse_deployments(listing({**ENTRY, "replicas": 1}, {**ENTRY, "replicas": 2}), "private")
    assert [deployment.replicas for deployment in inventory.deployments] == [1]
    assert inventory.invalid == ("deployments[1]: same id, name and model as another entry",)


def test_names_are_not_unique() -> None:
    inventory = parse_deployments(listing({**ENTRY, "id": "a"}, {**ENTRY, "id": "b"}), "private")
    assert [deployment.id for deployment in inventory.deployments] == ["a", "b"]


@pytest.mark.parametrize(
    ("wanted", "kept"), [("private", ["private", None, "secret"]), ("public", ["public", None, "secret"])]
)
def test_the_other_visibility_is_dropped_and_what_is_neither_is_kept(wanted: Any, kept: list[str | None]) -> None:
    entries = [{**ENTRY, "id": str(v), "visibility": v} for v in ("private", "public", None, "secret")]
    inventory = parse_deployments(listing(*entries), wanted)
    assert [deployment.visibility for deployment in inventory.deployments] == kept
    assert inventory.invalid == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "an empty answer"),
        (b" \n", "an empty answer"),
        (b"<html>", "HTML"),
        (b"hello", "not JSON"),
        (b'{"deployments":[', "not JSON"),
        (b"[]", "JSON without a list 'deployments'"),
        (b"null", "JSON without a list 'deployments'"),
        (b'"deployments"', "JSON without a list 'deployments'"),
        (b"{}", "JSON without a list 'deployments'"),
        (b'{"deployments":null}', "JSON without a list 'deployments'"),
        (b'{"deployments":{}}', "JSON without a list 'deployments'"),
        (b'{"deployments":[]} []', "not JSON"),
        (b'\xef\xbb\xbf{"deployments":[]}', "not JSON"),
        (b'{"deployments":[],"x":"\xff"}', "not UTF-8 text"),
        (b'{"deployments":[NaN]}', "JSON with NaN"),
        (b'{"deployments":[-Infinity]}', "JSON with -Infinity"),
        (b'{"deployments":[],"deployments":[]}', "JSON with a key given twice"),
        (b'{"deployments":[{"name":"a","name":"b"}]}', "JSON with a key given twice"),
        (b'{"deployments":[' + b"9" * 5000 + b"]}", "JSON with a number of thousands of digits"),
        (b'{"deployments":' + b"[" * 100_000, "JSON nested too deeply"),
        (b'{"deployments":[' + b'{"a":' * 100_000, "JSON nested too deeply"),
        (b'{"deployments":[' + b"{}," * MAX_JSON_VALUES + b"{}]}", "more than 2000000 values"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else "",
)
def test_an_answer_that_is_no_listing_is_an_invalid_response(body: bytes, words: str) -> None:
    with pytest.raises(Failure) as failure:
        parse_deployments(body, "private")
    assert failure.value.reason is Reason.INVALID_RESPONSE
    assert words in failure.value.message


def test_infinity_by_size_is_no_integer() -> None:
    assert len(parse_deployments(b'{"deployments":[{"name":"a","replicas":1e999}]}', "private").invalid) == 1


def test_zones_are_names_in_the_order_of_the_answer_without_repetition() -> None:
    body = json.dumps({"zones": [{"name": "b"}, {"name": "a"}, {"name": "b"}, {}, {"name": None}, "c", 7]}).encode()
    assert parse_zones(body) == ("b", "a")


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("1970-01-01T00:00:00+00:00", 0),
        ("1969-12-31T23:59:59.500000+00:00", -0.5),
        ("0001-01-01T00:00:00+14:00", -62135647200),
        ("9999-12-31T23:59:59-14:00", 253402351199),
        ("2026-05-04T09:42:00", 1777887720),
        ("2026-05-04T11:42:00+02:00", 1777887720),
    ],
)
def test_dates_in_unix_time(date: str, seconds: float) -> None:
    assert timestamp(datetime.fromisoformat(date)) == seconds


def test_the_known_states_are_sorted() -> None:
    assert list(KNOWN_STATES) == sorted(KNOWN_STATES)


FIRST_ANSWERS = """
import sys, threading
from exporter.inventory import parse_deployments

ANSWER = b'{"deployments": [{"name": "a", "model": {"id": "b"}, "created-at": "2026-05-04T09:42:00Z"}]}'

def parse():
    together.wait()
    parse_deployments(ANSWER, "private")

sys.setswitchinterval(1e-6)
together = threading.Barrier(30)
threads = [threading.Thread(target=parse) for _ in range(30)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("attempt", range(8))
def test_the_first_answers_may_come_all_at_once(attempt: int) -> None:  # noqa: ARG001 # it is a matter of luck
    """Without a first conversion at import, three of five processes die of a segmentation fault."""
    subprocess.run([sys.executable, "-c", FIRST_ANSWERS], check=True)

"""Whatever the API answers, the parser says what it is, and the exposition can be read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter import exposition
from exporter.errors import Failure, Reason
from exporter.inventory import Inventory, parse_deployments, parse_zones
from exporter.visit import Visit
from tests.harness import sample_values

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
FIELDS = (
    "name",
    "state",
    "id",
    "model",
    "replicas",
    "gpu-count",
    "gpu-type",
    "service-level",
    "visibility",
    "deployment-url",
    "created-at",
    "updated-at",
)

# Lone surrogates too: JSON can hold them, text cannot.
texts = st.text(st.characters(), max_size=20)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
dates = st.datetimes().map(lambda date: date.isoformat() + "Z") | texts
good = {
    "name": texts,
    "state": texts | st.sampled_from(["ready", "error", "unknown", "READY"]),
    "id": st.none() | texts,
    "model": st.fixed_dictionaries({}, optional={"id": texts, "name": texts}),
    "replicas": st.integers(-(2**64), 2**64),
    "gpu-count": st.none() | st.integers(1, 8),
    "visibility": st.sampled_from(["private", "public"]) | texts,
    "created-at": dates,
    "updated-at": dates,
}
entries = st.fixed_dictionaries({}, optional=good)


def exposed(body: bytes) -> Inventory | Failure:
    """Parses the body and its exposition in both formats; fails where either cannot be read or repeats a series."""
    outcome: Inventory | Failure
    try:
        outcome = parse_deployments(body, "private")
    except Failure as failure:
        assert failure.reason is Reason.INVALID_RESPONSE
        outcome = failure
    visit = Visit(account="a", zone="z", at=1.0, seconds=0.5, outcome=outcome)
    text = exposition.encode([visit]).body.decode()
    openmetrics = exposition.encode([visit], accept=OPENMETRICS).body.decode()
    values = sample_values(text)
    read_as_openmetrics = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(openmetrics)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }
    assert read_as_openmetrics == values
    return outcome


@given(json_values)
def test_any_json_in_place_of_the_answer(value: Any) -> None:
    exposed(json.dumps(value).encode())


@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_the_answer(body: bytes) -> None:
    exposed(body)


@given(json_values)
def test_any_json_in_place_of_the_list(value: Any) -> None:
    exposed(json.dumps({"deployments": value}).encode())


@given(st.lists(json_values, max_size=5))
def test_any_json_in_place_of_entries(values: list[Any]) -> None:
    outcome = exposed(json.dumps({"deployments": values}).encode())
    assert isinstance(outcome, Inventory)
    assert len(outcome.deployments) + len(outcome.invalid) <= len(values)


@pytest.mark.parametrize("field", FIELDS)
@given(value=json_values)
def test_any_json_in_place_of_a_field(field: str, value: Any) -> None:
    good_entry = {"name": "good", "state": "ready", "model": {"name": "m"}, "visibility": "private"}
    outcome = exposed(json.dumps({"deployments": [{**good_entry, "id": "1", field: value}, good_entry]}).encode())
    assert isinstance(outcome, Inventory)
    assert "good" in [deployment.name for deployment in outcome.deployments], "the entry beside it survives"


@given(st.lists(entries, max_size=6))
def test_entries_of_almost_the_right_form(values: list[Any]) -> None:
    outcome = exposed(json.dumps({"deployments": values}).encode())
    assert isinstance(outcome, Inventory)
    dropped = len(values) - len(outcome.deployments) - len(outcome.invalid)
    assert 0 <= dropped <= sum(value.get("visibility") == "public" for value in values)


@given(json_values)
def test_any_json_in_place_of_the_zones(value: Any) -> None:
    for document in (value, {"zones": value}):
        try:
            names = parse_zones(json.dumps(document).encode())
        except Failure as failure:
            assert failure.reason is Reason.INVALID_RESPONSE
        else:
            assert all(isinstance(name, str) for name in names)

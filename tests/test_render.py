"""What is rendered is what `prometheus_client` would write, byte for byte."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from exporter import exposition, render
from exporter.errors import Failure, Reason
from exporter.inventory import KNOWN_STATES, Deployment, Inventory, Model, identity
from exporter.metrics import TABLE, Row
from exporter.visit import Visit
from tests import stock

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
FORMATS = ("", "text/plain; version=1.0.0; escaping=allow-utf-8", OPENMETRICS, f"{OPENMETRICS}; escaping=allow-utf-8")

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\"\n%{},= s'), max_size=8)
# Far outside of what the API sends: the widest that the types allow.
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=True, allow_infinity=True)
dates = st.datetimes(timezones=st.none() | st.just(UTC))
deployments = st.builds(
    Deployment,
    name=texts,
    state=st.none() | st.sampled_from(KNOWN_STATES) | texts,
    id=st.none() | texts,
    model=st.none() | st.builds(Model, id=st.none() | texts, name=st.none() | texts),
    replicas=st.none() | integers,
    gpu_count=st.none() | integers,
    gpu_type=st.none() | texts,
    service_level=st.none() | texts,
    visibility=st.none() | texts,
    deployment_url=st.none() | texts,
    created_at=st.none() | dates,
    updated_at=st.none() | dates,
)
inventories = st.builds(
    Inventory,
    deployments=st.lists(deployments, max_size=4, unique_by=identity).map(tuple),
    invalid=st.lists(texts, max_size=2).map(tuple),
)
visits = st.lists(
    st.builds(
        Visit,
        account=texts,
        zone=texts,
        at=floats,
        seconds=floats,
        outcome=inventories | st.just(Failure(Reason.TIMEOUT, "no answer")),
        clock_skew=st.none() | floats,
        last_success=st.none() | floats,
        cache_age=st.none() | floats,
    ),
    max_size=3,
    unique_by=lambda visit: (visit.account, visit.zone),
)


class Stock(Collector):
    def __init__(self, found: list[Visit]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        return stock.families(self._found)

    describe = collect


def by_the_library(found: list[Visit], accept: str, names: list[str]) -> bytes:
    registry = CollectorRegistry()
    registry.register(Stock(found))
    encoder, _ = choose_encoder(accept)
    return encoder(registry.restricted_registry(names) if names else registry)


@pytest.mark.parametrize("accept", FORMATS)
@given(found=visits)
def test_any_visits_are_written_as_the_library_writes_them(accept: str, found: list[Visit]) -> None:
    assert exposition.encode(found, accept=accept).body == by_the_library(found, accept, [])


@pytest.mark.parametrize("scheme", ["dots", "values"])
def test_names_are_not_rewritten_and_the_answer_says_so(scheme: str) -> None:
    found = [Visit("a", "z", at=1.0, seconds=1.0, outcome=Inventory(()))]
    answer = exposition.encode(found, accept=f"{OPENMETRICS}; escaping={scheme}")
    assert answer.body == exposition.encode(found, accept=OPENMETRICS).body
    assert answer.headers["Content-Type"].endswith("escaping=underscores")


@given(found=visits, names=st.lists(st.sampled_from([row.name for row in TABLE]), min_size=1, unique=True))
def test_a_selection_by_name_is_the_librarys_too(found: list[Visit], names: list[str]) -> None:
    assert exposition.encode(found, names=names).body == by_the_library(found, "", names)


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, 1e6, 123456789.0, 1e21, 1e-7, 0.1, float("inf"), float("nan")])
def test_numbers_are_written_as_the_library_writes_them(number: float) -> None:
    found = [Visit("a", "z", at=1.0, seconds=number, outcome=Inventory(()))]
    assert b"".join(render.gauges(found)) == by_the_library(found, "", [])


def test_a_family_goes_on_after_many_deployments_without_a_sample() -> None:
    """Chunks are made of deployments: one that has no lines is not the end."""
    began = datetime(2026, 5, 4, tzinfo=UTC)
    silent = [Deployment(name=str(number)) for number in range(2 * render.CHUNK)]
    dated = [Deployment(name="dated", created_at=began + timedelta(days=1))]
    found = [Visit("a", "z", at=1.0, seconds=1.0, outcome=Inventory((*silent, *dated)))]
    assert b"".join(render.gauges(found)) == by_the_library(found, "", [])


def test_a_big_exposition_comes_in_chunks() -> None:
    many = tuple(Deployment(name=str(number), state="ready") for number in range(10 * render.CHUNK))
    chunks = list(render.gauges([Visit("a", "z", at=1.0, seconds=1.0, outcome=Inventory(many))]))
    assert max(map(len, chunks)) < sum(map(len, chunks)) / 10


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_help_needs_no_escaping_in_either_format(row: Row) -> None:
    assert not set(row.help) & set('\\"\n')

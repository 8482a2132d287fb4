"""THE table of metrics.

A row is a metric: its name, help, labels and, for what a scrape finds, the function of the domain object that gives
its samples. `exporter.render`, the documentation and the tests follow from the table. To add a metric, add a row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from prometheus_client.metrics_core import Metric

from exporter.inventory import KNOWN_STATES, Deployment, Identity, timestamp
from exporter.visit import Visit

ZONE_LABELS = ("account", "zone")
DEPLOYMENT_LABELS = (*ZONE_LABELS, *Identity._fields)

T = TypeVar("T")
Sample = tuple[tuple[str, ...], float]
"""Values of the labels that a row adds to the common ones, and the sample's value."""


@dataclass(frozen=True)
class Row:
    """A metric. `labels` are all of its labels, `kind` is gauge, counter or histogram."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: str = "gauge"


@dataclass(frozen=True)
class Gauge(Row, Generic[T]):
    """A metric of a scrape: a function of T, which is a deployment or a visit."""

    def samples(self, thing: T) -> Iterator[Sample]:
        """What there is to say of it, one sample for each series."""
        raise NotImplementedError


@dataclass(frozen=True)
class Value(Gauge[T]):
    """A number. There is no sample where the API says nothing: absent is not zero."""

    value: Callable[[T], float | None] = lambda _: None

    def samples(self, thing: T) -> Iterator[Sample]:
        number = self.value(thing)
        if number is not None:
            yield (), number


@dataclass(frozen=True)
class State(Gauge[T]):
    """1 for the current state, 0 for the others that are known: the label `state`."""

    state: Callable[[T], str] = lambda _: "unknown"

    def samples(self, thing: T) -> Iterator[Sample]:
        current = self.state(thing)
        for state in states(current):
            yield (state,), float(state == current)


@dataclass(frozen=True)
class Info(Gauge[T]):
    """Always 1: what there is to say is in the labels that it adds, in this order."""

    fields: Callable[[T], tuple[str, ...]] = lambda _: ()

    def samples(self, thing: T) -> Iterator[Sample]:
        yield self.fields(thing), 1.0


def states(current: str) -> tuple[str, ...]:
    """The states that have a series while this one is current."""
    return KNOWN_STATES if current in KNOWN_STATES else (*KNOWN_STATES, current)


def _of_zone(name: str, help: str, value: Callable[[Visit], float | None]) -> Gauge[Visit]:
    return Value(name, help, ZONE_LABELS, value=value)


def _of_deployment(name: str, help: str, value: Callable[[Deployment], float | None]) -> Gauge[Deployment]:
    return Value(name, help, DEPLOYMENT_LABELS, value=value)


def _date(date: datetime | None) -> float | None:
    return None if date is None else timestamp(date)


def _info(deployment: Deployment) -> tuple[str, ...]:
    return (
        (deployment.model and deployment.model.id) or "",
        deployment.gpu_type or "",
        deployment.service_level or "",
        deployment.visibility or "",
        deployment.deployment_url or "",
    )


DEPLOYMENT_GAUGES: tuple[Gauge[Deployment], ...] = (
    _of_deployment(
        "exoscale_ai_deployment_replicas",
        "Replicas of the deployment (API field replicas). 0 is a deployment scaled to zero.",
        lambda deployment: deployment.replicas,
    ),
    _of_deployment(
        "exoscale_ai_deployment_gpu_count_per_replica",
        "GPUs that each replica holds (API field gpu-count). A deployment holds this times its replicas.",
        lambda deployment: deployment.gpu_count,
    ),
    State(
        "exoscale_ai_deployment_state",
        "State of the deployment (API field state): 1 for the current state, 0 for the others.",
        (*DEPLOYMENT_LABELS, "state"),
        state=lambda deployment: deployment.state or "unknown",
    ),
    Info(
        "exoscale_ai_deployment_info",
        "What else is known of the deployment (API fields model.id, gpu-type, service-level, visibility, "
        "deployment-url). Always 1.",
        (*DEPLOYMENT_LABELS, "model_id", "gpu_type", "service_level", "visibility", "url"),
        fields=_info,
    ),
    _of_deployment(
        "exoscale_ai_deployment_created_timestamp_seconds",
        "When the deployment was created (API field created-at), in Unix time.",
        lambda deployment: _date(deployment.created_at),
    ),
    _of_deployment(
        "exoscale_ai_deployment_updated_timestamp_seconds",
        "When the deployment was last updated (API field updated-at), in Unix time.",
        lambda deployment: _date(deployment.updated_at),
    ),
)

ZONE_GAUGES: tuple[Gauge[Visit], ...] = (
    _of_zone(
        "exoscale_ai_deployments",
        "Deployments listed in the zone (API operation list-deployments). Absent when the listing failed.",
        lambda visit: len(visit.inventory.deployments) if visit.inventory else None,
    ),
    _of_zone(
        "exoscale_ai_invalid_entries",
        "Entries of the listing that were left out: not readable, or with the same id, name and model as another.",
        lambda visit: len(visit.inventory.invalid) if visit.inventory else None,
    ),
    _of_zone(
        "exoscale_ai_up",
        "1 if the listing of the zone (API operation list-deployments) succeeded in this scrape, else 0.",
        lambda visit: float(visit.inventory is not None),
    ),
    _of_zone(
        "exoscale_ai_scrape_duration_seconds",
        "How long the listing of the zone took.",
        lambda visit: visit.seconds,
    ),
    _of_zone(
        "exoscale_ai_last_success_timestamp_seconds",
        "When a listing of the zone last succeeded, in Unix time. Absent before the first.",
        lambda visit: visit.last_success,
    ),
    _of_zone(
        "exoscale_ai_cache_age_seconds",
        "Age of the listing used, where scrape.cache is on.",
        lambda visit: visit.cache_age,
    ),
    _of_zone(
        "exoscale_ai_clock_skew_seconds",
        "Local clock minus the API's (HTTP header Date, in whole seconds). Signatures fail when it grows to minutes.",
        lambda visit: visit.clock_skew,
    ),
)


SCRAPE_ERRORS = Row(
    "exoscale_ai_scrape_errors_total",
    "Listings of the zone that failed, by reason.",
    (*ZONE_LABELS, "reason"),
    "counter",
)
API_REQUESTS = Row(
    "exoscale_ai_api_requests_total",
    "Answers of the Exoscale API, by its name of the operation and HTTP status.",
    (*ZONE_LABELS, "operation", "code"),
    "counter",
)
API_REQUEST_DURATION = Row(
    "exoscale_ai_api_request_duration_seconds",
    "How long requests to the Exoscale API took, retries included, answered or not.",
    (*ZONE_LABELS, "operation"),
    "histogram",
)
BUILD_INFO = Row(
    "exoscale_ai_exporter_build_info",
    "Version of the exporter, the revision it was built from, and the version of Python. Always 1.",
    ("version", "revision", "python_version"),
)
RELOAD_SUCCESSFUL = Row(
    "exoscale_ai_exporter_config_last_reload_successful",
    "1 if the configuration was last loaded with success, else 0.",
)
RELOAD_SUCCESS_TIMESTAMP = Row(
    "exoscale_ai_exporter_config_last_reload_success_timestamp_seconds",
    "When the configuration was last loaded with success, in Unix time.",
)

TABLE: tuple[Row, ...] = (
    *DEPLOYMENT_GAUGES,
    *ZONE_GAUGES,
    SCRAPE_ERRORS,
    API_REQUESTS,
    API_REQUEST_DURATION,
    BUILD_INFO,
    RELOAD_SUCCESSFUL,
    RELOAD_SUCCESS_TIMESTAMP,
)
"""Every metric of the exporter's own. `exporter.instruments` keeps those that outlive a scrape."""


def of_zones(own: Iterable[Metric], visits: Sequence[Visit]) -> Iterator[Metric]:
    """Of families of the exporter's own, the samples about the zones visited."""
    visited = {(visit.account, visit.zone) for visit in visits}
    for family in own:
        samples = [s for s in family.samples if (s.labels.get("account"), s.labels.get("zone")) in visited]
        if samples:
            family.samples = samples
            yield family


def of_no_zone(own: Iterable[Metric]) -> Iterator[Metric]:
    """Of families of the exporter's own, those that are about itself and no zone."""
    zonal = {row.name.removesuffix("_total") for row in (SCRAPE_ERRORS, API_REQUESTS, API_REQUEST_DURATION)}
    return (family for family in own if family.name not in zonal)

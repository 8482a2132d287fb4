"""The gauges of the table as `prometheus_client` would give them: what `exporter.render` is held against."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from exporter.inventory import identity
from exporter.metrics import DEPLOYMENT_GAUGES, ZONE_GAUGES, Gauge, T
from exporter.visit import Visit


def families(visits: Sequence[Visit]) -> Iterator[Metric]:
    """Every family of the table for these visits, also those without a sample."""
    deployments = [
        ((visit.account, visit.zone, *identity(deployment)), deployment)
        for visit in visits
        if visit.inventory
        for deployment in visit.inventory.deployments
    ]
    zones = [((visit.account, visit.zone), visit) for visit in visits]
    yield from (_family(gauge, deployments) for gauge in DEPLOYMENT_GAUGES)
    yield from (_family(gauge, zones) for gauge in ZONE_GAUGES)


def _family(gauge: Gauge[T], things: Iterable[tuple[tuple[str, ...], T]]) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
    for labels, thing in things:
        for own_labels, value in gauge.samples(thing):
            family.add_metric((*labels, *own_labels), value)
    return family

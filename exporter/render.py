"""Visits → the text of the table's gauges, the same in Prometheus's text format and in OpenMetrics.

`prometheus_client` takes many times as long for it (benchmarks/RESULTS.md); its words are kept, byte for byte. Only
what a scrape finds is rendered here, since only that grows with the number of deployments.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter

from prometheus_client.utils import floatToGoString

from exporter.inventory import identity
from exporter.metrics import DEPLOYMENT_GAUGES, DEPLOYMENT_LABELS, ZONE_GAUGES, ZONE_LABELS, Gauge, Samples, T
from exporter.visit import Visit

CHUNK = 500
"""Deployments whose lines become bytes at once: other threads get their turn between two chunks."""

_SPECIAL = re.compile(r'[\\\n"]')
_in_order_of_names = itemgetter(*(DEPLOYMENT_LABELS.index(name) for name in sorted(DEPLOYMENT_LABELS)))


def gauges(visits: Sequence[Visit], names: Collection[str] = ()) -> Iterator[bytes]:
    """The gauges of the table for these visits, in chunks: every family, also those without a sample just now.

    With `names`, those families only, and none without a sample. A zone is visited once and a deployment's identity is
    unique in its inventory, so no series is ever given twice.
    """
    zones = [(_escaped((visit.account, visit.zone)), visit) for visit in visits]
    deployments = [
        (_escaped(_in_order_of_names((visit.account, visit.zone, *identity(deployment)))), deployment)
        for visit in visits
        if visit.inventory
        for deployment in visit.inventory.deployments
    ]
    for gauge in DEPLOYMENT_GAUGES:
        if not names or gauge.name in names:
            yield from _family(gauge, DEPLOYMENT_LABELS, deployments, always=not names)
    for zone_gauge in ZONE_GAUGES:
        if not names or zone_gauge.name in names:
            yield from _family(zone_gauge, ZONE_LABELS, zones, always=not names)


def _family(
    gauge: Gauge[T], common: Sequence[str], things: Sequence[tuple[tuple[str, ...], T]], *, always: bool
) -> Iterator[bytes]:
    """`things` come with the escaped values of the labels `common`, in the order of the labels' names."""
    labels = (f'{name}="{"%%s" if name in common else "%s"}"' for name in sorted(gauge.labels))
    line = f"{gauge.name}{{{','.join(labels)}}} %s\n"
    header = f"# HELP {gauge.name} {gauge.help}\n# TYPE {gauge.name} gauge\n"
    for start in range(0, len(things), CHUNK):
        found = [(values, gauge.samples(thing)) for values, thing in things[start : start + CHUNK]]
        chunk = "".join([_block(line, samples) % (values * len(samples)) for values, samples in found])
        if chunk:
            yield (header + chunk).encode()
            header = ""
    if header and always:
        yield header.encode()


@lru_cache
def _block(line: str, samples: Samples) -> str:
    """The lines of one deployment or zone, a template for the values of the labels that all gauges have.

    Cached, since most deployments are in one of a few states and have one of a few numbers of replicas.
    """
    return "".join(
        line % (*(value.replace("%", "%%") for value in _escaped(own)), floatToGoString(number))  # type: ignore[no-untyped-call] # the library's own words
        for own, number in samples
    )


def _escaped(values: tuple[str, ...]) -> tuple[str, ...]:
    if not _SPECIAL.search("".join(values)):
        return values
    return tuple(value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for value in values)

"""Visits → the text of the table's gauges, the same in Prometheus's text format and in OpenMetrics.

`prometheus_client` takes many times as long for it (benchmarks/RESULTS.md); its words are kept, byte for byte. Only
what a scrape finds is rendered here, since only that grows with the number of deployments.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter

from prometheus_client.utils import floatToGoString

from exporter.inventory import Deployment, Identity, identity
from exporter.metrics import DEPLOYMENT_GAUGES, ZONE_GAUGES, ZONE_LABELS, Gauge, Samples, T
from exporter.visit import Visit

CHUNK = 500
"""Deployments whose lines become bytes at once: other threads get their turn between two chunks."""
CACHED = 2048
"""Numbers and blocks of lines: from scrape to scrape most are the same, and deployments share them."""

_SPECIAL = re.compile(r'[\\\n"%]')
_IDENTITY = tuple(sorted(Identity._fields))
_identity_values = attrgetter(*_IDENTITY)
_IDENTITY_LABELS = ",".join(f'{name}="%s"' for name in _IDENTITY)

Labelled = tuple[tuple[str, ...], tuple[str, ...], T]
"""Of a deployment the values of its labels, escaped; the same as one text with their names; and the deployment.
Of a zone, which has no others than account and zone, nothing, nothing, and the visit."""


def gauges(visits: Sequence[Visit], names: Collection[str] = ()) -> Iterator[bytes]:
    """The gauges of the table for these visits, in chunks: every family, also those without a sample just now.

    With `names`, those families only, and none without a sample. A zone is visited once and a deployment's identity is
    unique in its inventory, so no series is ever given twice.
    """
    deployments = [
        (visit, [_labelled(one) for one in visit.inventory.deployments]) for visit in visits if visit.inventory
    ]
    for gauge in DEPLOYMENT_GAUGES:
        if not names or gauge.name in names:
            yield from _family(gauge, deployments, always=not names)
    zones: list[tuple[Visit, list[Labelled[Visit]]]] = [(visit, [((), (), visit)]) for visit in visits]
    for zone_gauge in ZONE_GAUGES:
        if not names or zone_gauge.name in names:
            yield from _family(zone_gauge, zones, always=not names)


def _labelled(deployment: Deployment) -> Labelled[Deployment]:
    values = _escaped(_identity_values(identity(deployment)), "%")
    return values, (_IDENTITY_LABELS % values,), deployment


def _family(gauge: Gauge[T], found: Sequence[tuple[Visit, Sequence[Labelled[T]]]], *, always: bool) -> Iterator[bytes]:
    header = f"# HELP {gauge.name} {gauge.help}\n# TYPE {gauge.name} gauge\n"
    for visit, things in found:
        for start in range(0, len(things), CHUNK):
            chunk = "".join(_lines(gauge, visit, things[start : start + CHUNK]))
            if chunk:
                yield (header + chunk).encode()
                header = ""
    if header and always:
        yield header.encode()


def _lines(gauge: Gauge[T], visit: Visit, things: Sequence[Labelled[T]]) -> list[str]:
    own = [name for name in gauge.labels if name not in (*ZONE_LABELS, *_IDENTITY)]
    # Labels that only this gauge has are filled in first, so that deployments with the same samples share the result.
    stages = 2 if own else 1
    slot = "%" * stages + "s"
    zonal = dict(zip(ZONE_LABELS, _escaped((visit.account, visit.zone), "%" * 2**stages), strict=True))
    slots = dict.fromkeys(_IDENTITY, slot) | dict.fromkeys(own, "%s") | zonal
    labels = ",".join(f'{name}="{slots[name]}"' for name in sorted(gauge.labels))
    side_by_side = ",".join(f'{name}="{slot}"' for name in _IDENTITY)
    line = f"{gauge.name}{{{labels.replace(side_by_side, slot)}}} %s\n"
    if not own:
        return [line % (*text, _number(number)) for _, text, thing in things for _, number in gauge.samples(thing)]
    form = 1 if side_by_side in labels else 0
    sampled = ((labelled[form], gauge.samples(labelled[2])) for labelled in things)
    return [_block(line, samples) % (values * len(samples)) for values, samples in sampled]


@lru_cache(CACHED)
def _block(line: str, samples: Samples) -> str:
    return "".join([line % (*_escaped(own, "%%"), _number(number)) for own, number in samples])


@lru_cache(CACHED)
def _number(number: float) -> str:
    return str(floatToGoString(number))  # type: ignore[no-untyped-call] # it has no types


def _escaped(values: tuple[str, ...], percent: str) -> tuple[str, ...]:
    """As the formats want it, and `%` as the templates want it that the values become part of."""
    if not _SPECIAL.search("".join(values)):
        return values
    escaped = (value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for value in values)
    return tuple(value.replace("%", percent) for value in escaped)

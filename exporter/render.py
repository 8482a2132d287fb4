"""Visits → the text of the table's gauges, the same in Prometheus's text format and in OpenMetrics.

`prometheus_client` takes many times as long for it (benchmarks/RESULTS.md); its words are kept, byte for byte. Only
what a scrape finds is rendered here, since only that grows with the number of deployments.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter

from prometheus_client.utils import floatToGoString

from exporter.inventory import Deployment, identity
from exporter.metrics import DEPLOYMENT_GAUGES, ZONE_GAUGES, Gauge, Info, State, T, Value, states
from exporter.visit import Visit

CHUNK = 500
"""Deployments whose lines become bytes at once: other threads get their turn between two chunks."""


Things = Sequence[tuple[str, tuple[str, ...], T]]
"""Deployments, each with the labels of its identity, escaped: as one text, and the values. Or a visit, with neither."""


def gauges(visits: Sequence[Visit], names: Collection[str] = ()) -> Iterator[bytes]:
    """The gauges of the table for these visits, in chunks: every family, also those without a sample just now.

    With `names`, those families only, and none without a sample. A zone is visited once and a deployment's identity is
    unique in its inventory, so no series is ever given twice.
    """
    listed = [(visit, visit.inventory.deployments) for visit in visits if visit.inventory]
    deployments = [(visit, [_labelled(one) for one in ones]) for visit, ones in listed]
    for gauge in DEPLOYMENT_GAUGES:
        if not names or gauge.name in names:
            yield from _family(gauge, deployments, always=not names)
    zones: list[tuple[Visit, Things[Visit]]] = [(visit, [("", (), visit)]) for visit in visits]
    for zone_gauge in ZONE_GAUGES:
        if not names or zone_gauge.name in names:
            yield from _family(zone_gauge, zones, always=not names)
    for _, things in deployments:
        while things:  # to free a long list at once would hold up all threads
            del things[-CHUNK:]


def _labelled(deployment: Deployment) -> tuple[str, tuple[str, ...], Deployment]:
    values = key, name, model = _escaped(identity(deployment))
    return f',deployment="{name}",deployment_id="{key}",model="{model}"', values, deployment


def _family(gauge: Gauge[T], found: Sequence[tuple[Visit, Things[T]]], *, always: bool) -> Iterator[bytes]:
    header = f"# HELP {gauge.name} {gauge.help}\n# TYPE {gauge.name} gauge\n"
    for visit, things in found:
        for start in range(0, len(things), CHUNK):
            chunk = "".join(_lines(gauge, visit, things[start : start + CHUNK]))
            if chunk:
                yield (header + chunk).encode()
                header = ""
    if header and always:
        yield header.encode()


def _lines(gauge: Gauge[T], visit: Visit, things: Things[T]) -> list[str]:
    account, zone = _escaped((visit.account, visit.zone))
    # Labels are in the order of their names.
    before, after = f'{gauge.name}{{account="{account}"', f',zone="{zone}"}} '
    match gauge:
        case Value(value=value):
            return [
                f"{before}{text}{after}{_number(number)}\n"
                for text, _, thing in things
                if (number := value(thing)) is not None
            ]
        case State(state=state):
            return [text.join(_around_states(before, state(thing), after)) for text, _, thing in things]
        case Info(labels=labels, fields=fields):
            names = sorted(labels)
            line = gauge.name + "{" + ",".join(f'{name}="%s"' for name in names) + "} 1.0\n"
            in_order = itemgetter(*(labels.index(name) for name in names))
            return [line % in_order((account, zone, *ids, *_escaped(fields(thing)))) for _, ids, thing in things]
    raise TypeError(gauge)


@lru_cache
def _around_states(before: str, current: str, after: str) -> tuple[str, ...]:
    """What stands before, between and after a deployment's labels in the lines of all states."""
    shown = states(current)
    ends = [
        f',state="{text}"{after}{float(state == current)}\n' for state, text in zip(shown, _escaped(shown), strict=True)
    ]
    return (before, *(end + before for end in ends[:-1]), ends[-1])


def _number(number: float) -> str:
    if isinstance(number, int):
        return _whole_number(number)
    return str(floatToGoString(number))  # type: ignore[no-untyped-call] # it has no types


@lru_cache
def _whole_number(number: int) -> str:
    """Of replicas and GPUs there are few; dates are many, and a cache would take -0.0 for 0.0."""
    return str(floatToGoString(number))  # type: ignore[no-untyped-call]


def _escaped(values: tuple[str, ...]) -> tuple[str, ...]:
    together = "".join(values)
    if '"' not in together and "\\" not in together and "\n" not in together:
        return values
    return tuple(value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for value in values)

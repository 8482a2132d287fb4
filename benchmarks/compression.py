"""What compression takes and saves, by size of the exposition and level."""

import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.api import listing
from exporter import exposition
from exporter.inventory import parse_deployments
from exporter.visit import Visit

LEVELS = (1, 3, 6, 9)
SIZES = (0, 1, 10, 100, 1_000, 10_000)


@dataclass(frozen=True)
class Compressed:
    """An exposition of as many deployments: bytes before and after, seconds that rendering and compressing take."""

    deployments: int
    level: int
    before: int
    after: int
    rendering: float
    compressing: float


def compressed() -> Iterator[Compressed]:
    """The least of five tries each."""
    for size in SIZES:
        inventory = parse_deployments(listing(size, update=0), "private")
        visit = Visit("a", "z", at=1.0, seconds=0.1, outcome=inventory, clock_skew=0.5, last_success=1.0)
        rendering, text = _least(partial(_body, visit))
        for level in LEVELS:
            compressing, packed = _least(partial(gzip.compress, text, level))
            yield Compressed(size, level, len(text), len(packed), rendering, compressing)


def _body(visit: Visit) -> bytes:
    return exposition.encode([visit]).body


def _least(work: Callable[[], bytes]) -> tuple[float, bytes]:
    least = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - began)
    return least, result

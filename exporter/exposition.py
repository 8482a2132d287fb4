"""Metric families → bytes, in the format and encoding that the client asks for."""

import gzip
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.metrics_core import Metric

GZIP_LEVEL = 1
GZIP_MIN_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Exposition:
    """The body of an answer to a scrape, and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


def encode(
    families: Iterable[Metric], accept: str = "", accept_encoding: str = "", names: Sequence[str] = ()
) -> Exposition:
    """Text format, or OpenMetrics where `accept` (the header) names it; gzip where `accept_encoding` allows it.

    With `names`, the samples of these names only (the parameter `name[]` of Prometheus's client libraries).
    """
    registry = _Snapshot.registry(families)
    try:
        encoder, content_type = choose_encoder(accept)
    except TypeError:  # prometheus_client compares the parts of a version that is no number with numbers
        encoder, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    body = encoder(registry.restricted_registry(names) if names else registry)
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if len(body) >= GZIP_MIN_BYTES and _accepts_gzip(accept_encoding):
        body = gzip.compress(body, GZIP_LEVEL)
        headers["Content-Encoding"] = "gzip"
    return Exposition(body, headers)


def _accepts_gzip(accept_encoding: str) -> bool:
    """By name, and unless it is refused with a weight of nothing (RFC 9110, section 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.replace(" ", "").partition(";")
        if coding == "gzip":
            return not re.fullmatch(r"q=0(\.0*)?", weight)
    return False


class _Snapshot:
    """Families that were collected already, as the collector that `prometheus_client` filters and encodes."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    @classmethod
    def registry(cls, families: Iterable[Metric]) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(cls(families))
        return registry

    def collect(self) -> Iterable[Metric]:
        return self._families

    describe = collect

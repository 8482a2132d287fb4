"""The answer to a scrape, in the format and encoding that the client asks for."""

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.metrics_core import Metric

from exporter import render
from exporter.visit import Visit

GZIP_LEVEL = 1
GZIP_MIN_BYTES = 1024
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_REWRITTEN_NAMES = re.compile(r";\s*escaping=(dots|values)\b")
"""Schemes that rewrite names which need none of it, and which a server need not have: our answer says which it took."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """The body of an answer to a scrape, in chunks, and the headers that describe it."""

    chunks: tuple[bytes, ...]
    headers: dict[str, str]

    @property
    def body(self) -> bytes:
        """All chunks as one."""
        return b"".join(self.chunks)


def encode(
    visits: Sequence[Visit] | None,
    own: Iterable[Metric] = (),
    accept: str = "",
    accept_encoding: str = "",
    names: Sequence[str] = (),
) -> Exposition:
    """The gauges of the visits, where the API was asked, and families of the exporter's own.

    Text format, or OpenMetrics where `accept` (the header) names it; gzip where `accept_encoding` allows it. With
    `names`, the samples of these names only (the parameter `name[]` of Prometheus's client libraries).
    """
    registry = _Snapshot.registry(own)
    try:
        encoder, content_type = choose_encoder(_REWRITTEN_NAMES.sub("", accept))
    except TypeError:  # prometheus_client compares the parts of a version that is no number with numbers
        encoder, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    gauges = () if visits is None else render.gauges(visits, names)
    # The gauges come first: the encoder ends what it writes with the line that ends all of OpenMetrics.
    chunks = (*gauges, encoder(registry.restricted_registry(names) if names else registry))
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if sum(map(len, chunks)) >= GZIP_MIN_BYTES and _accepts_gzip(accept_encoding):
        chunks = tuple(_gzip(chunks))
        headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(sum(map(len, chunks)))
    return Exposition(chunks, headers)


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()


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

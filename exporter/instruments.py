"""What the exporter counts about itself, from scrape to scrape, and the metrics of its process."""

import platform
from collections.abc import Iterator
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from exporter import metrics
from exporter.errors import Reason

LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds: around the answers of a healthy API, and up to the longest scrape timeouts in use."""

M = TypeVar("M", bound=MetricWrapperBase)


class Instruments:
    """Counters and gauges that outlive a scrape. Safe to use from several threads."""

    def __init__(self, version: str, revision: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Prometheus would store a second, useless series for each counter
        self._registry = CollectorRegistry()
        self._errors = self._add(Counter, metrics.SCRAPE_ERRORS)
        self._requests = self._add(Counter, metrics.API_REQUESTS)
        self._duration = self._add(Histogram, metrics.API_REQUEST_DURATION, buckets=LATENCY_BUCKETS)
        self._reload_successful = self._add(Gauge, metrics.RELOAD_SUCCESSFUL)
        self._reload_success_timestamp = self._add(Gauge, metrics.RELOAD_SUCCESS_TIMESTAMP)
        build_info = self._add(Gauge, metrics.BUILD_INFO)
        build_info.labels(version, revision, platform.python_version()).set(1)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def _add(self, kind: type[M], row: metrics.Row, **options: Any) -> M:
        return kind(row.name, row.help, row.labels, registry=self._registry, **options)

    def families(self) -> Iterator[Metric]:
        """All of it, with the values of now."""
        yield from self._registry.collect()

    def expect(self, account: str, zone: str) -> None:
        """Makes the counters of a zone exist at 0, so that `rate()` sees the first error."""
        for reason in Reason:
            self._errors.labels(account, zone, reason)

    def failed(self, account: str, zone: str, reason: Reason) -> None:
        self._errors.labels(account, zone, reason).inc()

    def requested(self, account: str, zone: str, operation: str, statuses: tuple[int, ...], seconds: float) -> None:
        """A request ended, after the answers `statuses` and as many `seconds`."""
        for status in statuses:
            self._requests.labels(account, zone, operation, status).inc()
        self._duration.labels(account, zone, operation).observe(seconds)

    def config_loaded(self, now: float) -> None:
        """The configuration was loaded at `now`, in Unix time."""
        self._reload_successful.set(1)
        self._reload_success_timestamp.set(now)

    def config_refused(self) -> None:
        self._reload_successful.set(0)

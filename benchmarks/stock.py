"""The exporter as it is usually written: `json.loads`, `GaugeMetricFamily`, `generate_latest`, the bundled server."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime

import requests
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from exporter.inventory import KNOWN_STATES

IDENTITY = ("account", "zone", "deployment_id", "deployment", "model")
INFO = ("gpu_type", "model_id", "service_level", "url", "visibility")
PREFIX = "exoscale_ai_deployment"


class Stock(Collector):
    """The same series of deployments as the exporter's."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def describe(self) -> Iterator[Metric]:
        """None: registering it asks nothing."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        listed = json.loads(self._session.get(self._url, timeout=60).content)["deployments"]
        replicas = GaugeMetricFamily(f"{PREFIX}_replicas", "Replicas.", labels=IDENTITY)
        gpus = GaugeMetricFamily(f"{PREFIX}_gpu_count_per_replica", "GPUs of each replica.", labels=IDENTITY)
        state = GaugeMetricFamily(f"{PREFIX}_state", "1 for the current state.", labels=(*IDENTITY, "state"))
        info = GaugeMetricFamily(f"{PREFIX}_info", "Always 1.", labels=(*IDENTITY, *INFO))
        created = GaugeMetricFamily(f"{PREFIX}_created_timestamp_seconds", "Created.", labels=IDENTITY)
        updated = GaugeMetricFamily(f"{PREFIX}_updated_timestamp_seconds", "Updated.", labels=IDENTITY)
        for one in listed:
            labels = ("a", "z", one["id"], one["name"], one["model"]["name"])
            replicas.add_metric(labels, one["replicas"])
            gpus.add_metric(labels, one["gpu-count"])
            for known in KNOWN_STATES:
                state.add_metric((*labels, known), float(one["state"] == known))
            fields = [one[name] for name in ("gpu-type", "service-level", "deployment-url", "visibility")]
            fields.insert(1, one["model"]["id"])
            info.add_metric((*labels, *fields), 1.0)
            created.add_metric(labels, datetime.fromisoformat(one["created-at"]).timestamp())
            updated.add_metric(labels, datetime.fromisoformat(one["updated-at"]).timestamp())
        yield from (replicas, gpus, state, info, created, updated)


def main() -> None:
    """Prints the URL of its metrics, and serves. The argument is the URL of the listing."""
    registry = CollectorRegistry()
    registry.register(Stock(sys.argv[1]))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    thread.join()


if __name__ == "__main__":
    main()

"""Visits → what Prometheus's HTTP service discovery takes: a list of target groups, all labels texts.

https://prometheus.io/docs/prometheus/latest/http_sd/
"""

from collections.abc import Iterable, Sequence
from typing import TypedDict
from urllib.parse import urlsplit

from exporter.inventory import Deployment, Model, identity
from exporter.visit import Visit

META = "__meta_exoscale_ai_"


class TargetGroup(TypedDict):
    targets: list[str]
    labels: dict[str, str]


def endpoints(visits: Sequence[Visit], state: str | None = None) -> list[TargetGroup]:
    """A group for each deployment that has an http or https URL: the target is the URL.

    With `state`, only those in it. Raises the `Failure` of the first visit that has one: a short list would make
    Prometheus drop the targets of a zone that is only not known just now.
    """
    groups = []
    for visit in visits:
        if visit.failure:
            raise visit.failure
        for deployment in visit.inventory.deployments if visit.inventory else ():
            group = _endpoint(visit, deployment)
            if group and state in (None, group["labels"][META + "state"]):
                groups.append(group)
    return groups


def _endpoint(visit: Visit, deployment: Deployment) -> TargetGroup | None:
    try:
        url = urlsplit(deployment.deployment_url or "")
        host, port = url.hostname, url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not host:
        return None
    labels = {
        "account": visit.account,
        "zone": visit.zone,
        **identity(deployment)._asdict(),
        "model_id": (deployment.model or Model()).id,
        "state": deployment.state or "unknown",
        "gpu_type": deployment.gpu_type,
        "service_level": deployment.service_level,
        "visibility": deployment.visibility,
        "host": (f"[{host}]" if ":" in host else host) + (f":{port}" if port else ""),
        "path": url.path or "/",
    }
    return {"targets": [url.geturl()], "labels": {META + name: value or "" for name, value in labels.items()}}


def probes(zones: Iterable[tuple[str, str]], address: str, scheme: str) -> list[TargetGroup]:
    """A group for each (account, zone): this exporter's own `/probe`, at `address` (host and port).

    Each has an `instance` of its own, since all of them have the same address.
    """
    return [
        {
            "targets": [address],
            "labels": {
                "__scheme__": scheme,
                "__metrics_path__": "/probe",
                "__param_account": account,
                "__param_zone": zone,
                META + "account": account,
                META + "zone": zone,
                "instance": f"{account}/{zone}",
            },
        }
        for account, zone in zones
    ]

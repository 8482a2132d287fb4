"""What the Prometheus operator takes, as far as the chart uses it: its CRDs' fields, and no others.

After `monitoring.coreos.com_*.yaml` of prometheus-operator, where a field that is not known is dropped in silence.
"""

from collections.abc import Mapping
from typing import Any

import jsonschema


def _struct(*required: str, **fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": fields}


def _list(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_DURATION = {"type": "string", "pattern": r"^(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$"}
_PARAMS = {"type": "object", "additionalProperties": _list(_TEXT)}
_SECRET_KEY = _struct("name", "key", name=_TEXT, key=_TEXT)
_RELABELING = _struct(
    sourceLabels=_list({"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}),
    separator=_TEXT,
    targetLabel=_TEXT,
    regex=_TEXT,
    modulus={"type": "integer"},
    replacement=_TEXT,
    action={"enum": ["replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase"]},
)
_CLIENT: dict[str, Mapping[str, Any]] = {
    "basicAuth": _struct("username", "password", username=_SECRET_KEY, password=_SECRET_KEY),
    "tlsConfig": _struct(
        ca=_struct(secret=_SECRET_KEY, configMap=_SECRET_KEY),
        cert=_struct(secret=_SECRET_KEY, configMap=_SECRET_KEY),
        keySecret=_SECRET_KEY,
        serverName=_TEXT,
        insecureSkipVerify={"type": "boolean"},
    ),
    "authorization": _struct(type=_TEXT, credentials=_SECRET_KEY),
}
_SERVICE_MONITOR = _struct(
    "endpoints",
    "selector",
    jobLabel=_TEXT,
    selector=_struct(matchLabels=_TEXTS),
    namespaceSelector=_struct(matchNames=_list(_TEXT)),
    endpoints=_list(
        _struct(
            port=_TEXT,
            path=_TEXT,
            scheme={"enum": ["http", "https"]},
            params=_PARAMS,
            interval=_DURATION,
            scrapeTimeout=_DURATION,
            relabelings=_list(_RELABELING),
            metricRelabelings=_list(_RELABELING),
            **_CLIENT,
        )
    ),
)
_SCRAPE_CONFIG = _struct(
    jobName=_TEXT,
    metricsPath=_TEXT,
    params=_PARAMS,
    scheme={"enum": ["HTTP", "HTTPS"]},
    scrapeInterval=_DURATION,
    scrapeTimeout=_DURATION,
    httpSDConfigs=_list(
        _struct("url", url={"type": "string", "pattern": "^https?://.+$"}, refreshInterval=_DURATION, **_CLIENT)
    ),
    relabelings=_list(_RELABELING),
    metricRelabelings=_list(_RELABELING),
    **_CLIENT,
)
_RULE = _struct(
    "expr",
    alert=_TEXT,
    record=_TEXT,
    expr=_TEXT,
    keep_firing_for=_DURATION,
    labels=_TEXTS,
    annotations=_TEXTS,
    **{"for": _DURATION},
)
_GROUP = _struct("name", name=_TEXT, interval=_DURATION, limit={"type": "integer"}, rules=_list(_RULE))
_PROMETHEUS_RULE = _struct("groups", groups=_list(_GROUP))

SPECS = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _SERVICE_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): _PROMETHEUS_RULE,
    ("monitoring.coreos.com/v1alpha1", "ScrapeConfig"): _SCRAPE_CONFIG,
}


def validate(manifest: Mapping[str, Any]) -> None:
    """Raises `jsonschema.ValidationError` where the operator would not take it, or would drop a field."""
    spec = SPECS[manifest["apiVersion"], manifest["kind"]]
    metadata = _struct("name", "namespace", "labels", name=_TEXT, namespace=_TEXT, labels=_TEXTS, annotations=_TEXTS)
    jsonschema.validate(
        manifest, _struct("metadata", "spec", apiVersion=_TEXT, kind=_TEXT, metadata=metadata, spec=spec)
    )

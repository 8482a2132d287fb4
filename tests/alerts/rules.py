"""The rules as data, the names that a PromQL expression uses, and the labels that can exist there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.metrics import TABLE
from prometheus import generate

ROOT = Path(__file__).parents[2]
RULE_FILES = tuple(ROOT / "prometheus" / name for name in generate.SOURCES)
PROMTOOL_TESTS = tuple(sorted(Path(__file__).parent.glob("*.test.yml")))
RUNBOOKS = ROOT / "docs" / "runbooks.md"

DEPLOYMENT_LABELS = frozenset({"account", "zone", "deployment_id", "deployment", "model"})
BLACKBOX = {"probe_success", "probe_ssl_earliest_cert_expiry"}
"""Metrics of blackbox_exporter, to which prometheus-endpoints.yml gives the labels of the deployment."""

TARGET_LABELS = frozenset({"job", "instance"})
"""What Prometheus adds to every series of a target."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_KEYWORDS = {"and", "or", "unless", "bool", "offset"}
_QUERY = re.compile(r'\b(?:printf|query) "([^"]*)"')


@dataclass(frozen=True)
class Names:
    """What an expression names."""

    metrics: frozenset[str]
    labels: frozenset[str]


def names(expression: str) -> Names:
    """The metrics and labels in a PromQL expression: `Names({'up'}, {'job'})` of `sum by (job) (up)`."""
    rest = _STRING.sub('""', expression)
    labels = {label.strip() for group in _GROUPING.findall(rest) for label in group.split(",") if label.strip()}
    rest = _GROUPING.sub(" ", rest)
    labels |= {label for selector in _SELECTOR.findall(rest) for label in _MATCHER.findall(selector)}
    rest = re.sub(r"\[[^]]*\]", " ", _SELECTOR.sub(" ", rest))
    return Names(frozenset(_NAME.findall(rest)) - _KEYWORDS, frozenset(labels))


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules of the kind `alert` or `record`, in their order."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


ALERTS = rules("alert")
RECORDED = {rule["record"]: rule["expr"] for rule in rules("record")}


def queries(text: str) -> list[str]:
    """The PromQL in a template of an annotation, its `%q` filled in."""
    return [query.replace("%q", '"x"') for query in _QUERY.findall(text) if ":" in query or "exoscale" in query]


def expressions() -> Iterator[str]:
    """Every expression of the rules, those in annotations included."""
    yield from RECORDED.values()
    for alert in ALERTS:
        yield alert["expr"]
        for text in alert["annotations"].values():
            yield from queries(text)


def possible_labels(metric: str, seen: tuple[str, ...] = ()) -> frozenset[str]:
    """The labels that series of the metric can have. Raises `KeyError` where nothing gives such a metric."""
    if metric == "up":
        return TARGET_LABELS
    if metric in BLACKBOX:
        return DEPLOYMENT_LABELS | TARGET_LABELS
    if metric in RECORDED:
        sources = names(RECORDED[metric]).metrics - {*seen, metric}
        return frozenset().union(*(possible_labels(source, (*seen, metric)) for source in sources))
    return frozenset({row.name: row.labels for row in TABLE}[metric]) | TARGET_LABELS

"""recording.yml and alerts.yml → the same rules as a Kubernetes PrometheusRule, for the Prometheus operator.

python prometheus/generate.py > prometheus/prometheusrule.yaml
python prometheus/generate.py --job monitoring/exoscale-ai-exporter --label release=kube-prometheus-stack
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
SOURCES = ("recording.yml", "alerts.yml")
JOB = "exoscale-ai-exporter"
"""Name of the scrape job in the sources, where it stands in one selector: `job=~"exoscale-ai-exporter"`."""

_HEADER = f"# Built by prometheus/generate.py from {' and '.join(SOURCES)}: edit those, not this file.\n"


def prometheus_rule(
    sources: Mapping[str, str], *, job: str = JOB, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The PrometheusRule with the groups of the sources (file name → YAML), for the scrape job `job` (a regex).

    Raises `ValueError` where the sources do not name the job exactly once, or a group name stands in both.
    """
    texts = list(sources.values())
    selector = f"job=~{json.dumps(JOB)}"
    if sum(text.count(selector) for text in texts) != 1:
        raise ValueError(f"{selector} must stand exactly once in {', '.join(sources)}")
    groups: list[dict[str, Any]] = []
    for text in texts:
        groups += yaml.safe_load(text)["groups"]
    names = [group["name"] for group in groups]
    if len(set(names)) != len(names):
        raise ValueError("two groups have the same name")
    for rule in (rule for group in groups for rule in group["rules"]):
        rule["expr"] = rule["expr"].replace(selector, f"job=~{json.dumps(job, ensure_ascii=False)}")
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": JOB, "labels": {"app.kubernetes.io/name": JOB, **(labels or {})}},
        "spec": {"groups": groups},
    }


def to_yaml(rule: Mapping[str, Any]) -> str:
    """The resource as text: expressions of several lines stay readable, and nothing is an alias."""
    return _HEADER + yaml.dump(rule, Dumper=_Dumper, sort_keys=False, width=100_000, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def read_sources(folder: Path = FOLDER) -> dict[str, str]:
    """The sources as they are in the folder."""
    return {name: (folder / name).read_text(encoding="utf-8") for name in SOURCES}


def main() -> None:
    """Prints the PrometheusRule."""
    parser = argparse.ArgumentParser(description="Print the rules as a Kubernetes PrometheusRule.")
    parser.add_argument("--job", default=JOB, help="regex of the scrape job's name (default: %(default)s)")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="of the resource")
    flags = parser.parse_args()
    labels = dict(label.partition("=")[::2] for label in flags.label)
    sys.stdout.write(to_yaml(prometheus_rule(read_sources(), job=flags.job, labels=labels)))


if __name__ == "__main__":
    main()

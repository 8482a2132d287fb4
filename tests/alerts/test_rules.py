"""What can be said of the rules, their tests and their runbooks by reading them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.errors import Reason
from exporter.inventory import KNOWN_STATES
from exporter.metrics import TABLE
from prometheus import generate
from tests.alerts.rules import (
    ALERTS,
    BLACKBOX,
    PROMTOOL_TESTS,
    RECORDED,
    ROOT,
    RULE_FILES,
    RUNBOOKS,
    expressions,
    possible_labels,
)
from tests.alerts.rules import names as names_in

RUNBOOK_URL = "https://github.com/exoscale-ai-exporter/exoscale-ai-exporter/blob/main/docs/runbooks.md#"
SECTIONS = ("Meaning.", "Impact.", "Check.", "Mend.", "False alarms.", "Threshold and wait.")
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")


def runbooks() -> dict[str, str]:
    """Heading → text of each section of the second level."""
    parts = re.split(r"^## (.+)$", RUNBOOKS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchor(heading: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("expression", list(dict.fromkeys(expressions())))
def test_every_metric_and_label_of_an_expression_exists(expression: str) -> None:
    found = names_in(expression)
    assert found.metrics <= {row.name for row in TABLE} | RECORDED.keys() | BLACKBOX | {"up"}
    assert found.labels <= frozenset().union(*(possible_labels(metric) for metric in found.metrics))


def test_the_names_are_those_that_a_reader_finds() -> None:
    """The check above is worth what this function sees."""
    found = names_in(
        'sum by (a, b) (rate(x_total{c=~"d{e}|f", g!="h"}[5m:1m])) * on (i) group_left (j) y:z:max or up > 2'
    )
    assert found.metrics == {"x_total", "y:z:max", "up"}
    assert found.labels == {"a", "b", "c", "g", "i", "j"}


def test_no_recording_rule_is_without_use_or_its_own_only_source() -> None:
    assert all(re.fullmatch(r"[a-z_]+:exoscale_ai_[a-z_]+:[a-z0-9_]+", name) for name in RECORDED)
    assert all(names_in(expression).metrics - {name} for name, expression in RECORDED.items())


def test_state_and_reason_are_values_that_the_exporter_gives() -> None:
    text = " ".join(expressions())
    states = {state for states in re.findall(r'state[!=]~?\s*"([^"]+)"', text) for state in states.split("|")}
    assert states == set(KNOWN_STATES)
    unknown = next(alert for alert in ALERTS if alert["alert"] == "ExoscaleAIDeploymentStateUnknown")
    assert set(re.findall(r'"([a-z|]+)"', unknown["expr"])[0].split("|")) == set(KNOWN_STATES)
    assert set(re.findall(r'reason="([^"]+)"', text)) == {Reason.AUTH, Reason.RATE_LIMITED}


def test_the_name_of_the_job_stands_in_one_selector_and_is_the_example_configuration_s() -> None:
    text = "".join(path.read_text() for path in RULE_FILES)
    assert [line.strip() for line in text.splitlines() if re.search(r"job=~?\"", line)] == [
        f'expr: max by (job, instance) (up{{job=~"{generate.JOB}"}})'
    ]
    example = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    assert [config["job_name"] for config in example["scrape_configs"]] == [generate.JOB]
    assert example["rule_files"] == list(generate.SOURCES)


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_rule_files_have_no_yaml_aliases(path: Path) -> None:
    """Prometheus takes the alias in `expr: *name` for an expression, and its own check finds nothing wrong with it."""
    assert not [token for token in yaml.scan(path.read_text()) if isinstance(token, yaml.AliasToken | yaml.AnchorToken)]


@each_alert
def test_an_alert_says_what_the_engineer_on_call_needs(alert: dict[str, Any]) -> None:
    labels, annotations = alert["labels"], alert["annotations"]
    assert re.fullmatch(r"ExoscaleAI([A-Z][a-z]+|AI|API|GPU|GPUs)+", alert["alert"])
    assert labels.keys() == {"severity"}
    assert labels["severity"] in {"critical", "warning", "info"}
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    summary = re.sub(r"\{\{.*?\}\}", "x", annotations["summary"])
    assert re.fullmatch(r"[A-Z][^.]*\.", summary), "one sentence with a full stop"
    assert annotations["runbook_url"] == RUNBOOK_URL + anchor(alert["alert"])


@each_alert
def test_a_description_names_what_it_is_about_and_the_value(alert: dict[str, Any]) -> None:
    description = alert["annotations"]["description"]
    named = set(re.findall(r"\$labels\.(\w+)", description))
    grouped = set(re.findall(r"\b(?:by|on) \(([^)]*)\)", alert["expr"])[:1])
    if "deployment:" in alert["expr"]:
        assert {"account", "zone", "deployment_id", "deployment", "model"} <= named
    elif grouped != {"job"} and "absent(" not in alert["expr"]:
        assert {"account"} <= named
        assert "zone" in named or grouped == {"account"}
    assert named <= frozenset().union(*(possible_labels(metric) for metric in names_in(alert["expr"]).metrics))
    assert re.search(r"\$value|\$labels\.state|\.Labels\.state|\| value", description)


@each_alert
def test_an_alert_has_a_runbook_that_states_its_severity_and_waits(alert: dict[str, Any]) -> None:
    section = runbooks()[alert["alert"]]
    assert [word for word in re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE) if word in SECTIONS] == list(SECTIONS)
    waits = [f"`{key}: {alert[key]}`" for key in ("for", "keep_firing_for") if key in alert]
    assert f"{alert['labels']['severity']} {' '.join(waits)}" in re.sub(r"\s+", " ", section)


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {heading for heading in runbooks() if heading.startswith("Exoscale")} == {rule["alert"] for rule in ALERTS}


@each_alert
def test_an_alert_is_tested_both_ways(alert: dict[str, Any]) -> None:
    """With a series that fires, its labels and annotations written out, and with one that does not."""
    cases = [
        case
        for path in PROMTOOL_TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == alert["alert"]
    ]
    firing = [expected for case in cases for expected in case["exp_alerts"]]
    assert any(expected["exp_labels"]["severity"] == alert["labels"]["severity"] for expected in firing)
    assert all(expected["exp_annotations"].keys() == alert["annotations"].keys() for expected in firing)
    assert any(not case["exp_alerts"] for case in cases)


def test_the_prometheus_rule_is_what_the_generator_builds() -> None:
    """`make prometheus-rule` writes it anew."""
    committed = (ROOT / "prometheus" / "prometheusrule.yaml").read_text()
    built = subprocess.run(
        [sys.executable, ROOT / "prometheus" / "generate.py"], capture_output=True, text=True, check=True
    )
    assert committed == built.stdout
    assert yaml.safe_load(committed)["spec"]["groups"] == [
        group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]
    ]


def test_the_prometheus_rule_takes_another_job_and_labels() -> None:
    rule = generate.prometheus_rule(generate.read_sources(), job=r"monitoring/ai\d|x", labels={"release": "stack"})
    assert rule["metadata"]["labels"]["release"] == "stack"
    text = generate.to_yaml(rule)
    assert f'job=~"{generate.JOB}"' not in text
    assert yaml.safe_load(text)["spec"]["groups"][0]["rules"][0]["expr"] == (
        r'max by (job, instance) (up{job=~"monitoring/ai\\d|x"})'
    )


@pytest.mark.parametrize("change", [lambda text: text * 0, lambda text: text.replace("=~", "=")])
def test_the_generator_refuses_sources_without_the_job(change: Any) -> None:
    sources = generate.read_sources()
    with pytest.raises(ValueError, match="must stand exactly once"):
        generate.prometheus_rule({name: change(text) for name, text in sources.items()})

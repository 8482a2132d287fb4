"""The Helm chart: values that cannot be meant are refused, and the message names the place."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from exporter import config
from exporter.config import ZONE_NAME
from exporter.configfile import AccountFile, ScrapeFile
from exporter.errors import ConfigError
from tests.deploy.chart import (
    CHART,
    templates,
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"replicas": "two"}, "at '/replicas': got string, want integer"),
        ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of 'Always'"),
        ({"image": {"digest": "sha256:short"}}, "at '/image/digest': 'sha256:short' does not match pattern"),
        ({"web": {"port": 70000}}, "at '/web/port': maximum: got 70,000, want 65,535"),
        ({"web": {"telemetryPath": "metrics"}}, "at '/web/telemetryPath': 'metrics' does not match pattern"),
        ({"web": {"clientConfig": {"password": {}}}}, "at '/web/clientConfig': additional properties 'password'"),
        ({"log": {"level": "trace"}}, "at '/log/level': value must be one of 'debug', 'info'"),
        ({"scrape": {"timeot": "8s"}}, "at '/scrape': additional properties 'timeot' not allowed"),
        ({"scrape": {"timeout": 8}}, "at '/scrape/timeout': got number, want string"),
        ({"scrape": {"timeout": "8 seconds"}}, "at '/scrape/timeout': '8 seconds' does not match pattern"),
        ({"accounts": [{"zones": ["ch-gva-2"]}]}, "at '/accounts/0': missing property 'name'"),
        ({"accounts": [{"name": "a", "zonez": []}]}, "at '/accounts/0': additional properties 'zonez' not allowed"),
        ({"accounts": [{"name": "a", "zones": ["evil.example/"]}]}, "at '/accounts/0/zones/0': 'evil.example/' does"),
        ({"accounts": [{"name": "a", "zones": []}]}, "at '/accounts/0/zones': minItems: got 0, want 1"),
        ({"accounts": [{"name": "a", "visibility": "all"}]}, "at '/accounts/0/visibility': value must be one of"),
        ({"accounts": [{"name": "a", "apiKeyKey": "k"}]}, "'existingSecret' required, if 'apiKeyKey' exists"),
        (
            {"serviceMonitor": {"pattern": "pull"}},
            "at '/serviceMonitor/pattern': value must be one of 'metrics', 'probe'",
        ),
        ({"serviceMonitor": {"interval": "often"}}, "at '/serviceMonitor/interval': 'often' does not match pattern"),
        ({"serviceMonitor": {"probes": [{"zone": "z"}]}}, "at '/serviceMonitor/probes/0': missing property 'account'"),
        (
            {"endpointProbes": {"blackboxAddress": "http://b"}},
            "at '/endpointProbes/blackboxAddress': 'http://b' does not",
        ),
        ({"podDisruptionBudget": {"minAvailable": "many"}}, "at '/podDisruptionBudget/minAvailable'"),
        ({"demo": {"enabled": "yes"}}, "at '/demo/enabled': got string, want boolean"),
        ({"extraArgs": ["web.max-requests=1"]}, "at '/extraArgs/0': 'web.max-requests=1' does not match pattern"),
    ],
    ids=lambda part: str(part)[:60] if isinstance(part, dict) else "",
)
def test_the_schema_refuses_bad_values_and_names_the_place(values: dict[str, Any], message: str) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError, match=re.escape(message)):
        chart.validate_schema(chart.merge_values(values))
    with pytest.raises(helm.HelmError, match=re.escape(message)):
        templates(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"credentials": {"apiKey": "k"}}, "credentials: apiKey and apiSecret belong together"),
        (
            {"credentials": {"existingSecret": "s", "apiKey": "k", "apiSecret": "s"}},
            "credentials: give either existingSecret or apiKey and apiSecret, not both",
        ),
        ({"accounts": [{"name": "a"}, {"name": "a"}]}, 'accounts[1].name: "a" is given twice'),
        ({"demo": {"faults": ["ch-gva-2=503"]}}, "demo.faults is of use with demo.enabled only"),
        ({"demo": {"enabled": True}, "scrape": {"cache": "1s"}}, "demo.enabled has a configuration of its own"),
        (
            {"demo": {"enabled": True}, "serviceMonitor": {"enabled": True, "pattern": "probe"}},
            "serviceMonitor.pattern: probe is not for demo.enabled",
        ),
        (
            {"serviceMonitor": {"probes": [{"account": "a", "zone": "z"}]}},
            "serviceMonitor.probes is of use with serviceMonitor.pattern: probe only",
        ),
        (
            {"prometheusRule": {"enabled": True, "disabledAlerts": ["ExoscaleAIDataStail"]}},
            "prometheusRule.disabledAlerts: there is no alert ExoscaleAIDataStail",
        ),
        ({"endpointProbes": {"enabled": True}}, "endpointProbes.blackboxAddress: where blackbox_exporter listens"),
        (
            {"podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 0}},
            "podDisruptionBudget: give either minAvailable or maxUnavailable, not both",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_values_that_contradict_each_other_are_refused_with_a_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(message)):
        templates(values)


def test_a_credential_that_is_refused_is_not_shown() -> None:
    values = {"credentials": {"apiKey": "EXOexample", "apiSecret": 123456}}
    with pytest.raises(helm.HelmError, match=re.escape("at '/credentials/apiSecret': got number")) as error:
        templates(values)
    assert "123456" not in str(error.value)


@pytest.mark.parametrize("text", ["8s", "1h30m", "500ms", "1h1m1s1ms", "", "8", "s", "1s1h", "-1s", "1.5s"])
def test_the_schema_takes_the_durations_that_the_exporter_takes(text: str, tmp_path: Path) -> None:
    def taken(check: Callable[[], object], error: type[Exception]) -> bool:
        try:
            check()
        except error:
            return False
        return True

    file = tmp_path / "config.yml"
    file.write_text(f"scrape: {{cache: '{text}'}}")
    environ = {"EXOSCALE_API_KEY": "EXOexample", "EXOSCALE_API_SECRET": "example-secret"}
    by_chart = taken(lambda: templates({"scrape": {"cache": text}}), helm.HelmError)
    assert by_chart == taken(lambda: config.load(file, environ), ConfigError)


def test_the_schema_knows_every_value_and_no_other() -> None:
    with helm.Chart.load(CHART) as chart:
        schema, values = chart.schema, chart.values
    assert schema
    assert schema["properties"].keys() - {"enabled", "global"} == values.keys()
    for name, part in schema["properties"].items():
        if "properties" in part and name != "scrape":
            assert part["properties"].keys() == values[name].keys(), name
    # The exporter's own keys.
    assert schema["properties"]["scrape"]["properties"].keys() == set(ScrapeFile.__struct_fields__)
    account = schema["properties"]["accounts"]["items"]["properties"]
    own = {"existingSecret", "apiKeyKey", "apiSecretKey"}
    secrets = {"api_key", "api_key_file", "api_secret", "api_secret_file"}
    assert account.keys() - own == set(AccountFile.__struct_fields__) - secrets
    assert schema["definitions"]["zone"]["pattern"] == f"^{ZONE_NAME.pattern.replace('(?:', '(')}$"

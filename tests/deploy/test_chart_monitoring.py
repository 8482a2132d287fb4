"""The Helm chart: what Prometheus's operator and Grafana get is what the project has in its own examples."""

from collections.abc import Mapping
from typing import Any

import yaml

from deploy.helm import generate
from prometheus import generate as rules
from tests.deploy.chart import NAMESPACE, RELEASE, ROOT, SETS, each_set, manifests, only


def test_the_job_of_the_service_monitor_is_the_one_of_the_rules() -> None:
    found = manifests({"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}, "another-release")
    label = only("ServiceMonitor", found)["spec"]["jobLabel"]
    assert only("Service", found)["metadata"]["labels"][label] == rules.JOB
    groups = only("PrometheusRule", found)["spec"]["groups"]
    assert groups == rules.prometheus_rule(rules.read_sources())["spec"]["groups"]


@each_set
def test_the_service_monitor_selects_the_service(values: dict[str, Any]) -> None:
    found = manifests(values)
    service = only("Service", found)
    pod = only("Deployment", found)["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pod.items()
    for monitor in (one for one in found if one["kind"] == "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == {service["spec"]["ports"][0]["name"]}


def test_the_rules_are_for_the_job_that_is_asked_for_less_those_that_are_not_wanted() -> None:
    values = SETS["everything"] | {"prometheusRule": SETS["everything"]["prometheusRule"] | {"job": 'a|"b"'}}
    rendered = [
        rule for group in only("PrometheusRule", manifests(values))["spec"]["groups"] for rule in group["rules"]
    ]
    expected = rules.prometheus_rule(rules.read_sources(), job='a|"b"')["spec"]["groups"]
    wanted = [rule for group in expected for rule in group["rules"] if rule.get("alert") != "ExoscaleAIDataStale"]
    assert [rule["expr"] for rule in rendered] == [rule["expr"] for rule in wanted]
    for rule, source in zip(rendered, wanted, strict=True):
        added = {"team": "ml"} if "alert" in rule else {}
        assert rule.get("labels", {}) == {**added, **source.get("labels", {})}, "a rule's own labels stay"


def test_with_the_pattern_probe_the_rules_watch_both_jobs() -> None:
    values = SETS["probe"] | {"prometheusRule": {"enabled": True}}
    expected = rules.prometheus_rule(rules.read_sources(), job="exoscale-ai-exporter|exoscale-ai-zones")
    assert only("PrometheusRule", manifests(values))["spec"] == expected["spec"]


def relabelings(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """relabel_configs as the operator calls them."""
    names = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    return [{names.get(key, key): value for key, value in rule.items()} for rule in job["relabel_configs"]]


def example(name: str, job: str) -> dict[str, Any]:
    """A job of an example in prometheus/."""
    jobs = yaml.safe_load((ROOT / "prometheus" / name).read_text())["scrape_configs"]
    (found,) = (one for one in jobs if one["job_name"] == job)
    assert isinstance(found, dict)
    return found


def test_the_endpoints_are_probed_as_in_the_example() -> None:
    values = {"endpointProbes": {"enabled": True, "blackboxAddress": "localhost:9115"}}
    spec = only("ScrapeConfig", manifests(values))["spec"]
    job = example("prometheus-endpoints.yml", "exoscale-ai-endpoints")
    assert (spec["jobName"], spec["metricsPath"], spec["params"]) == (job["job_name"], "/probe", job["params"])
    assert spec["params"]["module"][0] in yaml.safe_load((ROOT / "prometheus" / "blackbox.yml").read_text())["modules"]
    (discovery,) = spec["httpSDConfigs"]
    own = f"http://{RELEASE}.{NAMESPACE}.svc:10042"
    assert discovery["url"].replace(own, "http://localhost:10042") == job["http_sd_configs"][0]["url"]
    shard = {"sourceLabels": ["__param_target"], "targetLabel": "__tmp_hash"}
    assert shard in spec["relabelings"]
    assert [rule for rule in spec["relabelings"] if rule != shard] == relabelings(job)


def test_zones_are_discovered_at_the_service_and_shared_by_shards() -> None:
    found = manifests(SETS["probe"])
    spec = only("ScrapeConfig", found)["spec"]
    job = example("prometheus-multi-target.yml", "exoscale-ai-zones")
    assert spec["jobName"] == job["job_name"]
    assert spec["httpSDConfigs"][0]["url"] == f"http://{RELEASE}.{NAMESPACE}.svc:10042/sd/probes"
    by = next(rule["sourceLabels"] for rule in relabelings(job) if rule.get("action") == "hashmod")
    assert spec["relabelings"][0] == {"sourceLabels": by, "targetLabel": "__tmp_hash"}
    config = yaml.safe_load(only("ConfigMap", found)["data"]["config.yml"])
    assert config["scrape"] == {"deployments_on_metrics": False}


def test_zones_that_are_named_are_endpoints_of_the_service_monitor() -> None:
    found = manifests(SETS["probe-static"])
    assert not [one for one in found if one["kind"] == "ScrapeConfig"]
    own, *probes = only("ServiceMonitor", found)["spec"]["endpoints"]
    assert own["path"] == "/metrics"
    assert [(probe["path"], probe["params"]) for probe in probes] == [
        ("/probe", {"account": ["production"], "zone": [zone]}) for zone in ("ch-gva-2", "de-fra-1")
    ]


def test_every_dashboard_is_in_a_config_map_that_the_sidecar_finds() -> None:
    found = [one for one in manifests({"dashboards": {"enabled": True}}) if one["kind"] == "ConfigMap"]
    labelled = [one for one in found if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert labelled
    contents = {name: text.rstrip("\n") for one in labelled for name, text in one["data"].items()}
    assert contents == {f"exoscale-ai-{path.name}": path.read_text().rstrip("\n") for path in generate.dashboards()}
    for manifest in labelled:
        assert len(yaml.safe_dump(manifest).encode()) < 2**20, "a ConfigMap holds a MiB at most"

"""The Helm chart: the pod runs the exporter with the configuration and the credentials that were meant."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import cli, config
from tests.deploy.chart import ROOT, SETS, Manifest, container, each_set, manifests, only


def mounted(found: list[Manifest], folder: Path) -> dict[str, Path]:
    """Writes the pod's projected volumes into folders and returns them by their mount paths.

    Secrets that the chart has not created hold an example.
    """
    created = {}
    for manifest in found:
        if manifest["kind"] in ("ConfigMap", "Secret"):
            content = manifest.get("data") or manifest["stringData"]
            created[manifest["kind"], manifest["metadata"]["name"]] = content
    places = {mount["name"]: mount["mountPath"] for mount in container(found).get("volumeMounts", [])}
    written = {}
    for volume in only("Deployment", found)["spec"]["template"]["spec"].get("volumes", []):
        if "projected" not in volume:
            continue
        target = folder / volume["name"]
        for source in volume["projected"]["sources"]:
            ((kind, reference),) = source.items()
            content = created.get((kind[:1].upper() + kind[1:], reference["name"]))
            for item in reference["items"]:
                assert content is None or item["key"] in content, f"{item['key']} is not in {reference['name']}"
                path = target / item["path"]
                assert not path.exists(), f"{path} is mounted twice"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content[item["key"]] if content else f"of-{reference['name']}-{item['key']}\n")
        written[places[volume["name"]]] = target
    return written


@each_set
def test_the_exporter_takes_the_arguments_and_the_configuration(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = manifests(values)
    arguments = container(found)["args"]
    for place, folder in mounted(found, tmp_path).items():
        arguments = [argument.replace(f"{place}/", f"{folder}/") for argument in arguments]
    arguments = [argument for argument in arguments if not argument.startswith("--web.config.file=")]
    assert cli.main([*arguments, "--config.check"]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out == "The configuration is valid.\n"


def test_each_account_gets_its_own_credentials(tmp_path: Path) -> None:
    folder = mounted(manifests(SETS["accounts"]), tmp_path)["/etc/exoscale-ai-exporter"]
    loaded = config.load(folder / "config.yml", {})
    assert [(account.name, account.api_key.reveal(), account.api_secret.reveal()) for account in loaded.accounts] == [
        ("production", "of-exoscale-production-key", "of-exoscale-production-secret"),
        ("research", "of-exoscale-research-api-key", "of-exoscale-research-api-secret"),
        ("through a proxy", "of-exoscale-api-key", "of-exoscale-api-secret"),
        ("with the same key", "of-exoscale-api-key", "of-exoscale-api-secret"),
    ]
    assert loaded.accounts[0].zones == ("ch-gva-2", "de-fra-1")
    assert loaded.scrape == config.Scrape(5.0, 0, 90.0, 33554432, deployments_on_metrics=True)


@each_set
def test_no_secret_is_anywhere_but_in_a_secret(values: dict[str, Any]) -> None:
    for manifest in manifests(values):
        if manifest["kind"] != "Secret":
            assert not re.search(r"EXOexample|example-secret", yaml.safe_dump(manifest))


def test_the_pods_are_replaced_when_configuration_or_credentials_change() -> None:
    def checksums(values: dict[str, Any]) -> tuple[str, str | None]:
        annotations = only("Deployment", manifests(values))["spec"]["template"]["metadata"]["annotations"]
        return annotations["checksum/config"], annotations.get("checksum/secret")

    before = {"credentials": {"apiKey": "k", "apiSecret": "s"}}
    configuration, secret = checksums(before)
    assert (configuration, secret) == checksums(before | {"replicas": 2, "service": {"port": 80}})
    assert checksums({"credentials": {"apiKey": "k", "apiSecret": "other"}})[0] == configuration
    assert checksums({"credentials": {"apiKey": "k", "apiSecret": "other"}})[1] != secret
    assert checksums(before | {"scrape": {"cache": "1m"}})[0] != configuration


def test_ports_and_probes_are_the_exporters() -> None:
    port = int(cli.DEFAULT_ADDRESS.removeprefix(":"))
    found = manifests({})
    exporter = container(found)
    assert exporter["ports"] == [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    assert f"--web.listen-address={cli.DEFAULT_ADDRESS}" in exporter["args"]
    (service,) = only("Service", found)["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (port, "http")
    assert exporter["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "http"}
    assert exporter["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http"}


def test_the_pod_runs_as_the_images_user_on_its_entry_point() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 65532", dockerfile, re.MULTILINE)
    assert re.search(r"^ENTRYPOINT \[.*exoscale-ai-exporter\"\]", dockerfile, re.MULTILINE)
    assert "command" not in container(manifests({}))


@each_set
def test_the_pod_can_do_no_more_than_it_has_to(values: dict[str, Any]) -> None:
    """Pod Security Standard "restricted", and more."""
    found = manifests(values)
    pod = only("Deployment", found)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    for context in (pod["securityContext"], container(found)["securityContext"]):
        assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, 65532, 65532)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container(found)["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]
    for account in (one for one in found if one["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_with_tls_the_kubelet_and_prometheus_ask_by_https() -> None:
    values = {"web": {"existingSecret": "web", "scheme": "https"}, "serviceMonitor": {"enabled": True}}
    found = manifests(values)
    assert container(found)["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert container(found)["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert only("ServiceMonitor", found)["spec"]["endpoints"][0]["scheme"] == "https"

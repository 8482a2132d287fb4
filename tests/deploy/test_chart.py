"""The Helm chart: what it renders to is what Helm and Kubernetes take."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from deploy.helm import generate
from exporter import __version__
from tests.deploy import crds
from tests.deploy.chart import CHART, HERE, NAMESPACE, RELEASE, SETS, documents, each_set, manifests, only, templates


def golden(values: Mapping[str, Any]) -> str:
    """What is rendered, as text to be reviewed: less the version, and less what is a copy of other files."""
    parts = []
    for name, text in templates(values).items():
        for document in documents(name, text):
            if document["kind"] == "PrometheusRule":
                document["spec"]["groups"] = [group["name"] for group in document["spec"]["groups"]]
                text = yaml.safe_dump(document, sort_keys=False)
        if name != "dashboards.yaml":
            parts.append(f"# {name}\n" + "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n")
    return "---\n".join(parts).replace(__version__, "VERSION")


@each_set
def test_helm_finds_nothing_in_the_chart(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, values, strict=True, namespace=NAMESPACE)
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]
    assert not report["errors"]


@pytest.mark.parametrize("name", SETS)
def test_the_chart_renders_as_the_golden_file_says(name: str) -> None:
    path = HERE / "golden" / f"{name}.yaml"
    text = golden(SETS[name])
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text, "`make golden` writes it anew"


def test_every_golden_file_has_its_values() -> None:
    assert {path.stem for path in (HERE / "golden").glob("*.yaml")} == SETS.keys()


@each_set
@pytest.mark.parametrize("version", ["1.25", kubernetes_validate.latest_version()])
def test_kubernetes_and_the_operator_take_every_manifest(values: dict[str, Any], version: str) -> None:
    for manifest in manifests(values):
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            crds.validate(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_by_default_there_is_the_exporter_and_nothing_else() -> None:
    kinds = sorted(manifest["kind"] for manifest in manifests({}))
    assert kinds == ["ConfigMap", "Deployment", "Service", "ServiceAccount"]


def without(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The values less the one at the path."""
    name, _, rest = path.partition(".")
    kept = {key: value for key, value in values.items() if key != name}
    if rest and name in values:
        kept[name] = without(values[name], rest)
    return kept


def rendered_or_refused(values: dict[str, Any]) -> dict[str, str] | str:
    try:
        return templates(values)
    except helm.HelmError as error:
        return str(error)


@pytest.mark.parametrize("path", [value.path for value in generate.values((CHART / "values.yaml").read_text())])
def test_every_value_has_an_effect_in_a_golden_file(path: str) -> None:
    shorter = {name: without(values, path) for name, values in SETS.items()}
    changed = [name for name, values in SETS.items() if shorter[name] != values]
    assert any(rendered_or_refused(SETS[name]) != rendered_or_refused(shorter[name]) for name in changed)


@each_set
def test_every_object_has_a_name_of_its_own_and_the_labels_that_charts_have(values: dict[str, Any]) -> None:
    found = manifests(values)
    assert len({(one["kind"], one["metadata"]["name"]) for one in found}) == len(found)
    for manifest in found:
        assert len(manifest["metadata"]["name"]) <= 63
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


@pytest.mark.parametrize(
    ("release", "name"),
    [
        (RELEASE, RELEASE),
        ("prod", f"prod-{RELEASE}"),
        ("a" * 53, "a" * 52),
    ],
)
def test_objects_are_named_after_the_release(release: str, name: str) -> None:
    values = SETS["everything"] | {"fullnameOverride": "", "nameOverride": ""}
    for manifest in manifests(values, release):
        if manifest["kind"] != "ServiceAccount":  # which has a name of its own there
            assert manifest["metadata"]["name"].startswith(name)
            assert len(manifest["metadata"]["name"]) <= 63


def test_labels_cannot_break_the_selectors() -> None:
    labels = {"app.kubernetes.io/name": "other", "team": "ml"}
    found = manifests({"commonLabels": labels, "podLabels": labels | {"team": "ops"}, "service": {"labels": labels}})
    deployment = only("Deployment", found)
    selected = deployment["spec"]["selector"]["matchLabels"]
    assert selected == only("Service", found)["spec"]["selector"]
    assert selected.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "ops"
    assert deployment["metadata"]["labels"]["team"] == "ml"


def test_the_packaged_chart_renders_the_same(tmp_path: Path) -> None:
    """Nothing that it needs is left out of the archive."""
    archive = helm.package(CHART, destination=tmp_path)
    assert Path(archive).name == f"exoscale-ai-exporter-{__version__}.tgz"
    values = SETS["everything"]
    with helm.Chart.load(archive) as packaged, helm.Chart.load(CHART) as chart:
        rendered = [one.render(values, name=RELEASE, namespace=NAMESPACE) for one in (packaged, chart)]
    assert rendered[0] == rendered[1]


def test_it_can_be_a_part_of_another_chart_that_turns_it_on_and_off(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    dependency = {"name": CHART.name, "version": __version__, "condition": f"{CHART.name}.enabled"}
    parent = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent))
    for enabled in (True, False):
        values = {CHART.name: {"enabled": enabled, "replicas": 2}, "global": {"anything": 1}}
        with helm.Chart.load(tmp_path) as chart:
            text = "".join(chart.render(values, name="parent").values())
        assert ("replicas: 2" in text) is enabled

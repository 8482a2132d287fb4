"""The Helm chart: its notes, its README and what is generated are in step with the project."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm import generate
from exporter import __version__
from exporter.simulator.faults import FAULTS
from tests.deploy.chart import (
    CHART,
    ROOT,
    SETS,
    container,
    each_set,
    manifests,
    only,
    templates,
)

README = (CHART / "README.md").read_text()


@each_set
def test_the_notes_say_how_to_reach_the_exporter(values: dict[str, Any]) -> None:
    notes = templates(values)["NOTES.txt"]
    service = only("Service", manifests(values))
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert f"port-forward service/{name} 10042:{port}\n" in notes
    assert "\n\n\n" not in notes


def test_the_notes_name_the_secrets_that_have_to_be_there_and_no_others() -> None:
    assert "create secret generic exoscale \\\n    --from-file=EXOSCALE_API_KEY=" in notes("existing-secret")
    assert notes("accounts").count("create secret generic") == 3
    assert "create secret" not in notes("created-secret") + notes("demo")


def notes(name: str) -> str:
    return templates(SETS[name])["NOTES.txt"]


def test_the_versions_of_the_chart_are_the_exporters() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert container(manifests({}))["image"].endswith(f":{__version__}")


def test_copies_and_tables_are_as_they_would_be_generated() -> None:
    assert not generate.out_of_step(), "`make chart` writes them anew"


def test_what_is_out_of_step_is_named_and_written_anew(tmp_path: Path) -> None:
    for folder in ("deploy/helm", "prometheus", "grafana"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    assert not generate.out_of_step(tmp_path)
    gone = generate.DASHBOARDS / "gone.json"
    added = generate.DASHBOARDS / "added.json"
    (tmp_path / gone).parent.mkdir(exist_ok=True)
    (tmp_path / gone).write_text("{}")
    (tmp_path / "grafana" / "dashboards" / "added.json").write_text("{}")
    readme, chart = generate.CHART / "README.md", generate.CHART / "Chart.yaml"
    rewritten = (tmp_path / readme).read_text().replace("| `replicas` | `1` |", "| `replicas` | `2` |")
    (tmp_path / readme).write_text(rewritten)
    (tmp_path / chart).write_text((tmp_path / chart).read_text().replace(__version__, "0.0.1"))
    assert generate.out_of_step(tmp_path) == [chart, readme, added, gone]
    generate.write(tmp_path)
    assert not generate.out_of_step(tmp_path)
    assert not (tmp_path / gone).exists()


def test_a_value_without_a_description_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"does not describe a\.c, d"):
        generate.values("a:\n  # -- Described.\n  b: 1\n  c: 2\nd: {}\n")


def test_descriptions_go_on_and_default_to_those_of_the_mapping() -> None:
    text = "# == Part\n\n# -- One\n# two.\na:\n  b: 1\n# a comment\nc:\n  # -- Three.\n  d: [x]\n"
    assert generate.values(text) == [
        generate.Value("Part", "a", '{"b": 1}', "One two."),
        generate.Value("Part", "c.d", '["x"]', "Three."),
    ]


def test_the_faults_of_the_demo_fit_the_schema() -> None:
    templates({"demo": {"enabled": True, "faults": [f"ch-gva-2={fault}" for fault in FAULTS]}})


def test_the_module_in_the_readme_is_the_one_of_the_project() -> None:
    shown = re.search(r"```yaml\nconfig:\n(.*?)```", README, re.DOTALL)
    assert shown
    name = "exoscale_ai_endpoint"
    modules = yaml.safe_load((ROOT / "prometheus" / "blackbox.yml").read_text())["modules"]
    assert yaml.safe_load(shown[1])["modules"] == {name: modules[name]}


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(?!config:)(.*?)```", README, re.DOTALL))
def test_the_values_in_the_readme_render(text: str) -> None:
    assert manifests(yaml.safe_load(text))


def test_the_secret_in_the_readme_is_the_one_that_the_pods_wait_for() -> None:
    command = re.search(r"create secret generic (\S+) \\\n +--from-literal=(\S+)=\S+ --from-literal=(\S+)=", README)
    assert command
    volume = only("Deployment", manifests({}))["spec"]["template"]["spec"]["volumes"][0]
    secret = volume["projected"]["sources"][1]["secret"]
    assert command.groups() == (secret["name"], *(item["key"] for item in secret["items"]))

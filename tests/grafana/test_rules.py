"""The rules of Grafana's dashboard-linter and those of this project, for every dashboard."""

import itertools
import re
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter import PROJECT_URL
from exporter.metrics import TABLE
from grafana import generate, queries
from tests.grafana import boards
from tests.grafana.boards import BOARDS, FOLDER, Target

each_board = pytest.mark.parametrize("board", BOARDS)
each_panel = pytest.mark.parametrize(
    "panel",
    [pytest.param(panel, id=f"{board}: {panel['title']}") for board in BOARDS for panel in boards.panels(board)],
)
each_target = pytest.mark.parametrize("target", [pytest.param(target, id=target.name) for target in boards.targets()])

DATASOURCE = {"type": "prometheus", "uid": "$datasource"}
SELECTOR = re.compile(r"([a-z_][a-z0-9_]*)\{([^}]*)\}")
LABELS = {row.name + suffix: row.labels for row in TABLE for suffix in ("", "_bucket", "_sum", "_count")}
FOREIGN = {"up", "scrape_duration_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Prometheus's own and the client library's, with the labels job and instance."""


def selectors(target: Target) -> list[tuple[str, dict[str, str]]]:
    """The metrics and matchers of a target; the first matcher of a label that has two."""
    found = []
    for metric, matchers in SELECTOR.findall(target.expression):
        pairs = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)
        found.append((metric, {label: operator + value for label, operator, value in reversed(pairs)}))
    return found


# The linter's rules


@each_board
def test_template_datasource_rule(board: str) -> None:
    datasource = boards.variables(board)["datasource"]
    assert (datasource["type"], datasource["query"], datasource["label"]) == ("datasource", "prometheus", "Data source")


@each_board
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rules(board: str, name: str) -> None:
    variable = boards.variables(board)[name]
    assert variable["type"] == "query"
    assert variable["datasource"] == DATASOURCE
    assert variable["label"] == name.title()
    assert variable["multi"]
    assert variable["allValue"] == ".+"


@each_board
def test_template_label_promql_rule(board: str) -> None:
    """That the selector parses is seen in a real Prometheus."""
    for name, variable in boards.variables(board).items():
        if variable["type"] == "query":
            assert re.fullmatch(rf"label_values\([a-z_]*{{.*}}, {name}\)", variable["query"]["query"])
            assert variable["definition"] == variable["query"]["query"]


@each_board
def test_template_on_time_change_reload_rule(board: str) -> None:
    assert {variable["refresh"] for variable in boards.variables(board).values() if variable["type"] == "query"} == {2}


@each_board
def test_uneditable_dashboard(board: str) -> None:
    assert BOARDS[board]["editable"] is False


@each_panel
def test_panel_datasource_rule(panel: dict[str, Any]) -> None:
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


@each_panel
def test_panel_title_description_rule(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")


@each_panel
def test_panel_units_rule(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] in {"short", "none", "s", "bytes", "percentunit", "cpm"}


@each_panel
def test_panel_no_targets_rule(panel: dict[str, Any]) -> None:
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)


@each_target
def test_target_job_and_instance_rules(target: Target) -> None:
    found = selectors(target)
    assert found
    for _, matchers in found:
        assert matchers["job"] == "=~$job"
        assert matchers["instance"] == "=~$instance"


@each_target
def test_target_rate_interval_rule(target: Target) -> None:
    for call, window in re.findall(r"\b(i?rate|increase)\(.*?\[(.*?)\]", target.expression):
        assert window == "$__rate_interval", call


@each_target
def test_target_counter_agg_rule(target: Target) -> None:
    for metric, _ in selectors(target):
        if metric.endswith(("_total", "_bucket")):
            assert re.search(rf"\brate\({metric}{{", target.expression)


# The project's


def test_there_are_an_overview_and_a_dashboard_of_one_deployment() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {"exoscale-ai-overview", "exoscale-ai-deployment"}


@pytest.mark.parametrize("name", generate.dashboards())
def test_the_files_are_what_the_code_builds(name: str) -> None:
    text = (FOLDER / "dashboards" / name).read_text(encoding="utf-8")
    assert text == generate.to_json(generate.dashboards()[name]), "`make dashboards` writes it anew"


def test_every_file_is_built() -> None:
    assert {path.name for path in (FOLDER / "dashboards").iterdir()} == generate.dashboards().keys()


@each_board
def test_it_is_of_grafanas_classic_model(board: str) -> None:
    """The SDK's classes are generated from Grafana's schema: what they don't know would be lost on the way."""
    text = (FOLDER / "dashboards" / f"{board}.json").read_text(encoding="utf-8")
    assert generate.to_json(Dashboard.from_json(BOARDS[board])) == text


@each_board
def test_it_can_be_provisioned_again_and_again(board: str) -> None:
    assert BOARDS[board]["id"] is None
    assert BOARDS[board]["uid"]
    assert "exoscale-ai" in BOARDS[board]["tags"]


@each_board
def test_the_variables_are_multi_value_and_start_at_all(board: str) -> None:
    """Save the data source: a query goes to one."""
    found = boards.variables(board)
    assert tuple(found) == ("datasource", "job", "instance", "account", "zone", "model", "state", "deployment")
    for variable in list(found.values())[1:]:
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["current"]["value"] == ["$__all"]


@each_target
def test_metrics_and_labels_are_those_of_the_table(target: Target) -> None:
    for metric, matchers in selectors(target):
        labels = {"job", "instance", *(() if metric in FOREIGN else LABELS[metric])}
        assert matchers.keys() <= labels
    grouped = re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", target.expression)
    named = {label for labels in grouped for label in labels.split(", ")}
    assert named <= {"job", "instance", "le", *(label for row in TABLE for label in row.labels)}


@each_target
def test_every_variable_is_honoured_by_every_metric_that_has_its_label(target: Target) -> None:
    """But the one selector that ranks deployments by how long they were ready, and must not depend on $state."""
    for metric, matchers in selectors(target):
        labels = () if metric in FOREIGN else LABELS[metric]
        expected = {name: f"=~${name}" for name in queries.VARIABLES if name in ("job", "instance", *labels)}
        if "state" in expected and matchers["state"] != "=~$state":
            assert metric == "exoscale_ai_deployment_state"
            assert 'state="ready"}[$__range] @ end()' in target.expression
            del expected["state"]
        assert expected.items() <= matchers.items()


@each_target
def test_what_is_about_deployments_honours_the_state(target: Target) -> None:
    if "exoscale_ai_deployment_" in target.expression:
        assert 'state=~"$state"' in target.expression


@each_target
def test_what_other_jobs_have_too_is_narrowed_to_exporters(target: Target) -> None:
    if any(metric in FOREIGN for metric, _ in selectors(target)):
        assert re.search(
            r"and on \(job, instance\) (last_over_time\()?exoscale_ai_exporter_build_info", target.expression
        )


@each_board
def test_panels_neither_overlap_nor_leave_gaps(board: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[board]["panels"]]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in places
        for x, y in itertools.product(range(place["w"]), range(place["h"]))
    ]
    assert len(set(cells)) == len(cells), "an overlap"
    height = max(place["y"] + place["h"] for place in places)
    assert set(cells) == set(itertools.product(range(24), range(height))), "a gap"


@each_panel
def test_panels_have_sensible_sizes(panel: dict[str, Any]) -> None:
    width, height = panel["gridPos"]["w"], panel["gridPos"]["h"]
    assert (width >= 3 and height == 4) if panel["type"] == "stat" else (width >= 6 and 5 <= height <= 12)


@each_board
def test_panels_have_numbers_of_their_own(board: str) -> None:
    numbers = [panel["id"] for panel in BOARDS[board]["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_row_of_deployments_leads_to_the_dashboard_of_one() -> None:
    timeline, table = (
        next(panel for panel in boards.panels("overview") if panel["title"] == title)
        for title in ("State of each deployment", "Deployments now")
    )
    name = next(o for o in table["fieldConfig"]["overrides"] if o["matcher"]["options"] == "Deployment")
    for links in (timeline["fieldConfig"]["defaults"]["links"], name["properties"][0]["value"]):
        assert links[0]["url"].startswith(f"/d/{BOARDS['deployment']['uid']}?")
        passed = set(re.findall(r"var-(\w+)=", links[0]["url"]))
        assert passed == {"datasource", "account", "zone", "deployment"}
        assert passed <= boards.variables("deployment").keys()


@each_board
def test_alerts_are_annotations_and_the_runbooks_a_click_away(board: str) -> None:
    (annotation,) = BOARDS[board]["annotations"]["list"]
    assert annotation["expr"].startswith('ALERTS{alertname=~"ExoscaleAI.+", alertstate="firing"')
    assert annotation["datasource"] == DATASOURCE
    assert f"{PROJECT_URL}/blob/main/docs/runbooks.md" in {link.get("url") for link in BOARDS[board]["links"]}


def test_the_exporters_page_is_a_click_away() -> None:
    table = next(panel for panel in boards.panels("overview") if panel["title"] == "Exporters")
    (override,) = (o for o in table["fieldConfig"]["overrides"] if o["matcher"]["options"] == "Exporter")
    assert override["properties"][0]["value"][0]["url"] == "http://${__value.text}/"

"""Every query of every panel, asked of a real Prometheus that scraped real exporters."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import fleet
from exporter.simulator.server import Simulator
from grafana import overview, queries
from tests.grafana import boards, draw
from tests.grafana.asked import Asked, rows
from tests.grafana.boards import BOARDS, Chosen, Target
from tests.harness import Exporter, configuration, eventually
from tests.programs import serving

pytestmark = pytest.mark.e2e

START = 1777887720.0
MANY = 500
TARGETS = [pytest.param(target, id=target.name) for target in boards.targets()]
CHOICES: dict[str, Chosen] = {
    "all": {},
    "one": {
        "account": ["production"],
        "zone": ["ch-gva-2"],
        "model": ["meta-llama/Llama-3.3-70B-Instruct"],
        "state": ["error"],
        "deployment": ["summaries"],
    },
    "several": {
        "account": ["production", "research"],
        "zone": ["ch-gva-2", "de-fra-1"],
        "model": ["meta-llama/Llama-3.3-70B-Instruct", "swiss-ai/Apertus-70B-Instruct", "openai/gpt-oss-120b"],
        "state": ["deploying", "error", "ready", "scaling"],
        "deployment": ["assistant", "research", "summaries"],
    },
}
FAILING = "at-vie-2"


class World:
    """A Prometheus that scrapes every second, and exporters that come and go."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._targets = folder / "targets.json"
        self._stack = stack
        self._jobs: dict[str, str] = {}
        self._tell()
        relabel = [{"source_labels": ["__meta_job"], "target_label": "job"}]
        scraped = {
            "job_name": "x",
            "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
            "relabel_configs": relabel,
        }
        settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scraped]}
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        self.url = stack.enter_context(
            serving(folder, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data")
        )

    def add(self, simulator: Simulator, job: str, accounts: str) -> Exporter:
        exporter = self._stack.enter_context(Exporter(configuration(f"accounts: [{accounts}]", simulator)))
        self._jobs[exporter.url.removeprefix("http://")] = job
        self._tell()
        return exporter

    def replace(self, old: Exporter, *arguments: Any) -> Exporter:
        """As when a pod is replaced: the new one is another instance."""
        old.__exit__()
        del self._jobs[old.url.removeprefix("http://")]
        return self.add(*arguments)

    def _tell(self) -> None:
        found = [{"targets": [target], "labels": {"__meta_job": job}} for target, job in self._jobs.items()]
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps(found))
        new.replace(self._targets)

    def wait_for(self, expression: str) -> None:
        """Waits until the expression has a value."""
        asked = Asked(self.url, 0, 0, 1)
        eventually(lambda: asked.instant(expression, time.time()), within=30)

    def asked(self, since: float) -> Asked:
        end = int(time.time())  # so that the last point of a graph is at its end
        return Asked(self.url, end, end - int(since), 1)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(folder, stack)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, Exporter]]:
    """The demo as two exporters saw it, one of them replaced, when a zone had begun to fail. Then time stands."""
    began, clock = time.time(), [START]
    accounts = f"{{name: production, zones: [{', '.join(fleet.ZONES)}]}}, {{name: research, zones: [ch-gva-2]}}"
    with Simulator(now=lambda: clock[0]) as simulator, world(tmp_path_factory.mktemp("demo")) as here:
        first = here.add(simulator, "exoscale-ai-exporter", accounts)
        second = here.add(simulator, "exoscale-ai-exporter", accounts)
        here.wait_for("count(exoscale_ai_up == 1) == 8")
        here.wait_for("count(count_over_time(exoscale_ai_up[30s]) >= 4) == 8")
        clock[0] += 100
        simulator.set_fault(FAILING, "500")
        here.replace(second, simulator, "exoscale-ai-exporter", accounts)
        failed = f'exoscale_ai_up{{zone="{FAILING}"}}[6s]'
        here.wait_for(f"count(sum_over_time({failed}) == 0 and count_over_time({failed}) >= 4) == 2")
        yield here.asked(began), first


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A job `none` of an exporter that finds no deployments, and a job `many` of one that finds 500."""
    began = time.time()

    def many(_zone: str, start: float, elapsed: float) -> list[dict[str, Any]]:
        listed = fleet.deployments("ch-gva-2", start, elapsed)
        return [
            {**listed[number % len(listed)], "id": str(number), "name": f"deployment-{number}"}
            for number in range(MANY)
        ]

    with (
        Simulator(zones=("ch-gva-2",), deployments=lambda *_: []) as empty,
        Simulator(zones=("ch-gva-2",), deployments=many, now=lambda: START) as full,
        world(tmp_path_factory.mktemp("sizes")) as here,
    ):
        here.add(empty, "none", "{name: demo}")
        here.add(full, "many", "{name: demo}")
        here.wait_for("count(count_over_time(exoscale_ai_deployments[30s]) >= 5) == 2")
        yield here.asked(began)


@pytest.mark.parametrize("chosen", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("target", TARGETS)
def test_every_query_has_an_answer_of_the_shape_that_its_panel_draws(
    demo: tuple[Asked, Exporter], target: Target, chosen: Chosen
) -> None:
    answer = demo[0].query(target, chosen)
    kind = target.panel["type"]
    if kind == "stat":
        assert [len(series.labels) for series in answer] == [0]
    if kind in ("timeseries", "state-timeline"):
        assert all(len(series.points) > 1 for series in answer)
    if kind == "state-timeline":
        drawn = target.panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
        assert {f"{value:g}" for series in answer for _, value in series.points} <= drawn.keys()
    for series in answer:
        if "instance" in series.labels:  # else there would be two for what two exporters see
            assert "{{instance}}" in target.target.get("legendFormat", "") or target.panel["title"] == "Exporters"


@pytest.mark.parametrize("chosen", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("board", BOARDS)
def test_no_panel_is_empty(demo: tuple[Asked, Exporter], board: str, chosen: Chosen) -> None:
    for panel in boards.panels(board):
        answers = [demo[0].query(Target(board, panel, target), chosen) for target in panel["targets"]]
        # Of a timeline, one query finds what is not ready, and the other the rest.
        assert any(answers) if panel["type"] == "state-timeline" else all(answers), panel["title"]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("chosen", CHOICES.values(), ids=CHOICES)
def test_a_table_has_one_row_for_each_deployment_with_all_of_its_columns(
    demo: tuple[Asked, Exporter], board: str, chosen: Chosen
) -> None:
    panel = next(panel for panel in boards.panels(board) if panel["title"] in ("Deployments now", "Known of it"))
    shown = rows([demo[0].query(Target(board, panel, target), chosen) for target in panel["targets"]])
    listed = demo[1].scrape().select("exoscale_ai_deployment_replicas")
    keys = [(row["account"], row["zone"], row["deployment"]) for row in shown]
    expected = {
        (labels["account"], labels["zone"], labels["deployment"])
        for labels in map(dict, listed)
        if all(labels[name] in values for name, values in chosen.items() if name != "state")
    }
    if "state" not in chosen:
        assert set(keys) == expected
    assert set(keys) <= expected
    assert len(set(keys)) == len(keys)
    columns = panel["transformations"][1]["options"]["include"]["names"]
    assert all(set(columns) <= row.keys() for row in shown)


@pytest.mark.parametrize("chosen", CHOICES.values(), ids=CHOICES)
def test_every_variable_offers_what_there_is(demo: tuple[Asked, Exporter], chosen: Chosen) -> None:
    offered = {
        name: demo[0].label_values(variable["query"]["query"], "overview", chosen)
        for name, variable in boards.variables("overview").items()
        if variable["type"] == "query"
    }
    assert offered["job"] == {"exoscale-ai-exporter"}
    assert len(offered["instance"]) == 3
    assert offered["account"] == {"production", "research"}
    for name, values in chosen.items():
        assert set(values) <= offered[name]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("chosen", CHOICES.values(), ids=CHOICES)
def test_the_annotations_can_be_asked_for(demo: tuple[Asked, Exporter], board: str, chosen: Chosen) -> None:
    """There are no alerts without the rules: that it is a query, and no error, is what counts."""
    (annotation,) = BOARDS[board]["annotations"]["list"]
    assert demo[0].query(Target(board, {}, annotation), chosen) == []


@pytest.mark.parametrize(
    ("title", "chosen", "expected"),
    [
        ("In error", {}, 2),
        ("In error", {"account": ["research"]}, 1),
        ("In error", {"state": ["ready"]}, 0),
        ("Not ready", {"zone": ["de-fra-1"]}, 1),
        ("Zones failing", {}, 1),
        ("Zones failing", {"zone": ["ch-gva-2"]}, 0),
        ("GPUs not ready", {"deployment": ["summaries"]}, 8),
        ("Exporters down", {}, 0),
    ],
)
def test_the_numbers_at_the_top_count_an_ha_pair_once(
    demo: tuple[Asked, Exporter], title: str, chosen: Chosen, expected: float
) -> None:
    assert _stat(demo[0], title, chosen) == expected


def test_all_gpus_are_those_of_the_zones_that_can_be_listed(demo: tuple[Asked, Exporter]) -> None:
    answer = demo[1].scrape()
    replicas = answer.select("exoscale_ai_deployment_replicas")
    each = answer.select("exoscale_ai_deployment_gpu_count_per_replica")
    held = sum(value * each[labels] for labels, value in replicas.items())
    assert _stat(demo[0], "GPUs held", {}) == held
    for title in ("GPUs by model", "GPUs by GPU type", "GPUs by zone"):
        now = demo[0].query(_target(title))
        assert sum(series.points[-1][1] for series in now if series.points[-1][0] == demo[0].end) == held


def test_the_age_of_the_data_is_that_of_the_zone_that_fails(demo: tuple[Asked, Exporter]) -> None:
    assert 2 < (_stat(demo[0], "Age of the data", {}) or 0) < demo[0].seconds
    assert (_stat(demo[0], "Age of the data", {"zone": ["ch-gva-2"]}) or 99) < 3


@pytest.mark.parametrize("job", ["none", "many", "no-such-job"])
@pytest.mark.parametrize("target", TARGETS)
def test_no_query_fails_with_no_deployments_or_many(sizes: Asked, target: Target, job: str) -> None:
    answer = sizes.query(target, {"job": [job]})
    drawn = ("timeseries", "state-timeline")
    if target.panel["type"] in drawn:
        assert len(answer) <= max(queries.TIMELINE_ROWS, overview.LARGEST)
    assert job != "no-such-job" or not answer


def test_without_deployments_the_numbers_are_zero_rather_than_missing(sizes: Asked) -> None:
    for title in ("In error", "Not ready", "Ready", "GPUs held", "GPUs not ready", "Zones failing"):
        assert _stat(sizes, title, {"job": ["none"]}) == 0


def test_of_many_deployments_the_ones_in_trouble_are_shown(sizes: Asked) -> None:
    codes = {series.points[-1][1] for series in sizes.query(_target("State of each deployment"), {"job": ["many"]})}
    assert codes == {queries.STATE_CODES["creating"], queries.STATE_CODES["error"]}
    assert _stat(sizes, "Ready", {"job": ["many"]}) == MANY * 3 / 5


@pytest.mark.parametrize("board", BOARDS)
def test_the_picture_shows_every_panel(demo: tuple[Asked, Exporter], board: str, tmp_path: Path) -> None:
    path = tmp_path / "board.png"
    drawn = draw.picture(board, demo[0], {}, path)
    assert drawn == [panel["title"] for panel in boards.panels(board)]
    assert path.read_bytes().startswith(b"\x89PNG")


def _target(title: str) -> Target:
    panel = next(panel for panel in boards.panels("overview") if panel["title"] == title)
    return Target("overview", panel, panel["targets"][0])


def _stat(asked: Asked, title: str, chosen: Chosen) -> float | None:
    answer = asked.query(_target(title), chosen)
    return answer[0].points[-1][1] if answer else None

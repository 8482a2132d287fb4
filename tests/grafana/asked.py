"""What a real Prometheus answers to the dashboards' queries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

from tests.grafana import boards
from tests.grafana.boards import Chosen, Target


@dataclass(frozen=True)
class Series:
    """`points` are (Unix time, value); an instant query gives one."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Asked:
    """A Prometheus, and the time shown: `seconds` until `end`, a point every `step` seconds."""

    url: str
    end: float
    seconds: int
    step: int

    def query(self, target: Target, chosen: Chosen | None = None) -> list[Series]:
        """The target's series, asked for as Grafana does. Raises `AssertionError` with Prometheus's own words."""
        expression = boards.substitute(target.expression, target.board, chosen or {}, self.seconds, self.step)
        if target.target.get("instant"):
            return self.instant(expression, self.end)
        return self._get("query_range", query=expression, start=self.end - self.seconds, end=self.end, step=self.step)

    def instant(self, expression: str, time: float) -> list[Series]:
        """The value of a plain expression."""
        return self._get("query", query=expression, time=time)

    def label_values(self, query: str, board: str, chosen: Chosen | None = None) -> set[str]:
        """The values that a variable offers."""
        selector, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
        expression = boards.substitute(selector, board, chosen or {}, self.seconds, self.step)
        span: dict[str, Any] = {"start": self.end - self.seconds, "end": self.end}
        answer = requests.get(
            f"{self.url}/api/v1/label/{label}/values", params={"match[]": expression, **span}, timeout=10
        ).json()
        assert answer["status"] == "success", answer
        return set(answer["data"])

    def _get(self, path: str, **params: Any) -> list[Series]:
        answer = requests.get(f"{self.url}/api/v1/{path}", params=params, timeout=30).json()
        assert answer["status"] == "success", f"{answer.get('error')}: {params['query']}"
        return [_series(item) for item in answer["data"]["result"]]


def _series(item: dict[str, Any]) -> Series:
    points = item["values"] if "values" in item else [item["value"]]
    return Series(item["metric"], [(float(time), float(value)) for time, value in points])


def rows(answers: list[list[Series]]) -> list[dict[str, Any]]:
    """A table's rows as Grafana's `merge` makes them of its targets: those with the same shared labels are one row."""
    merged: list[dict[str, Any]] = []
    for index, answer in enumerate(answers):
        value = f"Value #{chr(ord('A') + index)}"
        for series in answer:
            row = next(_matching(merged, series.labels, value), None)
            if row is None:
                merged.append(row := {})
            row.update(series.labels)
            row[value] = series.points[-1][1]
    return merged


def _matching(merged: list[dict[str, Any]], labels: dict[str, str], value: str) -> Iterator[dict[str, Any]]:
    for row in merged:
        shared = row.keys() & labels.keys()
        if value not in row and shared and all(row[label] == labels[label] for label in shared):
            yield row

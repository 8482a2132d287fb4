"""The dashboards as Grafana sees them: panels, targets, and expressions with the variables substituted."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent.parent.parent / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
Chosen = Mapping[str, Sequence[str]]
"""Variable → chosen values. A variable that is not in it is at All."""


class Target(NamedTuple):
    board: str
    panel: dict[str, Any]
    target: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.board}: {self.panel['title']} {self.target['refId']}"

    @property
    def expression(self) -> str:
        return str(self.target["expr"])


def panels(board: str) -> list[dict[str, Any]]:
    """All panels, those inside of rows too, but not the rows."""
    found: list[dict[str, Any]] = []
    for panel in BOARDS[board]["panels"]:
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def targets() -> Iterator[Target]:
    for board in BOARDS:
        for panel in panels(board):
            for target in panel["targets"]:
                yield Target(board, panel, target)


def variables(board: str) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in BOARDS[board]["templating"]["list"]}


def substitute(expression: str, board: str, chosen: Chosen, seconds: int, step: int) -> str:
    """As Grafana does for Prometheus: chosen values become a regular expression, All its `allValue`.

    `seconds` is the time shown, `step` the interval of a graph's points and of the scrapes.
    """
    expression = re.sub(r"\$__range\b", f"{seconds}s", expression)
    expression = re.sub(r"\$__rate_interval\b", f"{4 * step}s", expression)
    expression = re.sub(r"\$__interval_ms\b", f"{1000 * step}", expression)
    expression = re.sub(r"\$__interval\b", f"{step}s", expression)
    for name, variable in variables(board).items():
        value = _regex(chosen[name]) if name in chosen else variable.get("allValue", "")
        expression = re.sub(rf"\$({name}\b|{{{name}}})", value.replace("\\", r"\\"), expression)
    if "$" in expression:
        raise AssertionError(f"a variable is not known: {expression}")
    return expression


def _regex(values: Sequence[str]) -> str:
    # Once for the regular expression, once for the string that it stands in.
    escaped = [re.sub(r"[\\$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

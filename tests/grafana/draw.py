"""A dashboard drawn from the answers to its own queries, laid out as its grid says: to be looked at without Grafana.

An illustration rather than a screenshot: it knows those options of panels that the dashboards use.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure

from tests.grafana import boards
from tests.grafana.asked import Asked, Series, rows
from tests.grafana.boards import Chosen, Target

CELL, ROW = 0.75, 0.36
"""Inches of one of Grafana's 24 columns and of one of its rows."""
PAGE, PANEL, TEXT, FAINT, LINE = "#111217", "#181B1F", "#D8D9DA", "#8E9196", "#2C3036"
PALETTE = ("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A")
"""Grafana's classic one."""


def picture(board: str, asked: Asked, chosen: Chosen, path: Path) -> list[str]:
    """Writes the dashboard as PNG, and returns the titles of the panels drawn."""
    found = boards.BOARDS[board]["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in found)
    figure = Figure(figsize=(24 * CELL, height * ROW), facecolor=PAGE)
    drawn = []
    for panel in found:
        axes = _axes(figure, panel["gridPos"], height, panel["type"])
        if panel["type"] == "row":
            axes.text(0, 0.5, f"⌄ {panel['title']}", color=TEXT, fontsize=12, va="center", weight="bold")
            axes.axis("off")
            continue
        answers = [asked.query(Target(board, panel, target), chosen) for target in panel["targets"]]
        KINDS[panel["type"]](axes, panel, answers, asked)
        drawn.append(panel["title"])
    figure.savefig(path, dpi=80, facecolor=PAGE)
    return drawn


def _axes(figure: Figure, place: Mapping[str, int], height: int, kind: str) -> Axes:
    left, bottom = place["x"] / 24, 1 - (place["y"] + place["h"]) / height
    width, tall = place["w"] / 24, place["h"] / height
    gap_x, gap_y = 0.08 / (24 * CELL), 0.06 / (height * ROW)
    if kind == "row":
        return figure.add_axes((left + gap_x, bottom, width - 2 * gap_x, tall))
    frame = figure.add_axes((left + gap_x, bottom + gap_y, width - 2 * gap_x, tall - 2 * gap_y), facecolor=PANEL)
    frame.set(xticks=[], yticks=[])
    for spine in frame.spines.values():
        spine.set_color(LINE)
    if kind in ("stat", "table"):
        return frame
    frame.set_label("frame")
    margins = {"state-timeline": (2.7, 0.2), "bargauge": (1.0, 0.9)}.get(kind, (0.65, 0.2))
    inches = 24 * CELL
    legend = 0.75 if kind == "timeseries" else 0.35
    return figure.add_axes(
        (
            left + margins[0] / inches,
            bottom + legend / (height * ROW),
            width - sum(margins) / inches,
            tall - (legend + 0.42) / (height * ROW),
        ),
        facecolor=PANEL,
    )


def _title(axes: Axes, panel: Mapping[str, Any]) -> None:
    axes.set_title(panel["title"], color=TEXT, fontsize=10, loc="left", weight="bold", pad=6)


def _stat(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Sequence[Series]], _: Asked) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    value = answers[0][0].points[-1][1] if answers[0] else None
    steps = defaults["thresholds"]["steps"]
    if value is not None:
        axes.set_facecolor([step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1])
    shown = defaults["noValue"] if value is None else text(value, defaults["unit"])
    axes.text(
        0.04, 0.86, panel["title"], color="white", fontsize=10, weight="bold", va="center", transform=axes.transAxes
    )
    axes.text(0.5, 0.42, shown, color="white", fontsize=27, ha="center", va="center", transform=axes.transAxes)


def _timeseries(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Sequence[Series]], asked: Asked) -> None:
    named = [
        (_legend(target.get("legendFormat", ""), series.labels), series)
        for target, answer in zip(panel["targets"], answers, strict=True)
        for series in answer
    ]
    colours = _colours(panel, [name for name, _ in named])
    defaults = panel["fieldConfig"]["defaults"]
    times = [asked.end - asked.seconds + index * asked.step for index in range(asked.seconds // asked.step + 1)]
    if defaults["custom"].get("stacking", {}).get("mode") == "normal" and named:
        values = [[dict(series.points).get(moment, 0.0) for moment in times] for _, series in named]
        axes.stackplot(_dates(times), values, colors=[colours[name] for name, _ in named], alpha=0.75, step="post")
    else:
        for name, series in named:
            gaps = dict(series.points)
            points = [gaps.get(moment, float("nan")) for moment in times]
            axes.plot(_dates(times), points, color=colours[name], linewidth=1.4)
    wide = panel["gridPos"]["w"] // 4
    for name, series in sorted(named, key=lambda item: -item[1].points[-1][1])[: 3 * wide]:
        last = text(series.points[-1][1], defaults["unit"])
        cut = name if len(name) <= 24 else name[:23] + "…"
        axes.plot([], [], color=colours[name], linewidth=4, label=f"{cut}  {last}")
    _finish(axes, panel, asked, defaults["unit"])
    if named:
        axes.legend(
            loc="upper left", bbox_to_anchor=(-0.02, -0.12), ncol=wide, fontsize=7, frameon=False, labelcolor=TEXT
        )


def _finish(axes: Axes, panel: Mapping[str, Any], asked: Asked, unit: str) -> None:
    _title(axes, panel)
    axes.set_xlim(*_dates([asked.end - asked.seconds, asked.end]))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call] # it has no types
    axes.yaxis.set_major_formatter(lambda value, _: text(value, unit))
    axes.tick_params(colors=FAINT, labelsize=7, length=0)
    axes.grid(color=LINE, linewidth=0.6)
    axes.margins(y=0.15)
    axes.spines[:].set_visible(False)
    if panel["fieldConfig"]["defaults"].get("min") == 0:
        axes.set_ylim(bottom=0)


def _timeline(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Sequence[Series]], asked: Asked) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    results = defaults["mappings"][0]["options"]
    names = []
    for row, series in enumerate(series for answer in answers for series in answer):
        names.append(_legend(panel["targets"][0]["legendFormat"], series.labels))
        for began, ended, value in _spans(series, asked):
            result = results[f"{value:g}"]
            start, end = _dates([began, ended])
            axes.broken_barh([(start, end - start)], (row - 0.42, 0.84), color=result["color"])
            if ended - began > asked.seconds / 14:
                label = {"fontsize": 7, "va": "center", "color": "white", "weight": "bold"}
                axes.text(start, row, f" {result['text']}", **label)  # type: ignore[arg-type]
    _title(axes, panel)
    _finish(axes, panel, asked, "none")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", colors=TEXT)
    axes.grid(visible=False)


def _spans(series: Series, asked: Asked) -> list[tuple[float, float, float]]:
    """Beginning, end and value of the times in which the value stayed the same. What is not known has none."""
    spans: list[tuple[float, float, float]] = []
    for moment, value in series.points:
        if spans and spans[-1][1] >= moment and spans[-1][2] == value:
            spans[-1] = (spans[-1][0], min(asked.end, moment + asked.step), value)
        else:
            spans.append((moment, min(asked.end, moment + asked.step), value))
    return spans


def _table(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Sequence[Series]], asked: Asked) -> None:
    columns = panel["transformations"][2]["options"]["renameByName"]
    settings = {
        override["matcher"]["options"]: {item["id"]: item["value"] for item in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    found = sorted(rows([list(answer) for answer in answers]), key=lambda row: -row.get("Value #A", 0))
    visible = found[: int(panel["gridPos"]["h"] * ROW / 0.27) - 2]
    axes.text(0.006, 1 - 0.2 / (panel["gridPos"]["h"] * ROW), panel["title"], color=TEXT, fontsize=10, weight="bold")
    share = [
        1.5 if heading in ("Deployment", "Model", "URL", "ID", "Model ID") else 0.8 for heading in columns.values()
    ]
    for index, (column, heading) in enumerate(columns.items()):
        x = 0.006 + sum(share[:index]) / sum(share) * 0.99
        for line, row in enumerate([None, *visible]):
            y = 1 - (0.5 + 0.27 * line) / (panel["gridPos"]["h"] * ROW)
            shown, colour = (
                (heading, FAINT) if row is None else _cell(row.get(column), settings.get(heading, {}), asked)
            )
            cut = shown if len(shown) <= 16 * share[index] else shown[: int(16 * share[index]) - 1] + "…"
            style = {"facecolor": colour, "edgecolor": "none", "pad": 2.5} if colour not in (TEXT, FAINT) else None
            axes.text(x, y, cut, color="white" if style else colour, fontsize=8, bbox=style)


def _cell(value: Any, settings: Mapping[str, Any], asked: Asked) -> tuple[str, str]:
    if value is None or isinstance(value, str):
        return value or "", TEXT
    if "mappings" in settings:
        result = settings["mappings"][0]["options"][f"{value:g}"]
        return result["text"], result["color"]
    if settings.get("unit") == "dateTimeFromNow":
        return f"{text(asked.end - value / 1000, 's')} ago", TEXT
    return text(value, "none"), TEXT


def _bargauge(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Sequence[Series]], asked: Asked) -> None:
    del asked  # the one kind of panel without an axis of time
    named = [(_legend(panel["targets"][0]["legendFormat"], s.labels), s.points[-1][1]) for s in answers[0]]
    colours = _colours(panel, [name for name, _value in named])
    _title(axes, panel)
    axes.barh(
        [name for name, _value in named],
        [value for _name, value in named],
        color=[colours[name] for name, _value in named],
    )
    for row, (_name, value) in enumerate(named):
        axes.text(
            1.02, row, text(value, "s"), color=TEXT, fontsize=9, va="center", transform=axes.get_yaxis_transform()
        )
    axes.tick_params(colors=TEXT, labelsize=8, length=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)


KINDS: dict[str, Callable[[Axes, Mapping[str, Any], Sequence[Sequence[Series]], Asked], None]] = {
    "stat": _stat,
    "timeseries": _timeseries,
    "state-timeline": _timeline,
    "table": _table,
    "bargauge": _bargauge,
}


def text(value: float, unit: str) -> str:
    """A value as Grafana shows it in its unit."""
    if unit == "s":
        for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{value * 1000:.3g} ms"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    if unit == "percentunit":
        return f"{value:.3g}" if value == 0 else f"{100 * value:.2g}%"
    return f"{value:.4g}" + (" /min" if unit == "cpm" else "")


def _legend(template: str, labels: Mapping[str, str]) -> str:
    for name in labels:
        template = template.replace(f"{{{{{name}}}}}", labels[name])
    return template


def _colours(panel: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    colours = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}
    for override in panel["fieldConfig"]["overrides"]:
        for setting in override["properties"]:
            if setting["id"] == "color":
                colours[override["matcher"]["options"]] = setting["value"]["fixedColor"]
    return colours


def _dates(times: Sequence[float]) -> list[float]:
    return [moment / 86400 for moment in times]

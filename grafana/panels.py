"""What the dashboards have in common: colours, kinds of panels, variables, links.

Built with Grafana's own SDK, whose classes are its schema: a misspelt option is an error of the type checker.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import queries

STATE_COLOURS = {
    "ready": "#00B884",
    "scaling": "#C783B2",
    "updating": "#FF9F09",
    "creating": "#ADE6F7",
    "preparing": "#ECE58B",
    "deploying": "#005FA3",
    queries.OTHER_STATE: "#666666",
    "error": "#D55E00",
}
"""Hues of Okabe and Ito's palette, as light or dark as it takes for the colour-blind to tell any two apart."""
GOOD, WARNING, BAD = (STATE_COLOURS[state] for state in ("ready", "updating", "error"))
NEUTRAL = "#3F4A5A"

DEPLOYMENT_DASHBOARD = "exoscale-ai-deployment"
"""The dashboard's uid."""
DATASOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
NO_DATA = "No data"


P = TypeVar("P", bound="Panel")


class Panel(Protocol):
    """What the SDK's builders of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...


def titled(panel: P, title: str, description: str, width: int, height: int, unit: str = "short") -> P:
    """With what every panel has. Width is in 24ths of the screen, height in Grafana's rows of 30 pixels."""
    panel.title(title).description(description).datasource(DATASOURCE)
    return panel.unit(unit).span(width).height(height).no_value(NO_DATA)


def range_query(expression: str, legend: str = "__auto", ref_id: str = "A") -> prometheus.Dataquery:
    return _query(expression, ref_id).legend_format(legend).range()


def instant_query(expression: str, legend: str = "__auto", ref_id: str = "A") -> prometheus.Dataquery:
    return _query(expression, ref_id).legend_format(legend).instant()


def table_query(expression: str, ref_id: str) -> prometheus.Dataquery:
    return _query(expression, ref_id).format(PromQueryFormat.TABLE).instant()


def _query(expression: str, ref_id: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).ref_id(ref_id).datasource(DATASOURCE)


def stat_panel(
    title: str,
    description: str,
    query: str,
    colours: Sequence[tuple[float | None, str]],
    *,
    width: int = 3,
    unit: str = "short",
) -> stat.Panel:
    """A number on a coloured ground; `colours` are the lower bounds of each colour, None for the first."""
    panel = titled(stat.Panel(), title, description, width, 4, unit)
    steps = [Threshold(value=value, color=colour) for value, colour in colours]
    return (
        panel.thresholds(dashboard.ThresholdsConfig().steps(steps))
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(instant_query(query))
    )


def series_panel(
    title: str,
    description: str,
    *targets: prometheus.Dataquery,
    width: int = 8,
    unit: str = "short",
    stacked: bool = False,
) -> timeseries.Panel:
    """Lines over time, or areas on top of each other. A name has the same colour in every panel."""
    panel = titled(timeseries.Panel(), title, description, width, 8, unit).targets(list(targets))
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel.legend(legend.placement(LegendPlacement.BOTTOM).calcs(["lastNotNull"]))
    panel.show_points(VisibilityMode.NEVER).line_width(1 if stacked else 2).fill_opacity(60 if stacked else 0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        panel.min(0)
    return panel


def timeline_panel(
    title: str, description: str, queries: Sequence[prometheus.Dataquery], mappings: Sequence[ValueMapping], height: int
) -> statetimeline.Panel:
    """A row for each series, coloured by the mappings of its values."""
    panel = titled(statetimeline.Panel(), title, description, 24, height, "none").targets(list(queries))
    panel.mappings(list(mappings)).show_value(VisibilityMode.AUTO).merge_values(True).row_height(0.85).fill_opacity(85)
    panel.line_width(0).color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.legend(common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST))
    return panel


def table_panel(
    title: str, description: str, columns: Mapping[str, str], queries: Sequence[str], width: int, height: int
) -> table.Panel:
    """A row for all that has the same labels in the queries. `columns` are labels, or `Value #A` for the value of the
    first query, with their headings, from left to right. Others are not shown."""
    panel = titled(table.Panel(), title, description, width, height, "none")
    panel.targets([table_query(query, chr(ord("A") + index)) for index, query in enumerate(queries)])
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    names = {"include": {"names": list(columns)}}
    panel.with_transformation(DataTransformerConfig(id_val="filterFieldsByName", options=names))
    order = {"indexByName": {name: index for index, name in enumerate(columns)}, "renameByName": dict(columns)}
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=order))
    return panel.filterable(True)


def setting(name: str, value: object) -> DynamicConfigValue:
    """An override of a field's configuration."""
    return DynamicConfigValue(id_val=name, value=value)


def link_setting(title: str, url: str, *, new_tab: bool = False) -> DynamicConfigValue:
    """An override that makes the field's values links."""
    return setting("links", [{"title": title, "url": url, "targetBlank": new_tab}])


def colour_setting(colour: str) -> DynamicConfigValue:
    return setting("color", {"mode": "fixed", "fixedColor": colour})


def value_mapping(results: Mapping[int, tuple[str, str]]) -> ValueMapping:
    """Values, each with its text and colour."""
    return ValueMap(
        {
            str(value): ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(results.items())
        }
    )


STATE_MAPPING = value_mapping({code: (state, STATE_COLOURS[state]) for state, code in queries.STATE_CODES.items()})
OK_MAPPING = value_mapping({1: ("ok", GOOD), 0: ("failing", BAD)})


def with_states_and_dates(panel: table.Panel) -> table.Panel:
    """Columns of the names State, Created and Last update shown as such, the worst state at the top."""
    background = {"type": "color-background", "mode": "basic"}
    panel.override_by_name(
        "State",
        [setting("mappings", [STATE_MAPPING]), setting("custom.cellOptions", background), setting("custom.width", 110)],
    )
    for name in ("Created", "Last update"):
        panel.override_by_name(name, [setting("unit", "dateTimeFromNow")])
    return panel.sort_by([common.TableSortByFieldState().display_name("State").desc(True)])

"""The dashboard of a single deployment, which every row of the overview leads to."""

from grafana_foundation_sdk.builders import bargauge, common, dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import BarGaugeDisplayMode, VizOrientation

from grafana import queries
from grafana.board import board
from grafana.panels import (
    DEPLOYMENT_DASHBOARD,
    NEUTRAL,
    STATE_COLOURS,
    STATE_MAPPING,
    colour_setting,
    instant_query,
    link_setting,
    range_query,
    series_panel,
    stat_panel,
    table_panel,
    timeline_panel,
    titled,
    with_states_and_dates,
)
from grafana.queries import DEPLOYMENT, GPUS, INFO, in_state, of_deployment, select

_LEGEND = "{{deployment}} · {{zone}}"
_LOOKS = "[$__range:$__interval]"
"""Looks at regular intervals, for what has to survive a restart of the exporter: its series are others then."""
_SECONDS = "$__interval_ms / 1000"
"""That one look stands for."""
_MOST_LOOKS = 1440
_STATE = f"max by ({DEPLOYMENT}, state) ({select('exoscale_ai_deployment_state')})"


def deployment() -> dashboard.Dashboard:
    """The dashboard, whole."""
    new = board(
        "Exoscale AI deployment",
        DEPLOYMENT_DASHBOARD,
        "One deployment, chosen above: its states, replicas and GPUs over time, and what else is known of it.",
    )
    for panel in (history(), *numbers(), time_in_state(), *over_time(), info()):
        new.with_panel(panel)
    return new


def history() -> statetimeline.Panel:
    """Its states over time."""
    return timeline_panel(
        "State",
        "The deployment's states. One that was deleted and created again has a row for each. A gap: nothing is known.",
        [range_query(query, _LEGEND, ref_id) for query, ref_id in zip(queries.timeline(), "AB", strict=True)],
        [STATE_MAPPING],
        5,
    )


def numbers() -> tuple[stat.Panel, ...]:
    """What it is now, and how calm it was."""
    blue = ((None, NEUTRAL),)
    changes = f"sum(changes({_STATE}{_LOOKS})) / 2"
    updated = f"time() - min({of_deployment('exoscale_ai_deployment_updated_timestamp_seconds')})"
    created = f"time() - min({of_deployment('exoscale_ai_deployment_created_timestamp_seconds')})"
    replicas = f"sum({of_deployment('exoscale_ai_deployment_replicas')})"
    hours = f"sum(sum_over_time({GPUS}{_LOOKS})) * {_SECONDS} / 3600"
    return (
        stat_panel("Replicas now", "Replicas of the deployment.", replicas, blue, width=4),
        stat_panel("GPUs now", "Replicas times GPUs per replica.", f"sum({GPUS})", blue, width=4),
        stat_panel(
            "GPU-hours", "GPUs held, times the hours, within the time shown.", hours, blue, width=4
        ).max_data_points(_MOST_LOOKS),
        stat_panel(
            "State changes",
            "Changes of the state within the time shown. In more than a day, short ones can be missed.",
            changes,
            blue,
            width=4,
        ).max_data_points(_MOST_LOOKS),
        stat_panel("Since the last update", "Since the API's updated-at.", updated, blue, width=4, unit="s"),
        stat_panel("Age", "Since the API's created-at.", created, blue, width=4, unit="s"),
    )


def time_in_state() -> bargauge.Panel:
    """How long it was in each state."""
    seconds = f"sum by (state) (sum_over_time({_STATE}{_LOOKS})) * {_SECONDS}"
    what = "How long the deployment was in each state, within the time shown."
    panel = titled(bargauge.Panel(), "Time in state", what, 8, 8, "s").with_target(instant_query(seconds, "{{state}}"))
    for name, colour in STATE_COLOURS.items():
        panel.override_by_name(name, [colour_setting(colour)])
    panel.min(0).max_data_points(_MOST_LOOKS).orientation(VizOrientation.HORIZONTAL).display_mode(
        BarGaugeDisplayMode.BASIC
    )
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def over_time() -> tuple[timeseries.Panel, ...]:
    """Replicas and GPUs."""
    replicas = queries.largest("exoscale_ai_deployment_replicas", queries.TIMELINE_ROWS)
    return (
        series_panel("Replicas", "Replicas over time. 0: scaled to zero.", range_query(replicas, _LEGEND)),
        series_panel(
            "GPUs",
            "Replicas times GPUs per replica, over time.",
            range_query(f"sum({GPUS})", "GPUs held"),
            stacked=True,
        ),
    )


def info() -> table.Panel:
    """What else is known of it."""
    labels = "model_id, gpu_type, service_level, visibility, url"
    values = (
        queries.state_codes(),
        of_deployment("exoscale_ai_deployment_gpu_count_per_replica"),
        f"max by ({DEPLOYMENT}, {labels}) ({INFO} and on ({DEPLOYMENT}) {in_state()})",
        f"1000 * {of_deployment('exoscale_ai_deployment_created_timestamp_seconds')}",
        f"1000 * {of_deployment('exoscale_ai_deployment_updated_timestamp_seconds')}",
    )
    columns = {
        "Value #A": "State",
        "deployment": "Deployment",
        "deployment_id": "ID",
        "account": "Account",
        "zone": "Zone",
        "model": "Model",
        "model_id": "Model ID",
        "gpu_type": "GPU type",
        "Value #B": "GPUs per replica",
        "service_level": "Service level",
        "visibility": "Visibility",
        "url": "URL",
        "Value #D": "Created",
        "Value #E": "Last update",
    }
    panel = table_panel("Known of it", "What the API says of the deployment now.", columns, values, 24, 5)
    panel.override_by_name("URL", [link_setting("Open ${__value.text}", "${__value.raw}", new_tab=True)])
    return with_states_and_dates(panel)

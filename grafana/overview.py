"""The dashboard that people open first: from "what is wrong now?" to the exporter's own health."""

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, timeseries

from grafana import health, queries
from grafana.board import board
from grafana.panels import (
    BAD,
    DEPLOYMENT_DASHBOARD,
    GOOD,
    NEUTRAL,
    STATE_COLOURS,
    STATE_MAPPING,
    WARNING,
    colour_setting,
    link_setting,
    range_query,
    series_panel,
    stat_panel,
    table_panel,
    timeline_panel,
    with_states_and_dates,
)
from grafana.queries import DEPLOYMENT, GPUS, INFO, NOT_READY, by, count, in_state, of_deployment, own, select

UID = "exoscale-ai-overview"
LARGEST = 20
"""Lines that can be told apart, with goodwill."""

_NONE_OR_BAD = ((None, GOOD), (1.0, BAD))
_NONE_OR_WARNING = ((None, GOOD), (1.0, WARNING))
_NUMBER = ((None, NEUTRAL),)


def link_to_deployment(account: str, zone: str, deployment: str) -> str:
    """URL of the other dashboard for what these expressions of Grafana's say."""
    chosen = f"var-account=${{{account}}}&var-zone=${{{zone}}}&var-deployment=${{{deployment}}}"
    return f"/d/{DEPLOYMENT_DASHBOARD}?var-datasource=${{datasource}}&{chosen}&${{__url_time_range}}"


def overview() -> dashboard.Dashboard:
    """The dashboard, whole."""
    new = board(
        "Exoscale AI deployments",
        UID,
        "Is every deployment ready, which one is not, how many GPUs do we hold and where, and is that answer fresh?",
    )
    for stat_of_now in now():
        new.with_panel(stat_of_now)
    new.with_row(dashboard.Row("Deployments")).with_panel(states())
    for series in (*gpus(), replicas(), deployments_by_state()):
        new.with_panel(series)
    new.with_panel(deployments())
    new.with_row(dashboard.Row("The exporter and the API")).with_panel(health.zones())
    for series in health.over_time():
        new.with_panel(series)
    return new.with_panel(health.exporters())


def now() -> tuple[stat.Panel, ...]:
    """The top row."""
    age = (
        f"time() - max by (account, zone) (last_over_time({select('exoscale_ai_last_success_timestamp_seconds')}[1h]))"
    )
    return (
        stat_panel(
            "In error",
            "Deployments in the state error, in the zones that can be listed.",
            count(in_state('state="error"')),
            _NONE_OR_BAD,
        ),
        stat_panel(
            "Not ready",
            "Deployments in any other state than ready, those in error among them.",
            count(NOT_READY),
            _NONE_OR_WARNING,
        ),
        stat_panel("Ready", "Deployments in the state ready.", count(in_state('state="ready"')), _NUMBER),
        stat_panel("GPUs held", "Replicas times GPUs per replica, of all deployments.", queries.total(GPUS), _NUMBER),
        stat_panel(
            "GPUs not ready",
            "GPUs held by deployments that are not ready: they cost money and serve nobody.",
            queries.total(f"{GPUS} and {NOT_READY}"),
            _NONE_OR_WARNING,
        ),
        stat_panel(
            "Zones failing",
            "Zones that no exporter can list. Nothing is known of their deployments: they are missing everywhere here.",
            f"count(max by (account, zone) ({select('exoscale_ai_up')}) == 0) or 0 * count({select('exoscale_ai_up')})",
            _NONE_OR_BAD,
        ),
        stat_panel(
            "Age of the data",
            "Since the last successful listing, of the zone where it is the longest ago; it grows while no exporter "
            "answers. Zones not seen for an hour are left out.",
            f"max({age})",
            ((None, GOOD), (150.0, WARNING), (300.0, BAD)),
            unit="s",
        ),
        stat_panel(
            "Exporters down",
            "Exporters that Prometheus could not scrape last time, of those that it could within the time shown.",
            f"count({own(select('up'), '$__range')} == 0) or 0 * count({own(select('up'), '$__range')})",
            _NONE_OR_BAD,
        ),
    )


def states() -> statetimeline.Panel:
    """Which deployment was in which state, when and for how long."""
    not_ready, then = queries.timeline()
    legend = "{{deployment}} · {{zone}}"
    panel = timeline_panel(
        "State of each deployment",
        f"Those that are not ready come first, then the others, {queries.TIMELINE_ROWS} of each: those that were not "
        "ready the longest. A gap: nothing is known, the zone could not be listed. Click for details.",
        [range_query(not_ready, legend), range_query(then, legend, "B")],
        [STATE_MAPPING],
        12,
    )
    labels = ("__field.labels.account", "__field.labels.zone", "__field.labels.deployment")
    link = dashboard.DashboardLink("Show ${__field.labels.deployment}").url(link_to_deployment(*labels))
    return panel.data_links([link])


def gpus() -> tuple[timeseries.Panel, ...]:
    """GPUs held over time, cut in three ways."""
    held = "GPUs held (replicas times GPUs per replica), by {}. Stacked: the top is all that we hold."
    return (
        series_panel("GPUs by model", held.format("model"), range_query(by("model", GPUS), "{{model}}"), stacked=True),
        series_panel(
            "GPUs by GPU type",
            held.format("GPU type"),
            range_query(queries.GPUS_BY_TYPE, "{{gpu_type}}"),
            stacked=True,
        ),
        series_panel(
            "GPUs by zone",
            held.format("account and zone"),
            range_query(f"sum by (account, zone) ({GPUS})", "{{account}} {{zone}}"),
            stacked=True,
        ),
    )


def replicas() -> timeseries.Panel:
    """Replicas over time."""
    return series_panel(
        "Replicas",
        f"Replicas of each deployment, of the {LARGEST} that had the most within the time shown. 0: scaled to zero.",
        range_query(queries.largest("exoscale_ai_deployment_replicas", LARGEST), "{{deployment}} · {{zone}}"),
        width=12,
    )


def deployments_by_state() -> timeseries.Panel:
    """How many deployments were in each state."""
    state = f"max by ({DEPLOYMENT}, state) ({select('exoscale_ai_deployment_state')}) == 1"
    panel = series_panel(
        "Deployments by state",
        "How many deployments were in each state, however many there are.",
        range_query(f"count by (state) ({state})", "{{state}}"),
        width=12,
        stacked=True,
    )
    for name, colour in STATE_COLOURS.items():
        panel.override_by_name(name, [colour_setting(colour)])
    return panel


def deployments() -> table.Panel:
    """Every deployment as it is now."""
    info = f"max by ({DEPLOYMENT}, gpu_type, service_level, url) ({INFO} and on ({DEPLOYMENT}) {in_state()})"
    values = (
        queries.state_codes(),
        of_deployment("exoscale_ai_deployment_replicas"),
        GPUS,
        info,
        f"1000 * {of_deployment('exoscale_ai_deployment_created_timestamp_seconds')}",
        f"1000 * {of_deployment('exoscale_ai_deployment_updated_timestamp_seconds')}",
    )
    columns = {
        "Value #A": "State",
        "deployment": "Deployment",
        "account": "Account",
        "zone": "Zone",
        "model": "Model",
        "gpu_type": "GPU type",
        "service_level": "Service level",
        "Value #B": "Replicas",
        "Value #C": "GPUs",
        "url": "URL",
        "Value #E": "Created",
        "Value #F": "Last update",
    }
    what = "Every deployment of the zones that can be listed, the worst state first. Click a name for the details."
    panel = table_panel("Deployments now", what, columns, values, 24, 12)
    fields = ("__data.fields.Account", "__data.fields.Zone", "__data.fields.Deployment")
    panel.override_by_name("Deployment", [link_setting("Show ${__value.text}", link_to_deployment(*fields))])
    panel.override_by_name("URL", [link_setting("Open ${__value.text}", "${__value.raw}", new_tab=True)])
    return with_states_and_dates(panel)

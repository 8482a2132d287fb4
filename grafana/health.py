"""The overview's lower part: the exporter's own health, and the API's."""

from grafana_foundation_sdk.builders import statetimeline, table, timeseries

from grafana import queries
from grafana.panels import OK_MAPPING, link_setting, range_query, series_panel, setting, table_panel, timeline_panel
from grafana.queries import latency, own, select


def zones() -> statetimeline.Panel:
    """Which zone could be listed when, by each exporter."""
    listed = select("exoscale_ai_up")
    ranked = f"bottomk({queries.TIMELINE_ROWS}, min by (account, zone) (avg_over_time({listed}[$__range] @ end())))"
    query = f"min by (account, zone) ({listed}) and on (account, zone) {ranked}"
    return timeline_panel(
        "Zones listed",
        f"Whether all exporters that try can list a zone, of the {queries.TIMELINE_ROWS} that failed the most.",
        [range_query(query, "{{account}} {{zone}}")],
        [OK_MAPPING],
        8,
    )


def over_time() -> tuple[timeseries.Panel, ...]:
    """The exporter's own health."""
    instance = "{{instance}}"
    rate = f"rate({select('process_cpu_seconds_total')}[$__rate_interval])"
    skew = select("exoscale_ai_clock_skew_seconds")
    return (
        series_panel(
            "Latency of listings",
            "How long requests for a zone's deployments took, retries included, by quantile.",
            *(
                range_query(latency(quantile), f"p{quantile * 100:g}", ref_id)
                for quantile, ref_id in ((0.5, "A"), (0.9, "B"), (0.99, "C"))
            ),
            unit="s",
        ),
        series_panel(
            "API answers by code",
            "Answers of the Exoscale API per minute, by HTTP status.",
            range_query(queries.per_minute("exoscale_ai_api_requests_total", "code"), "{{code}}"),
            unit="cpm",
            stacked=True,
        ),
        series_panel(
            "Failed listings by reason",
            "Listings that failed per minute, by reason. The runbooks say what to do about each.",
            range_query(queries.per_minute("exoscale_ai_scrape_errors_total", "reason"), "{{reason}}"),
            unit="cpm",
            stacked=True,
        ),
        series_panel(
            "Scrape duration",
            "How long Prometheus's scrapes took, and the slowest zone in them.",
            range_query(f"max by (instance) {own(select('scrape_duration_seconds'))}", instance),
            range_query(f"max({select('exoscale_ai_scrape_duration_seconds')})", "slowest zone", "B"),
            unit="s",
            width=6,
        ),
        series_panel(
            "Clock skew",
            "Local clock minus the API's, which tells whole seconds. Signatures fail when it grows to minutes.",
            range_query(f"max by (instance) ({skew})", f"{instance} most"),
            range_query(f"min by (instance) ({skew})", f"{instance} least", "B"),
            unit="s",
            width=6,
        ),
        series_panel(
            "Memory",
            "Resident memory of the exporter.",
            range_query(f"max by (instance) {own(select('process_resident_memory_bytes'))}", instance),
            unit="bytes",
            width=6,
        ),
        series_panel(
            "CPU",
            "CPU time the exporter takes, as a share of one core.",
            range_query(
                f"max by (instance) {own(rate)}",
                instance,
            ),
            unit="percentunit",
            width=6,
        ),
    )


def exporters() -> table.Panel:
    """Which exporters there are, with links to their pages."""
    values = (
        f"max by (instance, version, revision, python_version) ({select('exoscale_ai_exporter_build_info')})",
        f"min by (instance) ({select('exoscale_ai_exporter_config_last_reload_successful')})",
        f"1000 * max by (instance) ({select('exoscale_ai_exporter_config_last_reload_success_timestamp_seconds')})",
    )
    columns = {
        "instance": "Exporter",
        "version": "Version",
        "revision": "Revision",
        "python_version": "Python",
        "Value #B": "Last reload",
        "Value #C": "Configuration of",
    }
    what = (
        "The exporters that answer. Click one for its page, where your browser reaches it by this name and plain HTTP."
    )
    panel = table_panel("Exporters", what, columns, values, 24, 6)
    panel.override_by_name("Exporter", [link_setting("Open the page", "http://${__value.text}/", new_tab=True)])
    panel.override_by_name("Last reload", [setting("mappings", [OK_MAPPING])])
    return panel.override_by_name("Configuration of", [setting("unit", "dateTimeFromNow")])

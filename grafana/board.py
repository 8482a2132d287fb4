"""What surrounds the panels: variables, alert annotations, links."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, VariableOption, VariableRefresh, VariableSort

from exporter import PROJECT_URL
from grafana import queries
from grafana.panels import BAD, DATASOURCE

OFFERED = {
    "account": "exoscale_ai_up",
    "zone": "exoscale_ai_up",
    "model": "exoscale_ai_deployment_state",
    "state": "exoscale_ai_deployment_state",
    "deployment": "exoscale_ai_deployment_state",
}
"""Where the values of variables come from."""


def variables() -> list[dashboard.QueryVariable | dashboard.DatasourceVariable]:
    """`datasource` and those of `queries.VARIABLES`, each offering what is left by those before it."""
    ours = '__name__=~"exoscale_ai_up|exoscale_ai_exporter_build_info"'
    sources = {"job": f"{{{ours}}}", "instance": f'{{{ours}, job=~"$job"}}'}
    for name, metric in OFFERED.items():
        sources[name] = queries.select(metric, honouring=tuple(sources))
    datasource = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [datasource, *(_query_variable(name, source) for name, source in sources.items())]


def _query_variable(name: str, source: str) -> dashboard.QueryVariable:
    query = f"label_values({source}, {name})"
    return (
        dashboard.QueryVariable(name)
        .label(name.title())
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .definition(query)
        .multi(True)
        .include_all(True)
        # A model or deployment can be without a name; every job and instance has one.
        .all_value(".+" if name in ("job", "instance") else ".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def alerts() -> dashboard.AnnotationQuery:
    """A mark wherever an alert of ours was firing. Those that lack a label are shown always."""
    shown = ", ".join(f'{name}=~"${name}|"' for name in queries.VARIABLES if name not in ("job", "instance", "state"))
    expression = f'ALERTS{{alertname=~"ExoscaleAI.+", alertstate="firing", {shown}}}'
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(BAD)
        .expr(expression)
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{account}} {{zone}} {{deployment}}")
        .tag_keys("alertname,severity")
    )


def board(title: str, uid: str, description: str) -> dashboard.Dashboard:
    """An empty dashboard with variables, annotations and links."""
    runbooks = dashboard.DashboardLink("Runbooks").type(DashboardLinkType.LINK).icon("doc").target_blank(True)
    others = dashboard.DashboardLink("Exoscale AI").type(DashboardLinkType.DASHBOARDS).tags(["exoscale-ai"])
    new = dashboard.Dashboard(title).uid(uid).description(description).tags(["exoscale-ai", "exoscale", "prometheus"])
    new.readonly().timezone("browser").time("now-6h", "now").refresh("1m")
    new.link(others.as_dropdown(False).include_vars(True).keep_time(True))
    new.link(runbooks.url(f"{PROJECT_URL}/blob/main/docs/runbooks.md"))
    for variable in variables():
        new.with_variable(variable)
    return new.annotation(alerts())

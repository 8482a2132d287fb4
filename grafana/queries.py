"""The dashboards' PromQL.

All of it reads the exporter's own metrics, never recorded ones, so that the dashboards work without the rules. Every
selector honours each variable whose label the metric has: `select` looks the labels up in the table of metrics.
Values are aggregated to a deployment or a zone by `max` first, so that an HA pair of exporters counts once.
"""

from collections.abc import Sequence

from exporter.inventory import KNOWN_STATES
from exporter.metrics import DEPLOYMENT_LABELS, TABLE

VARIABLES = ("job", "instance", "account", "zone", "model", "deployment", "state")
"""Template variables that are labels."""

OTHER_STATE = "another state"
STATES = ("ready", "scaling", "updating", "creating", "preparing", "deploying", OTHER_STATE, "error")
"""From the best to the worst: while two exporters disagree, the worse one is shown."""
if set(STATES) != {*KNOWN_STATES, OTHER_STATE}:
    raise RuntimeError(f"grafana.queries.STATES needs the states of exporter.inventory: {KNOWN_STATES}")

STATE_CODES = {state: code for code, state in enumerate(STATES, start=1)}
"""Grafana's state timeline draws numbers."""

TIMELINE_ROWS = 20
"""As many as can be read on a screen, twice."""

DEPLOYMENT = ", ".join(DEPLOYMENT_LABELS)
_LABELS = {row.name: row.labels for row in TABLE} | {
    f"{row.name}_bucket": row.labels for row in TABLE if row.kind == "histogram"
}
_FOREIGN = ("process_cpu_seconds_total", "process_resident_memory_bytes", "scrape_duration_seconds", "up")
"""Of these, other jobs have series of the same names."""


def select(metric: str, *matchers: str, honouring: Sequence[str] = VARIABLES) -> str:
    """The metric with a matcher for each of these variables whose label it has, and these matchers.

    Raises `KeyError` for a metric that is not in the table.
    """
    labels = () if metric in _FOREIGN else _LABELS[metric]
    honoured = [f'{name}=~"${name}"' for name in honouring if name in ("job", "instance", *labels)]
    return f"{metric}{{{', '.join([*honoured, *matchers])}}}"


def own(expression: str, window: str = "") -> str:
    """Of an expression on metrics that other jobs have too, the part that is about exporters of ours."""
    info = select("exoscale_ai_exporter_build_info")
    known = f"last_over_time({info}[{window}])" if window else info
    return f"({expression} and on (job, instance) {known})"


def of_deployment(metric: str) -> str:
    """The deployments' values, of those that are in a selected state."""
    return f"(max by ({DEPLOYMENT}) ({select(metric)}) and {in_state()})"


def in_state(*matchers: str) -> str:
    """1 for the deployments in a selected state."""
    return f"(max by ({DEPLOYMENT}) ({select('exoscale_ai_deployment_state', *matchers)}) == 1)"


NOT_READY = in_state('state!="ready"')

GPUS = (
    f"({of_deployment('exoscale_ai_deployment_replicas')} * "
    f"{of_deployment('exoscale_ai_deployment_gpu_count_per_replica')})"
)
"""GPUs held by each deployment."""

INFO = f"topk by ({DEPLOYMENT}) (1, {select('exoscale_ai_deployment_info')})"
"""One _info for each deployment: while two exporters disagree, a join with both would be an error."""


def or_zero(expression: str) -> str:
    """0 where nothing is found in zones that could be listed. Where none could, nobody knows: no value."""
    return f"{expression} or 0 * count({select('exoscale_ai_deployments')})"


def count(expression: str) -> str:
    return or_zero(f"count({expression})")


def total(expression: str) -> str:
    return or_zero(f"sum({expression})")


def by(label: str, expression: str) -> str:
    """Summed by a label. What the API leaves out gets a name, since an empty one cannot be seen."""
    return f'label_replace(sum by ({label}) ({expression}), "{label}", "not given", "{label}", "")'


GPUS_BY_TYPE = by("gpu_type", f"{GPUS} * on ({DEPLOYMENT}) group_left (gpu_type) {INFO}")


def state_codes() -> str:
    """The code of each deployment's state."""
    known = "|".join(KNOWN_STATES)
    matchers = {state: f'state="{state}"' for state in STATES} | {OTHER_STATE: f'state!~"{known}"'}
    terms = (
        f"{code} * ({select('exoscale_ai_deployment_state', matchers[state])} == 1)"
        for state, code in STATE_CODES.items()
    )
    return f"max by ({DEPLOYMENT}) ({' or '.join(terms)})"


def timeline() -> tuple[str, str]:
    """State codes over time of what one has to look at first: deployments that are not ready at the end, and then those
    that are, or were when last seen. Of each, the ones that were not ready the longest."""
    ready = select("exoscale_ai_deployment_state", 'state="ready"', honouring=VARIABLES[:-1]) + "[$__range] @ end()"
    trouble = f"max by ({DEPLOYMENT}) (1 - avg_over_time({ready}))"
    selected = f"(max_over_time({select('exoscale_ai_deployment_state')}[$__range] @ end()) == 1)"
    found = f"{trouble} and on ({DEPLOYMENT}) {selected}"
    at_the_end = f"and on ({DEPLOYMENT}) max by ({DEPLOYMENT}) (last_over_time({ready}))"
    not_ready, then = (f"topk({TIMELINE_ROWS}, {found} {at_the_end} == {value})" for value in (0, 1))
    codes = f"{state_codes()} and on ({DEPLOYMENT})"
    return f"{codes} {not_ready}", f"{codes} {then}"


def largest(metric: str, limit: int) -> str:
    """The values of the deployments whose value was the largest in the time shown."""
    peak = f"max by ({DEPLOYMENT}) (max_over_time({select(metric)}[$__range] @ end()))"
    return f"{of_deployment(metric)} and on ({DEPLOYMENT}) topk({limit}, {peak})"


def per_minute(metric: str, label: str) -> str:
    """A counter's increase per minute, by a label."""
    return f"60 * sum by ({label}) (rate({select(metric)}[$__rate_interval]))"


def latency(quantile: float) -> str:
    """A quantile of how long `list-deployments` took, in seconds."""
    buckets = select("exoscale_ai_api_request_duration_seconds_bucket", 'operation="list-deployments"')
    return f"histogram_quantile({quantile}, sum by (le) (rate({buckets}[$__rate_interval])))"

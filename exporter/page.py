"""Visits → the page for people."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import jinja2

from exporter import PROJECT_URL
from exporter.inventory import Deployment, Identity, Model, identity, timestamp
from exporter.visit import Visit

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("exporter"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_STYLE = _TEMPLATES.loader.get_source(_TEMPLATES, "page.css")[0] if _TEMPLATES.loader else ""
_SCRIPT = _TEMPLATES.loader.get_source(_TEMPLATES, "page.js")[0] if _TEMPLATES.loader else ""


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer with the page: it loads nothing, and no text of the API's can become code in it."""


_URGENCY = {"error": 0, "ready": 2}
"""What needs attention comes first; what is on its way, or unknown, is between the two."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A deployment as a line of the table."""

    visit: Visit
    deployment: Deployment
    identity: Identity

    @property
    def state(self) -> str:
        return self.deployment.state or "unknown"

    @property
    def gpus(self) -> int | None:
        """GPUs held: those of a replica times the replicas."""
        if self.deployment.gpu_count is None or self.deployment.replicas is None:
            return None
        return self.deployment.gpu_count * self.deployment.replicas


def render(visits: Sequence[Visit], *, version: str, telemetry_path: str, now: float, started: float) -> str:
    """The page as HTML. `now` and `started` (when the exporter was) are in Unix time."""
    rows = [
        _Row(visit, deployment, identity(deployment))
        for visit in visits
        if visit.inventory
        for deployment in visit.inventory.deployments
    ]
    rows.sort(key=lambda row: (_URGENCY.get(row.state, 1), row.visit.account, row.visit.zone, row.identity.deployment))
    return _TEMPLATES.get_template("page.html").render(
        visits=visits,
        rows=rows,
        version=version,
        project_url=PROJECT_URL,
        telemetry_path=telemetry_path,
        style=_STYLE,
        script=_SCRIPT,
        uptime=now - started,
        since=lambda then: now - (timestamp(then) if isinstance(then, datetime) else then),
        ago=ago,
        model_id=lambda deployment: (deployment.model or Model()).id,
    )


def ago(seconds: float) -> str:
    """A span of time in its two largest units, or the largest where the second is nothing: `3 d 4 h`."""
    left = max(0, round(seconds))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"

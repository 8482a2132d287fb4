"""The dashboards' code → the JSON that Grafana loads.

python -m grafana.generate
"""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.deployment import deployment
from grafana.overview import overview

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, Dashboard]:
    """File name → dashboard, in Grafana's classic model. Panels are numbered from the top."""
    built = {"overview.json": overview().build(), "deployment.json": deployment().build()}
    for dashboard in built.values():
        for number, panel in enumerate(dashboard.panels or [], start=1):
            panel.id_val = number
    return built


def to_json(dashboard: Dashboard) -> str:
    """As it stands in the file. `id` is null: Grafana gives it one of its own."""
    plain = json.loads(JSONEncoder().encode({"id": None, **dashboard.to_json()}))
    return json.dumps(_shown(plain), indent=2, ensure_ascii=False) + "\n"


def _shown(value: Any) -> Any:
    """Without what the SDK adds to every link and annotation: it would hide them in a menu."""
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items() if (key, item) != ("placement", "inControlsMenu")}
    return value


def main() -> None:
    """Writes the files."""
    for name, dashboard in dashboards().items():
        (FOLDER / name).write_text(to_json(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Draws the dashboards for the README: python -m tests.grafana.illustrate (`make pictures`), with Prometheus installed.

Half an hour of the demo with a clock that runs faster: two exporters scrape it every fifteen seconds, one of them is
replaced, and a zone fails at the end. What they answered becomes Prometheus's past.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.simulator import fleet
from exporter.simulator.server import Simulator
from grafana.generate import FOLDER
from tests.grafana import draw
from tests.grafana.asked import Asked
from tests.harness import Exporter, configuration, program
from tests.programs import serving

SECONDS, STEP = 1800, 15
JOB = "exoscale-ai-exporter"
FAULTS = {600: ("de-fra-1", "429"), 720: ("de-fra-1", "none"), 1500: ("at-vie-2", "500")}
"""Seconds since the beginning → zone and fault."""
REPLACED = 900


def samples() -> Iterator[tuple[float, Sample]]:
    """Unix time and what was scraped then."""
    began = int(time.time()) - SECONDS
    clock = [float(began)]
    zones = ", ".join(fleet.ZONES)
    with Simulator(now=lambda: clock[0]) as simulator:
        current = configuration(f"accounts: [{{name: production, zones: [{zones}]}}]", simulator)
        with (
            Exporter(current, now=lambda: clock[0]) as first,
            Exporter(current, now=lambda: clock[0]) as second,
            Exporter(current, now=lambda: clock[0]) as third,
        ):
            for elapsed in range(0, SECONDS + 1, STEP):
                clock[0] = began + elapsed
                if elapsed in FAULTS:
                    simulator.set_fault(*FAULTS[elapsed])
                pair = {"exporter-0:10042": first, "exporter-1:10042": second if elapsed < REPLACED else third}
                if elapsed >= REPLACED:
                    pair = {"exporter-0:10042": first, "exporter-2:10042": third}
                for instance, exporter in pair.items():
                    yield from ((clock[0], sample) for sample in _scraped(exporter, instance))


def _scraped(exporter: Exporter, instance: str) -> Iterator[Sample]:
    asked = time.monotonic()
    text = exporter.scrape().text
    took = time.monotonic() - asked
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield Sample(sample.name, {**sample.labels, "instance": instance, "job": JOB}, sample.value)
    yield Sample("up", {"instance": instance, "job": JOB}, 1)
    yield Sample("scrape_duration_seconds", {"instance": instance, "job": JOB}, took)


def line(moment: float, sample: Sample) -> str:
    """In OpenMetrics."""
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in sample.labels.items()}
    labels = ",".join(f'{name}="{value}"' for name, value in escaped.items())
    return f"{sample.name}{{{labels}}} {sample.value} {moment}\n"


def main() -> None:
    """Writes a picture beside the dashboards' code for each of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        last = 0.0
        with (folder / "past").open("w", encoding="utf-8") as past:
            for moment, sample in samples():
                past.write(line(moment, sample))
                last = moment
            past.write("# EOF\n")
        create = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "past", "data"]
        subprocess.run(create, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (folder / "prometheus.yml").write_text("{}")
        # Nothing marks the end of what was written later: a short look back does.
        flags = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--query.lookback-delta={STEP - 1}s")
        with serving(folder, "prometheus", *flags) as url:
            asked = Asked(url, last, SECONDS, STEP)
            draw.picture("overview", asked, {}, FOLDER.parent / "overview.png")
            chosen = {"zone": ["ch-gva-2"], "deployment": ["assistant"]}
            draw.picture("deployment", asked, chosen, FOLDER.parent / "deployment.png")


if __name__ == "__main__":
    main()

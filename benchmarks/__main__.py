"""Measures everything, prints it as it comes, and writes RESULTS.md: python -m benchmarks [NAME …]"""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import figures
from benchmarks.compression import Compressed, compressed
from benchmarks.figures import Figure

RESULTS = Path(__file__).parent / "RESULTS.md"
NOTES = RESULTS.with_name("NOTES.md")
MEASUREMENTS: tuple[Callable[[], list[Figure]], ...] = (
    figures.zones,
    figures.ten_thousand,
    figures.cpu,
    figures.growth,
    figures.waiting,
    figures.memory,
    figures.sharing,
    figures.start,
)


def row(name: str, figure: Figure) -> str:
    """In Markdown."""
    verdict = "✓" if figure.met else "✗"
    cells = (
        figure.what,
        figure.beside,
        figure.measured,
        f"{figure.ratio:.2f}",
        f"≤ {figure.goal:g} {verdict}",
        f"`{name}`",
    )
    return f"| {' | '.join(cells)} |"


def compression_row(one: Compressed) -> str:
    """In Markdown."""
    shares = f"{one.after / one.before:.1%}", f"{one.compressing / one.rendering:.2f}"
    cells = (f"{one.deployments:,}", str(one.level), f"{one.before:,}", f"{one.after:,}", shares[0])
    return f"| {' | '.join((*cells, f'{one.compressing * 1000:.2f} ms', shares[1]))} |"


def machine() -> str:
    """What it was measured on."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    program = shutil.which("prometheus-pushgateway") or "prometheus-pushgateway"
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    pushgateway = (version.stdout + version.stderr).split()[2]
    cores = len([line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")])
    packages = ("prometheus-client", "requests", "msgspec", "uvicorn", "starlette")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {cores} × {cpu.partition(': ')[2]}, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {versions}, pushgateway {pushgateway}."
    )


def results(rows: Sequence[str], compression: Sequence[str]) -> str:
    """The text of RESULTS.md."""
    return "\n".join(
        [
            "# What the exporter costs",
            "",
            "Written by `make bench`. Every figure is a ratio of two things that were measured in turns, in one run,",
            "each in a process of its own, the best of several rounds: machines differ and are busy, ratios less so.",
            "The last column is the name of the measurement; `python -m benchmarks NAME` repeats it alone and writes",
            "nothing.",
            "",
            machine(),
            "",
            "| what | beside | measured | ratio | goal | repeat |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "## Compression",
            "",
            "| deployments | level | bytes | compressed | share | time | of rendering |",
            "|---|---|---|---|---|---|---|",
            *compression,
            "",
            NOTES.read_text(encoding="utf-8"),
        ]
    )


def main() -> None:
    """Measures what the arguments name, or everything."""
    rows = []
    for measurement in MEASUREMENTS:
        if not sys.argv[1:] or measurement.__name__ in sys.argv[1:]:
            for figure in measurement():
                rows.append(row(measurement.__name__, figure))
                sys.stdout.write(rows[-1] + "\n")
                sys.stdout.flush()
    if not sys.argv[1:]:
        compression = [compression_row(one) for one in compressed()]
        sys.stdout.write("\n".join(compression) + "\n")
        RESULTS.write_text(results(rows, compression), encoding="utf-8")


if __name__ == "__main__":
    main()

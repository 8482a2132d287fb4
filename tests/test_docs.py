"""The documentation is held against the code: what it shows is what there is."""

import os
import re
from pathlib import Path

import pytest

from exporter import __version__, config, metrics
from exporter.cli import parser
from exporter.errors import Reason
from exporter.inventory import KNOWN_STATES
from exporter.service import demo_config
from exporter.simulator.faults import FAULTS
from exporter.simulator.server import Simulator
from tests.harness import Exporter

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
START = 1777887720.0


def section(name: str, path: Path = README) -> str:
    """What stands in the file between the markers of a part that the code determines."""
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", path.read_text(), re.DOTALL)
    assert match, f"{path.name} has no part {name}"
    return match[1]


def hold(name: str, expected: str, path: Path = README) -> None:
    """Asserts that the part is as expected, or makes it so where UPDATE_GOLDEN is set."""
    if os.environ.get("UPDATE_GOLDEN"):
        before, after = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        path.write_text(path.read_text().replace(before + section(name, path) + after, before + expected + after))
    assert section(name, path) == expected, "`make golden` writes it anew"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for row in metrics.TABLE:
        labels = ", ".join(f"`{label}`" for label in row.labels) or "–"
        labels = labels.replace(", ".join(f"`{label}`" for label in metrics.DEPLOYMENT_LABELS), "*deployment*")
        labels = labels.replace(", ".join(f"`{label}`" for label in metrics.ZONE_LABELS), "*zone*")
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.help} |")
    hold("metrics", "\n" + "\n".join(lines) + "\n\n")


def test_the_output_shown_is_what_the_demo_gives() -> None:
    """Of one deployment and one zone, at a moment of the simulation."""
    with Simulator(now=lambda: START) as simulator, Exporter(demo_config(simulator)) as exporter:
        text = exporter.get("/metrics").text
    shown = []
    for line in text.splitlines():
        about = 'zone="at-vie-2"' in line and ('deployment="' not in line or 'deployment="embeddings"' in line)
        wanted = line.startswith("exoscale_ai_") and about and not re.search(r"_bucket|_sum|_count\b|duration", line)
        if wanted and "clock_skew" not in line and "last_success" not in line:
            shown.append(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:41735", line))
    assert len(shown) > 20
    hold("output", "\n```\n" + "\n".join(shown) + "\n```\n\n")


def test_the_faults_of_the_simulator_are_those_of_the_code() -> None:
    lines = ["| fault | the API … |", "|---|---|"]
    lines += [f"| `{name}` | {fault.__doc__} |" for name, fault in FAULTS.items()]
    hold("faults", "\n" + "\n".join(lines) + "\n\n", ROOT / "docs" / "simulator.md")


def test_every_flag_is_documented() -> None:
    options = [option for action in parser()._actions for option in action.option_strings]  # noqa: SLF001
    missing = {option for option in options if option.startswith("--") and f"`{option}" not in README.read_text()}
    assert not missing - {"--help"}


def test_every_state_and_reason_is_documented() -> None:
    text = README.read_text()
    assert not {word for word in (*KNOWN_STATES, *Reason) if f"`{word}`" not in text}


def test_the_configuration_shown_is_valid_and_has_every_key(tmp_path: Path) -> None:
    shown = re.search(r"```yaml\n(accounts:.*?)```", README.read_text(), re.DOTALL)
    assert shown
    for name in ("key", "secret"):
        (tmp_path / name).write_text("EXOexample\n")
    text = shown[1].replace("/run/secrets/", "")
    loaded = config.parse(text, {}, tmp_path, "README.md")
    assert loaded.scrape == config.load(None, {"EXOSCALE_API_KEY": "k", "EXOSCALE_API_SECRET": "s"}).scrape, "defaults"
    keys = set(re.findall(r"^\s*(?:- )?#?\s?(\w+):", text, re.MULTILINE))
    from exporter.configfile import AccountFile, ConfigFile, ScrapeFile

    every = {*AccountFile.__struct_fields__, *ConfigFile.__struct_fields__, *ScrapeFile.__struct_fields__}
    assert every == keys


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target

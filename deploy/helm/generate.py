"""What of the chart is made from other files of the project: `python -m deploy.helm.generate` writes it.

Helm reads nothing outside a chart's folder, so that the chart has copies: the rules and the dashboards. The tables of
its README come from the comments of `values.yaml`, its version is the exporter's.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter import __version__
from prometheus import generate as rules

ROOT = Path(__file__).resolve().parents[2]
CHART = Path("deploy/helm/exoscale-ai-exporter")
DASHBOARDS = CHART / "files" / "dashboards"

_RULES_HEADER = "# A copy of prometheus/recording.yml and prometheus/alerts.yml, written by `make chart`: edit those.\n"
_BEFORE, _AFTER = "<!-- values -->\n", "<!-- end of values -->"


@dataclass(frozen=True)
class Value:
    """A value that can be set: `default` is what stands in the table."""

    section: str
    path: str
    default: str
    description: str


def generated(root: Path = ROOT) -> dict[Path, str]:
    """File, relative to the root → what it has to hold."""
    metadata, readme, defaults = (
        (root / CHART / name).read_text(encoding="utf-8") for name in ("Chart.yaml", "README.md", "values.yaml")
    )
    groups = rules.prometheus_rule(rules.read_sources(root / "prometheus"))["spec"]["groups"]
    files = {
        CHART / "Chart.yaml": re.sub(r"(?m)^(version|appVersion): .*$", rf"\1: {__version__}", metadata),
        CHART / "README.md": _with_tables(readme, values(defaults)),
        CHART / "files" / "rules.yaml": _RULES_HEADER + rules.to_yaml({"groups": groups}).partition("\n")[2],
    }
    for path in dashboards(root):
        files[DASHBOARDS / path.name] = path.read_text(encoding="utf-8")
    return files


def dashboards(root: Path = ROOT) -> list[Path]:
    """The Grafana dashboards of the project."""
    return sorted((root / "grafana" / "dashboards").glob("*.json"))


def out_of_step(root: Path = ROOT) -> list[Path]:
    """Files that are not as they would be generated, and copies of dashboards that are no more."""
    files = generated(root)
    wrong = [path for path, text in files.items() if not (root / path).exists() or (root / path).read_text() != text]
    return wrong + _superfluous(root, files)


def write(root: Path = ROOT) -> None:
    """Writes all of them."""
    files = generated(root)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for path in _superfluous(root, files):
        (root / path).unlink()


def _superfluous(root: Path, files: dict[Path, str]) -> list[Path]:
    copies = (path.relative_to(root) for path in sorted((root / DASHBOARDS).glob("*.json")))
    return [path for path in copies if path not in files]


def values(text: str) -> list[Value]:
    """What is described in values.yaml, in its order.

    A description is a comment that begins with `# --` and goes on to the key; `# ==` begins a section. Raises
    `ValueError` where a value has none: neither itself nor a mapping around it.
    """
    defaults = dict(_nodes(yaml.safe_load(text)))
    found: list[Value] = []
    section, description = "", ""
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        if line.startswith("# == "):
            section = line[5:]
        elif comment := re.match(r" *# -- (.*)", line):
            description = comment[1]
        elif description and (comment := re.match(r" *# (.*)", line)):
            description += " " + comment[1]
        elif key := re.match(r"( *)([\w-]+):", line):
            indent = len(key[1])
            path = [(depth, name) for depth, name in path if depth < indent] + [(indent, key[2])]
            name = ".".join(name for _, name in path)
            if description:
                found.append(Value(section, name, json.dumps(defaults[name]), description))
            description = ""
    _check_all_described(defaults, [value.path for value in found])
    return found


def _nodes(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path → value, of mappings and of what is in them."""
    for name, child in node.items():
        yield prefix + name, child
        if isinstance(child, dict):
            yield from _nodes(child, f"{prefix}{name}.")


def _check_all_described(defaults: dict[str, Any], described: list[str]) -> None:
    leaves = (path for path, value in defaults.items() if not (isinstance(value, dict) and value))
    if missing := [leaf for leaf in leaves if not any(f"{leaf}.".startswith(f"{path}.") for path in described)]:
        raise ValueError(f"values.yaml does not describe {', '.join(missing)}")


def _with_tables(readme: str, described: list[Value]) -> str:
    head, found, rest = readme.partition(_BEFORE)
    _, closed, tail = rest.partition(_AFTER)
    if not found or not closed:
        raise ValueError("README.md has no place for the values")
    lines, section = [], None
    for value in described:
        if value.section != section:
            section = value.section
            lines += ["", f"### {section}", "", "| value | default | |", "|---|---|---|"]
        default = f"`{value.default}`" if len(value.default) <= 60 else "see `values.yaml`"
        lines.append(f"| `{value.path}` | {default} | {value.description.replace('|', '&#124;')} |")
    return head + _BEFORE + "\n".join(lines) + "\n\n" + _AFTER + tail


if __name__ == "__main__":
    write()

"""The chart, rendered by Helm's own engine."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from deploy.helm import generate

ROOT = Path(__file__).parents[2]
CHART = ROOT / generate.CHART
HERE = Path(__file__).parent
NAMESPACE = "monitoring"
RELEASE = "exoscale-ai-exporter"

Manifest = dict[str, Any]


def value_sets() -> dict[str, dict[str, Any]]:
    """Name → values: the defaults, and what `values/` has."""
    files = sorted((HERE / "values").glob("*.yaml"))
    return {"defaults": {}, **{path.stem: yaml.safe_load(path.read_text()) for path in files}}


def templates(values: Mapping[str, Any], release: str = RELEASE) -> dict[str, str]:
    """Name of the template, without those that render to nothing → what it renders to."""
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render(dict(values), name=release, namespace=NAMESPACE)
    return {Path(name).name: text for name, text in sorted(rendered.items()) if text.strip()}


def manifests(values: Mapping[str, Any], release: str = RELEASE) -> list[Manifest]:
    """All objects, in the order of their templates."""
    return [manifest for name, text in templates(values, release).items() for manifest in documents(name, text)]


def documents(name: str, text: str) -> Iterator[Manifest]:
    """The objects that a template renders to: none for NOTES.txt."""
    if name.endswith(".yaml"):
        yield from (document for document in yaml.safe_load_all(text) if document)


def only(kind: str, found: list[Manifest], suffix: str = "") -> Manifest:
    """The one object of the kind whose name ends so."""
    (manifest,) = (one for one in found if one["kind"] == kind and one["metadata"]["name"].endswith(suffix))
    return manifest


def container(found: list[Manifest]) -> dict[str, Any]:
    """The exporter's container."""
    (one,) = only("Deployment", found)["spec"]["template"]["spec"]["containers"]
    assert isinstance(one, dict)
    return one


SETS = value_sets()
each_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS)

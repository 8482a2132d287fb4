"""Imports go downward only, so that every module can be read and tested with what stands below it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"

FLOORS = (
    {"errors", "secret", "yamlfile", "configfile", "systemd", "__init__"},
    {"config", "inventory", "visit", "transport", "failures", "client", "webconfig"},
    {"metrics", "render", "instruments", "exposition", "zones", "target", "scrape", "page", "discovery"},
    {"web", "query", "server", "guard", "logs"},
    {"daemon", "service", "cli", "__main__"},
)
"""From the lowest to the highest."""

MODULES = {path.stem: path for path in PACKAGE.glob("*.py")}
SIMULATOR = sorted((PACKAGE / "simulator").glob("*.py"))


def floor(module: str) -> int:
    return next(index for index, modules in enumerate(FLOORS) if module in modules)


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "exporter":
            found |= {name.name if name.name in MODULES else "__init__" for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("exporter."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("exporter.")}
    return found


def test_every_module_has_a_floor() -> None:
    assert set(MODULES) == set.union(*FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downward_only(module: str) -> None:
    upward = {other for other in imported(MODULES[module]) - {"simulator"} if floor(other) > floor(module)}
    assert not upward


def test_imports_within_a_floor_have_no_cycle() -> None:
    graph = {module: imported(path) - {"simulator", module} for module, path in MODULES.items()}
    while leaves := {module for module, others in graph.items() if not others & set(graph)}:
        graph = {module: others for module, others in graph.items() if module not in leaves}
    assert not graph


def test_the_web_is_handed_the_scrape_and_does_not_import_it() -> None:
    assert not imported(MODULES["web"]) & {"scrape", "target", "zones", "client"}


@pytest.mark.parametrize(
    "module", ["metrics", "render", "inventory", "exposition", "page", "discovery", "visit", "failures"]
)
def test_the_core_is_pure(module: str) -> None:
    """No clock, no file, no socket, no thread: what these give follows from what they are given."""
    impure = {"time", "socket", "threading", "os", "pathlib", "subprocess"}
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not names & impure


@pytest.mark.parametrize("path", SIMULATOR, ids=lambda path: path.stem)
def test_the_simulator_shares_nothing_with_the_exporter(path: Path) -> None:
    assert imported(path) <= {"simulator"}


def test_only_the_wiring_knows_the_simulator() -> None:
    assert {module for module, path in MODULES.items() if "simulator" in imported(path)} == {"service"}


@pytest.mark.parametrize("path", [*MODULES.values(), *SIMULATOR], ids=lambda path: path.stem)
def test_a_module_can_be_read_in_one_go(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 275
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 45, f"{node.name} is long"

"""The compose file: it holds together, and fits the exporter, the rules and the dashboards."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.helm import generate
from exporter import __version__, cli
from tests.harness import program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
CREDENTIALS = ("EXOSCALE_API_KEY", "EXOSCALE_API_SECRET")

each_service = pytest.mark.parametrize("name", SERVICES)


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """As compose does it, for the forms that the file has: `$$` and `${NAME:-default}`."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else environ.get(match["name"], "") or match["default"]

    return re.sub(r"\$\$|\$\{(?P<name>\w+):-(?P<default>[^}]*)\}", value, text)


def mounts(name: str) -> Iterator[tuple[str, str, str]]:
    """Source, target and mode of each volume."""
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        yield source, target, mode[0] if mode else "rw"


def host_of(name: str) -> str:
    """The name by which others reach the service: its own, or of the one whose network it is in."""
    return str(SERVICES[name].get("network_mode", "")).removeprefix("service:") or name


def published() -> dict[tuple[str, int], int]:
    """Service and its port → port of the host."""
    found = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            address, outside, inside = port.split(":")
            assert address == "127.0.0.1", "nobody else's machine: there are no passwords"
            found[name, int(inside)] = int(outside)
    return found


def test_there_is_all_that_it_takes() -> None:
    assert SERVICES.keys() == {"exporter", "blackbox", "prometheus", "alertmanager", "grafana"}


@each_service
def test_every_image_is_pinned_by_its_exact_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image), image


def test_the_exporters_image_is_built_from_the_project_and_has_its_version() -> None:
    exporter = SERVICES["exporter"]
    assert (FOLDER / exporter["build"]).resolve() == ROOT
    assert (ROOT / "Dockerfile").is_file()
    assert exporter["image"] == f"exoscale-ai-exporter:{__version__}"


@each_service
def test_every_file_that_is_mounted_is_there_and_cannot_be_written(name: str) -> None:
    for source, _, mode in mounts(name):
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
            assert mode == "ro", source
        else:
            assert source in COMPOSE["volumes"], source


@each_service
def test_nothing_runs_with_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "user" not in service


@each_service
def test_services_wait_for_services_that_exist(name: str) -> None:
    assert set(SERVICES[name].get("depends_on", [])) <= SERVICES.keys() - {name}
    assert host_of(name) in SERVICES


@each_service
def test_each_configuration_file_that_is_named_is_mounted(name: str) -> None:
    targets = {target for _, target, _ in mounts(name)}
    for argument in SERVICES[name].get("command", []):
        flag, _, value = argument.partition("=")
        if flag == "--config.file" or flag.endswith(".path"):
            assert value in targets, argument


# The exporter


def started(environ: Mapping[str, str], tmp_path: Path) -> list[str]:
    """The arguments that the exporter gets, from the real shell and a command of its name that prints them."""
    fake = tmp_path / "exoscale-ai-exporter"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    service = SERVICES["exporter"]
    command = [interpolated(part, environ) for part in [*service["entrypoint"], *service["command"]]]
    inside = {name: interpolated(value, environ) for name, value in service["environment"].items()}
    path = f"{tmp_path}:{os.environ['PATH']}"
    ran = subprocess.run(command, env={**inside, "PATH": path}, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_without_credentials_it_is_the_demo(tmp_path: Path) -> None:
    arguments = started({}, tmp_path)
    assert cli.parser().parse_args(arguments).demo is True


def test_with_key_and_secret_it_is_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = dict(zip(CREDENTIALS, ("EXOexample", "example-secret"), strict=True))
    arguments = started(environ, tmp_path)
    assert cli.parser().parse_args(arguments).demo is False
    assert "example" not in " ".join(arguments), "a process's arguments can be seen by others"
    for name, value in SERVICES["exporter"]["environment"].items():
        monkeypatch.setenv(name, interpolated(value, environ))
    assert cli.main([*arguments, "--config.check"]) == 0


@pytest.mark.parametrize("name", CREDENTIALS)
def test_with_half_of_the_credentials_it_says_so_rather_than_show_the_demo(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = started({name: "x"}, tmp_path)
    monkeypatch.setenv(name, "x")
    assert cli.main([*arguments, "--config.check"]) == 2
    assert "missing, while there is" in capsys.readouterr().err


def test_the_exporters_port_is_its_own() -> None:
    port = int(cli.DEFAULT_ADDRESS.removeprefix(":"))
    flags = cli.parser().parse_args(SERVICES["exporter"]["command"])
    assert flags.listen_addresses == [cli.DEFAULT_ADDRESS]
    assert published()["exporter", port] == port
    assert f"http://localhost:{port}" in (FOLDER / "compose.yaml").read_text().partition("name:")[0]


def test_the_addresses_in_the_comment_are_those_that_are_published() -> None:
    comment = (FOLDER / "compose.yaml").read_text().partition("name:")[0].replace("\n#", "")
    shown = {int(port) for port in re.findall(r"http://localhost:(\d+)", comment)}
    assert shown == {3000, 9090, 9093, 10042}
    assert shown <= set(published().values())


# Prometheus

LISTENS = {10042: "exporter", 9115: "blackbox", 9090: "prometheus", 9093: "alertmanager", 3000: "grafana"}


def addresses(node: object) -> Iterator[str]:
    """Everything in the configuration that looks like `host:port`."""
    yield from re.findall(r"[\w.-]+:\d{4,5}\b", yaml.safe_dump(node))


def test_prometheus_asks_services_that_are_there_at_their_ports() -> None:
    found = set(addresses(PROMETHEUS))
    assert found == {"exporter:10042", "exporter:9115", "alertmanager:9093"}
    for address in found:
        host, _, port = address.partition(":")
        assert host == host_of(LISTENS[int(port)])


def test_prometheus_loads_the_rules_of_the_project() -> None:
    targets = {target: FOLDER / source for source, target, _ in mounts("prometheus") if source.startswith(".")}
    for name in PROMETHEUS["rule_files"]:
        assert targets[f"/etc/prometheus/{name}"].resolve() == ROOT / "prometheus" / name


def test_the_prober_has_the_module_that_prometheus_asks_for() -> None:
    ((source, _, _),) = mounts("blackbox")
    modules = yaml.safe_load((FOLDER / source).read_text())["modules"]
    asked = {job["params"]["module"][0] for job in PROMETHEUS["scrape_configs"] if "module" in job.get("params", {})}
    assert asked
    assert asked <= modules.keys()


def test_prometheus_does_as_in_the_example() -> None:
    """prometheus/prometheus-endpoints.yml, which is tried with real programs."""
    text = (ROOT / "prometheus" / "prometheus-endpoints.yml").read_text()
    # Blackbox is in the exporter's network.
    for there, here in (("9093", "alertmanager:9093"), ("10042", "exporter:10042"), ("9115", "exporter:9115")):
        text = text.replace(f"localhost:{there}", here)
    example = yaml.safe_load(text)
    assert {**example, "global": None} == {**PROMETHEUS, "global": None}


@pytest.mark.e2e
def test_prometheus_and_alertmanager_take_their_configurations(tmp_path: Path) -> None:
    for source, target, _ in mounts("prometheus"):
        if source.startswith("."):
            shutil.copy(FOLDER / source, tmp_path / Path(target).name)
    checks = [[program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]]
    for source, _, _ in mounts("alertmanager"):
        if source.startswith("."):
            checks.append([program("amtool"), "check-config", str(FOLDER / source)])
    assert len(checks) == 2
    for check in checks:
        checked = subprocess.run(check, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


# Grafana


def grafana_file(path: str) -> Path | None:
    """The project's file or folder that Grafana sees there."""
    for source, target, _ in mounts("grafana"):
        if source.startswith(".") and (path == target or path.startswith(f"{target}/")):
            return FOLDER / source / path.removeprefix(target).lstrip("/")
    return None


def provisioned(kind: str) -> list[dict[str, Any]]:
    folder = grafana_file(f"/etc/grafana/provisioning/{kind}")
    assert folder
    files = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    assert files, f"nothing of {kind} is provisioned"
    return [yaml.safe_load(path.read_text()) for path in files]


def test_grafanas_data_source_is_the_prometheus_that_is_there() -> None:
    sources = [source for file in provisioned("datasources") for source in file["datasources"]]
    urls = {urlsplit(source["url"]).netloc for source in sources if source["type"] == "prometheus"}
    assert urls == {"prometheus:9090"}


def test_grafana_finds_every_dashboard_of_the_project() -> None:
    dashboards = generate.dashboards()
    assert dashboards
    found = set()
    for provider in (provider for file in provisioned("dashboards") for provider in file["providers"]):
        folder = grafana_file(provider["options"]["path"])
        assert folder, provider
        found |= {path.resolve() for path in folder.rglob("*.json")}
    assert set(dashboards) <= found

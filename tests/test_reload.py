"""Reloading: atomically, with what was known, and never to something worse than before."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter import config
from exporter.daemon import Daemon
from exporter.errors import ConfigError
from exporter.instruments import Instruments
from exporter.simulator.server import Simulator
from exporter.systemd import Notify
from tests.harness import Answer, Log, credentials, eventually, running

LOADED = "exoscale_ai_exporter_config_last_reload_successful"


class Reloading:
    """A daemon and its files: `config.yml`, and the secrets in `key` and `secret`."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.simulator = simulator
        self.log = Log()
        self.instruments = Instruments("", "")
        self.secrets(simulator.key, simulator.secret)
        self.write("zones: [ch-gva-2]")
        self.daemon = Daemon(self.load, self.instruments, self.log.logger, Notify({}))

    def load(self) -> Any:
        return config.load(self.folder / "config.yml", {"EXOSCALE_API_ENDPOINT": self.simulator.endpoint})

    def secrets(self, key: str, secret: str) -> None:
        (self.folder / "key").write_text(key)
        (self.folder / "secret").write_text(secret)

    def write(self, *accounts: str, scrape: str = "") -> None:
        lines = [f"  - {{api_key_file: key, api_secret_file: secret, {account}}}\n" for account in accounts]
        (self.folder / "config.yml").write_text("accounts:\n" + "".join(lines) + scrape)

    def up(self) -> dict[str, bool]:
        """Which zones were listed, by account and zone, and whether they were up."""
        return {f"{v.account}/{v.zone}": v.inventory is not None for v in self.daemon.scrape(5.0)}

    def metric(self, name: str, **labels: str) -> float | None:
        families = list(self.instruments.families())
        return next((s.value for f in families for s in f.samples if s.name == name and labels == s.labels), None)


@pytest.fixture
def reloading(tmp_path: Path, simulator: Simulator) -> Iterator[Reloading]:
    reloading = Reloading(tmp_path, simulator)
    yield reloading
    reloading.daemon.close()


def test_new_accounts_and_zones_take_effect(reloading: Reloading) -> None:
    assert reloading.up() == {"default/ch-gva-2": True}
    reloading.write("name: a, zones: [de-fra-1]", "name: b, zones: [at-vie-2, ch-gva-2]")
    reloading.daemon.reload()
    assert reloading.up() == {"a/de-fra-1": True, "b/at-vie-2": True, "b/ch-gva-2": True}


@pytest.mark.parametrize("content", ["accounts: [{zonez: x}]", "accounts: [", "", "accounts: []"])
def test_a_bad_file_keeps_the_old_configuration(reloading: Reloading, content: str) -> None:
    (reloading.folder / "config.yml").write_text(content)
    with pytest.raises(ConfigError):
        reloading.daemon.reload()
    assert reloading.up() == {"default/ch-gva-2": True}
    assert reloading.metric(LOADED) == 0
    assert len(reloading.log.of("error")) == 1
    reloading.write("zones: [ch-gva-2]")
    reloading.daemon.reload()
    assert reloading.metric(LOADED) == 1


def test_a_rotated_key_needs_only_a_reload(reloading: Reloading) -> None:
    assert reloading.up() == {"default/ch-gva-2": True}
    reloading.simulator.secret = "rotated"  # noqa: S105
    assert reloading.up() == {"default/ch-gva-2": False}
    reloading.secrets(reloading.simulator.key, "rotated\n")
    reloading.daemon.reload()
    assert reloading.up() == {"default/ch-gva-2": True}


def test_counters_survive_a_reload(reloading: Reloading) -> None:
    labels = {"account": "default", "zone": "ch-gva-2", "operation": "list-deployments", "code": "200"}
    reloading.up()
    reloading.write("zones: [ch-gva-2, de-fra-1]", scrape="scrape: {retries: 0}\n")
    reloading.daemon.reload()
    reloading.up()
    assert reloading.metric("exoscale_ai_api_requests_total", **labels) == 2


def test_the_last_success_survives_a_reload(reloading: Reloading) -> None:
    (before,) = reloading.daemon.scrape(5.0)
    reloading.secrets("EXOwrong", "wrong")
    reloading.daemon.reload()
    (after,) = reloading.daemon.scrape(5.0)
    assert after.failure
    assert after.last_success == before.last_success


def test_connections_of_what_stays_the_same_survive_a_reload(reloading: Reloading) -> None:
    reloading.up()
    reloading.write("zones: [ch-gva-2]", "name: more, zones: [de-fra-1]")
    reloading.daemon.reload()
    reloading.up()
    assert reloading.simulator.connections == 2


def test_connections_of_what_is_gone_are_closed(reloading: Reloading) -> None:
    reloading.write("zones: [ch-gva-2, de-fra-1]")
    reloading.daemon.reload()
    reloading.up()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    reloading.write("name: other, zones: [ch-gva-2]")
    reloading.daemon.reload()
    eventually(lambda: len(os.listdir("/proc/self/fd")) < before)  # noqa: PTH208


def test_zones_that_were_discovered_are_still_known_after_a_reload(reloading: Reloading) -> None:
    reloading.write("name: all")
    reloading.daemon.reload()
    assert len(reloading.up()) == 3
    asked = [request for request in reloading.simulator.requests if request.endswith("/zone")]
    reloading.write("name: all", "name: more, zones: [de-fra-1]")
    reloading.daemon.reload()
    assert len(reloading.up()) == 4
    assert [request for request in reloading.simulator.requests if request.endswith("/zone")] == asked


def test_a_scrape_under_way_ends_with_the_configuration_it_began_with(reloading: Reloading) -> None:
    reloading.simulator.set_fault("ch-gva-2", "delay=0.5")
    seen: dict[str, bool] = {}
    scrape = threading.Thread(target=lambda: seen.update(reloading.up()))
    scrape.start()
    eventually(lambda: reloading.simulator.requests)
    reloading.write("name: other, zones: [de-fra-1]")
    reloading.daemon.reload()
    assert reloading.up() == {"other/de-fra-1": True}
    scrape.join()
    assert seen == {"default/ch-gva-2": True}


@pytest.mark.parametrize(
    ("account", "warned"),
    [
        ("zones: [ch-gva-2], endpoint: 'https://api.example/v2'", False),
        ("zones: [ch-gva-2, de-fra-1], endpoint: 'https://api.example/v2'", True),
        ("endpoint: 'https://api.example/v2'", True),
        ("endpoint: 'https://{zone}.example/v2'", False),
    ],
)
def test_an_endpoint_that_cannot_tell_zones_apart_is_warned_of(
    reloading: Reloading, account: str, warned: bool
) -> None:
    reloading.write(account)
    reloading.daemon.reload()
    assert bool(reloading.log.of("warning")) == warned


# As a process


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text("accounts: [{zones: [ch-gva-2]}]")
    return path


def zones(url: str) -> set[str]:
    answer = Answer(requests.get(url + "metrics", timeout=5).text)
    return {dict(series)["zone"] for series in answer.select("exoscale_ai_up")}


def test_sighup_reloads(simulator: Simulator, config_file: Path) -> None:
    with running(f"--config.file={config_file}", **credentials(simulator)) as (process, url, lines):
        assert zones(url) == {"ch-gva-2"}
        config_file.write_text("accounts: [{zones: [de-fra-1]}]")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: zones(url) == {"de-fra-1"})
        config_file.write_text("accounts: [{zonez: [de-fra-1]}]")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "accounts[0].zonez: unknown key" in lines[-1])
        assert zones(url) == {"de-fra-1"}
        assert process.poll() is None
        assert "Traceback" not in "".join(lines)


def test_post_reloads_where_it_is_allowed(simulator: Simulator, config_file: Path) -> None:
    arguments = (f"--config.file={config_file}", "--web.enable-lifecycle")
    with running(*arguments, **credentials(simulator)) as (_, url, _lines):
        config_file.write_text("accounts: [{zones: [de-fra-1]}]")
        for method in ("POST", "PUT"):
            assert requests.request(method, url + "-/reload", timeout=5).text == "The configuration was reloaded.\n"
        assert zones(url) == {"de-fra-1"}
        assert requests.get(url + "-/reload", timeout=5).status_code == 405
        config_file.write_text("accounts: [{zonez: [de-fra-1]}]")
        refused = requests.post(url + "-/reload", timeout=5)
        assert refused.status_code == 500
        assert "accounts[0].zonez: unknown key" in refused.text
        assert refused.text.count("\n") == 1
        assert Answer(requests.get(url + "metrics", timeout=5).text).value(LOADED) == 0


def test_post_is_403_where_it_is_not(simulator: Simulator, config_file: Path) -> None:
    with running(f"--config.file={config_file}", **credentials(simulator)) as (_, url, _lines):
        refused = requests.post(url + "-/reload", timeout=5)
    assert refused.status_code == 403
    assert "--web.enable-lifecycle" in refused.text


# systemd


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_told_of_start_reload_and_stop(simulator: Simulator, tmp_path: Path, abstract: bool) -> None:
    name = f"@exoscale-ai-exporter-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name[1:] if abstract else name)
        channel.settimeout(5)
        with running(NOTIFY_SOCKET=name, **credentials(simulator)) as (process, url, _lines):
            assert channel.recv(4096) == b"READY=1"
            assert requests.get(url + "-/ready", timeout=5).status_code == 200
            process.send_signal(signal.SIGHUP)
            reloading = channel.recv(4096).decode().splitlines()
            assert reloading[0] == "RELOADING=1"
            assert reloading[1].startswith("MONOTONIC_USEC=")
            assert channel.recv(4096) == b"READY=1"
            process.terminate()
            assert channel.recv(4096) == b"STOPPING=1"
            assert process.wait(5) == 0


@pytest.mark.parametrize("name", ["", "/nowhere/notify", "@nobody-listens-here"])
def test_without_systemd_nothing_is_told_and_nothing_fails(name: str) -> None:
    Notify({"NOTIFY_SOCKET": name}).ready()

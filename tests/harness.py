"""A whole exporter inside the test's process, and the programs that it meets in production."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import requests
import structlog
from prometheus_client.parser import text_string_to_metric_families

from exporter import config, server
from exporter.config import Config
from exporter.guard import Guard, LiveTLS, LiveWebConfig
from exporter.instruments import Instruments
from exporter.scrape import Scraper
from exporter.simulator.server import Simulator
from exporter.web import Web

Labels = dict[str, str]


def sample_values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of an exposition by name and labels. Fails where a series is given twice."""
    values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = sample.name, frozenset(sample.labels.items())
            assert series not in values, f"given twice: {series}"
            values[series] = sample.value
    return values


class Answer:
    """An exposition that asks to be looked at by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._values = sample_values(text)

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the one series with exactly these labels."""
        return self._values.get((name, frozenset(labels.items())))

    def select(self, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
        """All series of the name that have at least these labels."""
        return {
            series: value
            for (found, series), value in self._values.items()
            if found == name and labels.items() <= set(series)
        }

    def total(self, name: str, **labels: str) -> float:
        return sum(self.select(name, **labels).values())

    def about(self, **labels: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All series with at least these labels."""
        return {key: value for key, value in self._values.items() if labels.items() <= set(key[1])}


class Log:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self._capture = structlog.testing.LogCapture()
        self.logger = structlog.wrap_logger(
            None, processors=[self._capture], wrapper_class=structlog.make_filtering_bound_logger("debug")
        )

    @property
    def entries(self) -> list[Any]:
        return list(self._capture.entries)

    def of(self, level: str) -> list[Any]:
        return [entry for entry in self.entries if entry["log_level"] == level]


def configuration(yaml: str, simulator: Simulator | None = None, **environ: str) -> Config:
    """A configuration whose credentials and endpoint are the simulator's, where one is given."""
    if simulator:
        environ = {
            "EXOSCALE_API_KEY": simulator.key,
            "EXOSCALE_API_SECRET": simulator.secret,
            "EXOSCALE_API_ENDPOINT": simulator.endpoint,
            **environ,
        }
    return config.parse(yaml, environ, Path(), "test.yml")


class Exporter:
    """The exporter of a configuration, serving on a port of its own while it is open."""

    def __init__(
        self,
        current: Config,
        web_config: Path | None = None,
        now: Callable[[], float] = time.time,
        **web: Any,
    ) -> None:
        self.log = Log()
        self.instruments = Instruments("1.2.3", "abcdef")
        self.instruments.config_loaded(now())
        self.scraper = Scraper(current, self.instruments, self.log.logger, now=now)
        self.web = Web(
            scrape=self.scraper,
            zones=self.scraper.zones,
            glance=self.scraper.glance,
            instruments=self.instruments.families,
            log=self.log.logger,
            version="1.2.3",
            now=now,
            **web,
        )
        live = LiveWebConfig(web_config, self.log.logger) if web_config else None
        tls = LiveTLS.of(live) if live and live.now.tls else None
        self._server = server.Server(Guard(self.web.app, live) if live else self.web.app, grace=4, tls=tls)
        self._sockets = server.listen(["127.0.0.1:0"])
        self.address = self._sockets[0].getsockname()
        self.url = server.url(self._sockets[0], "https" if tls else "http").rstrip("/")
        self._thread = threading.Thread(target=lambda: server.run(self._server.serve(self._sockets)))
        self.session = requests.Session()
        self.session.trust_env = False

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self._server.should_exit = True
        self._thread.join()
        self.scraper.close()

    def connect(self) -> socket.socket:
        """A connection on which nothing was said yet."""
        connection = socket.create_connection(self.address)
        connection.settimeout(30)
        return connection

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.url + path, **options)

    def scrape(self, timeout: float | None = None) -> Answer:
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(timeout)} if timeout else {}
        response = self.get("/metrics", headers=headers)
        assert response.status_code == 200
        return Answer(response.text)


def eventually(condition: Callable[[], Any], within: float = 10.0) -> Any:
    """Waits until the condition is true, and returns what it gave. For what happens in real time only."""
    deadline = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return result


def program(name: str) -> str:
    """The path of a program that an end-to-end test needs: without it the test is skipped, or fails in CI."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed (Debian has it)"
        if os.environ.get("REQUIRE_E2E"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextlib.contextmanager
def open_files_and_threads_return_to_where_they_were(slack: int = 0) -> Iterator[None]:
    def count() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    files, threads = count()
    yield
    eventually(lambda: count()[0] <= files + slack and count()[1] <= threads + slack)


@contextlib.contextmanager
def running(*arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The exporter in a process of its own: the process, its URL and the lines of its log so far."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "--web.listen-address", "127.0.0.1:0", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environ},
    )
    assert process.stderr
    lines: list[str] = []
    reader = threading.Thread(target=lambda stream: lines.extend(iter(stream.readline, "")), args=(process.stderr,))
    reader.start()
    try:
        url = eventually(
            lambda: next((u[0] for line in lines if (u := re.findall(r"https?://[\d.]+:\d+/", line))), None)
        )
        yield process, url, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def credentials(simulator: Simulator) -> dict[str, str]:
    return {
        "EXOSCALE_API_KEY": simulator.key,
        "EXOSCALE_API_SECRET": simulator.secret,
        "EXOSCALE_API_ENDPOINT": simulator.endpoint,
        "EXOSCALE_ZONE": "ch-gva-2",
    }

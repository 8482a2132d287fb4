"""Wiring: flags and environment → a running exporter."""

import argparse
import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from structlog.typing import FilteringBoundLogger

from exporter import __version__, config, exposition, logs, metrics, server
from exporter.config import Config
from exporter.errors import ConfigError
from exporter.instruments import Instruments
from exporter.scrape import Scraper
from exporter.simulator.faults import FAULTS
from exporter.simulator.server import Simulator
from exporter.web import Web

GRACE_SECONDS = 4
"""What scrapes under way have to end in after a SIGTERM, so that the process ends within five seconds."""


def run(flags: argparse.Namespace, environ: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    """Does what the flags say and returns the exit status. Raises `ExporterError`."""
    with contextlib.ExitStack() as stack:
        if flags.demo:
            if flags.config_file:
                raise ConfigError("--demo", "has a configuration of its own, leave out --config.file")
            simulator = stack.enter_context(Simulator())
            _set_faults(simulator, flags.demo_faults)
            current = demo_config(simulator)
        elif flags.demo_faults:
            raise ConfigError("--demo.fault", "is of use with --demo only")
        else:
            current = config.load(flags.config_file, environ)
        if flags.config_check:
            print("The configuration is valid.", file=stdout)
            return 0
        log = logs.configure(flags.log_level, flags.log_format, stderr)
        instruments = Instruments(__version__, environ.get("EXPORTER_REVISION", ""))
        instruments.config_loaded(time.time())
        scraper = Scraper(current, instruments, log)
        stack.callback(scraper.close)
        if flags.demo:
            log.info("simulating the API", address=simulator.url, faults=f"{simulator.url}/faults")
        if flags.once:
            return _once(scraper, instruments, stdout)
        sockets = server.listen(flags.listen_addresses)
        return _serve(flags, current, scraper, instruments, sockets, log)


def _set_faults(simulator: Simulator, faults: Sequence[str]) -> None:
    for choice in faults:
        zone, _, name = choice.partition("=")
        try:
            simulator.set_fault(zone, name)
        except KeyError as unknown:
            raise ConfigError(
                "--demo.fault",
                f"{choice!r}: there is no {unknown}; zones are {', '.join(simulator.zones)}, "
                f"faults are {', '.join(sorted(FAULTS))}",
            ) from None


def demo_config(simulator: Simulator) -> Config:
    """A configuration for the simulator, zones to be discovered."""
    environ = {
        "EXOSCALE_API_KEY": simulator.key,
        "EXOSCALE_API_SECRET": simulator.secret,
        "EXOSCALE_API_ENDPOINT": simulator.endpoint,
    }
    return config.parse("accounts: [{name: demo}]", environ, Path(), "--demo")


def _once(scraper: Scraper, instruments: Instruments, stdout: TextIO) -> int:
    visits = scraper()
    families = (*metrics.families(visits), *instruments.families())
    stdout.write(exposition.encode(families).body.decode())
    return 0 if all(visit.inventory for visit in visits) else 1


def _serve(
    flags: argparse.Namespace,
    current: Config,
    scraper: Scraper,
    instruments: Instruments,
    sockets: list[socket.socket],
    log: FilteringBoundLogger,
) -> int:
    web = Web(
        scrape=scraper,
        glance=scraper.glance,
        instruments=instruments.families,
        version=__version__,
        telemetry_path=flags.telemetry_path,
        max_requests=flags.max_requests,
    )
    running = server.Server(web.app, grace=GRACE_SECONDS)
    urls = [server.url(listening) for listening in sockets]
    log.info("started", version=__version__, address=",".join(urls), **_summary(current))
    asyncio.run(_until_stopped(running, sockets, scraper, log))
    log.info("stopped")
    return 0


def _summary(current: Config) -> dict[str, str]:
    """Accounts and their zones, for the log."""
    return {
        "accounts": ",".join(account.name for account in current.accounts),
        "zones": " ".join(
            f"{account.name}={','.join(account.zones) if account.zones else 'all'}" for account in current.accounts
        ),
    }


async def _until_stopped(
    running: server.Server, sockets: list[socket.socket], scraper: Scraper, log: FilteringBoundLogger
) -> None:
    def stop(name: str) -> None:
        log.info("stopping", signal=name)
        running.should_exit = True
        # Answers with what there is by then, rather than none, where the API is slower than that.
        scraper.end_within(GRACE_SECONDS - 1)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
    await running.serve(sockets)

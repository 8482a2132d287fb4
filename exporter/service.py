"""Wiring: flags and environment → what the command does."""

import argparse
import contextlib
import ctypes
import gc
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from exporter import __version__, config, exposition, logs, server
from exporter.config import Config
from exporter.daemon import Daemon
from exporter.errors import ConfigError
from exporter.guard import LiveWebConfig
from exporter.instruments import Instruments
from exporter.simulator.faults import FAULTS
from exporter.simulator.server import Simulator
from exporter.systemd import Notify

_M_ARENA_MAX = -8
"""Of glibc's <malloc.h>."""


def run(flags: argparse.Namespace, environ: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    """Does what the flags say and returns the exit status. Raises `ExporterError`."""
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(_simulator(flags)) if flags.demo else None
        log = logs.configure(flags.log_level, flags.log_format, stderr)

        def load() -> Config:
            return demo_config(simulator) if simulator else config.load(flags.config_file, environ)

        live = LiveWebConfig(flags.web_config_file, log) if flags.web_config_file else None
        instruments = Instruments(__version__, environ.get("EXPORTER_REVISION", ""))
        daemon = Daemon(load, instruments, log, Notify(environ))
        stack.callback(daemon.close)
        if flags.config_check:
            stdout.write("The configuration is valid.\n")
            return 0
        if simulator:
            log.info("simulating the API", address=simulator.url, faults=f"{simulator.url}/faults")
        if flags.once:
            return _once(daemon, instruments, stdout)
        server.allow_many_connections()
        _give_way_to_others()
        _give_memory_back()
        daemon.serve(
            server.listen(flags.listen_addresses),
            live,
            telemetry_path=flags.telemetry_path,
            max_requests=flags.max_requests,
            enable_lifecycle=flags.enable_lifecycle,
        )
        return 0


def _give_way_to_others() -> None:
    """Big scrapes do not hold up small answers, such as that of `/-/healthy`.

    A thread that computes leaves the others their turn after this many seconds; an answer takes several turns. What is
    there before the first scrape stays, and what a scrape finds goes without the garbage collector, which would hold
    up everybody while it looks through all of it: 100 ms for 100,000 deployments.
    """
    sys.setswitchinterval(0.001)
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1000)


def _give_memory_back() -> None:
    """What a scrape needed is free again after it, whichever thread asked for it.

    The GNU C library keeps a heap for each thread that allocates while another does, and seldom gives any of it back:
    10 MB more after 2,000 scrapes. Python's threads take turns anyhow, so one heap is enough. Other C libraries have
    no such setting.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


@contextlib.contextmanager
def _simulator(flags: argparse.Namespace) -> Iterator[Simulator]:
    if flags.config_file:
        raise ConfigError("--demo", "has a configuration of its own, leave out --config.file")
    with Simulator() as simulator:
        _set_faults(simulator, flags.demo_faults)
        yield simulator


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


def _once(daemon: Daemon, instruments: Instruments, stdout: TextIO) -> int:
    visits = daemon.scrape(math.inf)
    stdout.write(exposition.encode(visits, instruments.families()).body.decode())
    return 0 if all(visit.inventory for visit in visits) else 1

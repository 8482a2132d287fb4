"""The exporter as a process that stays: serves, reloads its configuration, stops well."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from exporter import __version__, server
from exporter.config import Config
from exporter.errors import ConfigError
from exporter.guard import Guard, LiveTLS, LiveWebConfig
from exporter.instruments import Instruments
from exporter.scrape import Scraper
from exporter.systemd import Notify
from exporter.visit import Visit
from exporter.web import Web

GRACE_SECONDS = 4
"""What scrapes under way have to end in after a SIGTERM, so that the process ends within five seconds."""


class Daemon:
    """Scrapes with the newest good configuration. Safe to use from several threads."""

    def __init__(
        self,
        load: Callable[[], Config],
        instruments: Instruments,
        log: FilteringBoundLogger,
        notify: Notify,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`load` reads the configuration, now and for each reload. Raises `ConfigError`."""
        self._load = load
        self._instruments = instruments
        self._log = log
        self._notify = notify
        self._now = now
        self._reloading = threading.Lock()
        self.config = load()
        self._scraper = Scraper(self.config, instruments, log)
        self._loaded()

    def scrape(self, timeout: float, account: str | None = None, zone: str | None = None) -> Sequence[Visit]:
        return self._scraper(timeout, account, zone)

    def zones(self) -> Sequence[tuple[str, str]]:
        return self._scraper.zones()

    def glance(self) -> Sequence[Visit]:
        return self._scraper.glance()

    def close(self) -> None:
        self._scraper.close()

    def reload(self) -> None:
        """Loads the configuration and the secrets anew. Raises `ConfigError`, and then goes on with the old one.

        Scrapes under way end with the configuration they began with.
        """
        with self._reloading:
            self._notify.reloading()
            try:
                self.config = self._load()
            except ConfigError as error:
                self._instruments.config_refused()
                self._log.error("configuration refused, the one before it stays", error=str(error))
                raise
            else:
                self._scraper = self._scraper.reconfigured(self.config)
                self._loaded()
                self._log.info("configuration reloaded", **self.summary())
            finally:
                self._notify.ready()

    def _loaded(self) -> None:
        self._instruments.config_loaded(self._now())
        for account in self.config.accounts:
            if "{zone}" not in account.endpoint and (account.zones is None or len(account.zones) > 1):
                self._log.warning(
                    "the endpoint has no {zone}: every zone will show the same deployments, name the one it serves",
                    account=account.name,
                )

    def summary(self) -> dict[str, str]:
        """Accounts and their zones, for the log."""
        return {
            "accounts": ",".join(account.name for account in self.config.accounts),
            "zones": " ".join(
                f"{account.name}={','.join(account.zones) if account.zones else 'all'}"
                for account in self.config.accounts
            ),
        }

    def serve(
        self,
        sockets: list[socket.socket],
        live: LiveWebConfig | None,
        *,
        telemetry_path: str,
        max_requests: int,
        enable_lifecycle: bool,
    ) -> None:
        """Serves until SIGTERM or SIGINT; SIGHUP reloads. `live` is the web configuration, where there is one."""
        web = Web(
            scrape=self.scrape,
            zones=self.zones,
            glance=self.glance,
            deployments_on_metrics=lambda: self.config.scrape.deployments_on_metrics,
            instruments=self._instruments.families,
            reload=self.reload if enable_lifecycle else None,
            log=self._log,
            version=__version__,
            telemetry_path=telemetry_path,
            max_requests=max_requests,
        )
        tls = LiveTLS.of(live) if live and live.now.tls else None
        running = server.Server(Guard(web.app, live) if live else web.app, grace=GRACE_SECONDS, tls=tls)
        urls = [server.url(listening, "https" if tls else "http") for listening in sockets]
        self._log.info("started", version=__version__, address=",".join(urls), **self.summary())
        server.run(self._until_stopped(running, sockets))
        self._log.info("stopped")

    async def _until_stopped(self, running: server.Server, sockets: list[socket.socket]) -> None:
        def stop(name: str) -> None:
            self._log.info("stopping", signal=name)
            self._notify.stopping()
            running.should_exit = True
            # Better to answer with what there is by then than not at all, where the API is slower than that.
            self._scraper.end_within(GRACE_SECONDS - 1)

        def reload() -> None:
            # In a thread, because files can be slow. What is wrong with them is logged.
            loop.run_in_executor(None, self.reload).add_done_callback(lambda reloaded: reloaded.exception())

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, reload)
        # The sockets listen already: whoever connects from now on gets an answer.
        self._notify.ready()
        await running.serve(sockets)

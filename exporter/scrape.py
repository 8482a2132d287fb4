"""All zones of all accounts at once, and an end to waiting for them."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from exporter.client import Client
from exporter.config import Account, Config
from exporter.errors import UnknownTarget
from exporter.instruments import Instruments
from exporter.target import Target
from exporter.visit import Visit
from exporter.zones import Zones

Key = tuple[str, str]
"""The names of an account and a zone."""

DISCOVERY_SHARE = 0.4
"""Of the time of the first scrape, which needs the names of the zones before it can list them."""


class Scraper:
    """Visits every zone of a configuration at each call. Safe to call from several threads at once."""

    def __init__(
        self,
        config: Config,
        instruments: Instruments,
        log: FilteringBoundLogger,
        *,
        targets: Mapping[Key, Target] = MappingProxyType({}),
        discovered: Mapping[str, Zones] = MappingProxyType({}),
        last_success: Mapping[Key, float | None] = MappingProxyType({}),
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`targets`, `discovered` (by account) and `last_success` (Unix time) are what is known from before."""
        self._config = config
        self._instruments = instruments
        self._log = log
        self._now = now
        self._monotonic = monotonic
        self._end = math.inf
        self._lock = threading.Lock()
        self._targets = dict(targets)
        self._last_success = last_success
        self._discovered = {
            account.name: discovered.get(account.name)
            or Zones(self._zone_lister(account), log.bind(account=account.name), monotonic=monotonic)
            for account in config.accounts
            if account.zones is None
        }
        for account in config.accounts:
            for zone in account.zones or ():
                self._target(account, zone)

    def reconfigured(self, config: Config) -> "Scraper":
        """A scraper for another configuration, which takes over what is the same in both, connections included."""
        same = [account for account in config.accounts if account in self._config.accounts]
        keep = config.scrape == self._config.scrape
        targets = {key: target for key, target in self._targets.items() if keep and target.account in same}
        following = Scraper(
            config,
            self._instruments,
            self._log,
            targets=targets,
            discovered={a.name: self._discovered[a.name] for a in same if keep and a.zones is None},
            last_success={key: target.last_success for key, target in self._targets.items()},
            now=self._now,
            monotonic=self._monotonic,
        )
        for key, target in self._targets.items():
            if key not in targets:
                target.retire()
        return following

    def __call__(
        self, timeout: float = math.inf, account: str | None = None, zone: str | None = None
    ) -> tuple[Visit, ...]:
        """One visit of every zone, or of those of the account and of that name, where one is given.

        It takes `timeout` seconds at most, or those of the configuration, if less. Raises `UnknownTarget`.
        """
        started = self._monotonic()
        deadline = min(started + min(self._config.scrape.timeout, timeout), self._end)
        targets = self._select(self._current_targets(started, deadline), account, zone)
        listings = [target.listing(deadline) for target in targets]
        wait(listings, max(0.0, deadline - self._monotonic()))
        why = f"no complete answer in {deadline - started:.1f} s"
        return tuple(
            listing.result() if listing.done() else target.give_up(listing, deadline, why)
            for target, listing in zip(targets, listings, strict=True)
        )

    def glance(self, patience: float = 1.0, fresh: float = 10.0) -> tuple[Visit, ...]:
        """The newest visits, for someone who looks: new ones where they are older than `fresh` seconds and can be had
        within `patience` seconds, else those there are. A zone that was never visited is missing."""
        started = self._monotonic()
        targets = self._current_targets(started, started + patience)
        oldest = self._now() - fresh
        stale = [target for target in targets if target.latest is None or target.latest.at < oldest]
        deadline = started + self._config.scrape.timeout
        wait([target.listing(deadline) for target in stale], max(0.0, started + patience - self._monotonic()))
        return tuple(target.latest for target in targets if target.latest)

    def zones(self) -> list[Key]:
        """All accounts and zones there are to visit."""
        started = self._monotonic()
        targets = self._current_targets(started, started + self._config.scrape.timeout)
        return [(target.account.name, target.zone) for target in targets]

    def end_within(self, seconds: float) -> None:
        """Ends all listings after `seconds`, because the exporter is about to stop: better a timeout than no answer."""
        self._end = self._monotonic() + seconds
        timer = threading.Timer(seconds, self._end_listings)
        timer.daemon = True
        timer.start()

    def _end_listings(self) -> None:
        for target in list(self._targets.values()):
            target.end()

    def close(self) -> None:
        for target in list(self._targets.values()):
            target.close()

    def _current_targets(self, started: float, deadline: float) -> list[Target]:
        for zones in self._discovered.values():
            # It may go on when this scrape has ended, however little time that one had.
            zones.refresh(started + self._config.scrape.timeout)
        discovery_deadline = started + (deadline - started) * DISCOVERY_SHARE
        return [
            self._target(account, zone)
            for account in self._config.accounts
            for zone in account.zones or self._discovered[account.name].names(discovery_deadline)
        ]

    @staticmethod
    def _select(targets: list[Target], account: str | None, zone: str | None) -> list[Target]:
        selected = [target for target in targets if account in (None, target.account.name)]
        if not selected:
            raise UnknownTarget(f"There is no account {account!r}")
        selected = [target for target in selected if zone in (None, target.zone)]
        if not selected:
            raise UnknownTarget(f"There is no zone {zone!r}" + (f" in account {account!r}" if account else ""))
        return selected

    def _target(self, account: Account, zone: str) -> Target:
        with self._lock:
            target = self._targets.get((account.name, zone))
            if target is None:
                target = self._targets[account.name, zone] = Target(
                    account,
                    zone,
                    self._client(account, zone, signed=True),
                    self._config.scrape.cache,
                    self._instruments,
                    self._log,
                    last_success=self._last_success.get((account.name, zone)),
                    now=self._now,
                    monotonic=self._monotonic,
                )
            return target

    def _zone_lister(self, account: Account) -> Callable[[str], Client]:
        return lambda zone: self._client(account, zone, signed=False)

    def _client(self, account: Account, zone: str, *, signed: bool) -> Client:
        def observe(operation: str, statuses: tuple[int, ...], seconds: float) -> None:
            self._instruments.requested(account.name, zone, operation, statuses, seconds)

        return Client(account, zone, self._config.scrape, observe, signed=signed)

"""Which zones to list an account in, where its configuration names none: the API is asked, unsigned."""

import threading
import time
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from exporter.client import Client
from exporter.config import ZONE_NAME
from exporter.errors import Failure, Reason
from exporter.inventory import parse_zones

KNOWN_ZONES = ("at-vie-1", "at-vie-2", "bg-sof-1", "ch-dk-2", "ch-gva-2", "de-fra-1", "de-muc-1", "hr-zag-1")
"""The zones at the time of release: used until the API has named them for the first time."""

REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 60.0
ATTEMPTS = 3
"""Each zone's host knows all zones, and any of them may be the one that is down."""


class Zones:
    """The zones of one account, asked for in a thread of its own; the last known ones survive a failure."""

    def __init__(
        self,
        client: Callable[[str], Client],
        log: FilteringBoundLogger,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client` gives an unsigned client for a zone's host."""
        self._client = client
        self._log = log
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: tuple[str, ...] | None = None
        self._due = monotonic()
        self._asking: threading.Thread | None = None

    def refresh(self, deadline: float) -> None:
        """Has the API asked, where that is due, without waiting for it."""
        with self._lock:
            if self._monotonic() < self._due or (self._asking and self._asking.is_alive()):
                return
            self._asking = threading.Thread(target=self._ask, args=(deadline,), daemon=True)
            self._asking.start()

    def names(self, deadline: float) -> tuple[str, ...]:
        """The last known names; where there are none yet, waits for them until `deadline` at most."""
        if self._known is None and self._asking is not None:
            self._asking.join(max(0.0, deadline - self._monotonic()))
        with self._lock:
            if self._known is None:
                self._log.warning("zones unknown, using those known at release", zones=",".join(KNOWN_ZONES))
                self._known = KNOWN_ZONES
            return self._known

    def _ask(self, deadline: float) -> None:
        failure = Failure(Reason.TIMEOUT, "no time was left to ask the API")
        for attempt, zone in enumerate(self._hosts()):
            now = self._monotonic()
            try:
                self._learn(self._names_from(zone, now + (deadline - now) / (ATTEMPTS - attempt)))
                return
            except Failure as error:
                failure = error
        with self._lock:
            self._due = self._monotonic() + RETRY_SECONDS
        self._log.warning("listing of the zones failed", reason=str(failure.reason), error=failure.message)

    def _hosts(self) -> tuple[str, ...]:
        return (self._known or KNOWN_ZONES)[:ATTEMPTS]

    def _names_from(self, zone: str, deadline: float) -> tuple[str, ...]:
        client = self._client(zone)
        try:
            names = parse_zones(client.get("/zone", "list-zones", deadline).body)
        finally:
            client.close()
        # A name becomes part of a host that gets signed requests, and this answer is not signed.
        usable = tuple(name for name in names if ZONE_NAME.fullmatch(name))
        if not usable:
            raise Failure(Reason.INVALID_RESPONSE, "the API answered a list without zones")
        return usable

    def _learn(self, names: tuple[str, ...]) -> None:
        with self._lock:
            if names != self._known:
                self._log.info("zones", zones=",".join(names))
            self._known = names
            self._due = self._monotonic() + REFRESH_SECONDS

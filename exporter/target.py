"""One zone of one account: its listing, shared by all who ask for it at the same time."""

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from structlog.typing import FilteringBoundLogger

from exporter.client import Client
from exporter.config import Account
from exporter.errors import Failure, Reason
from exporter.instruments import Instruments
from exporter.inventory import Inventory, parse_deployments
from exporter.visit import Visit


class Listing(Future[Visit]):
    """A listing under way, which ends at `deadline` (of `time.monotonic`) at the latest."""

    def __init__(self, started: float, deadline: float) -> None:
        super().__init__()
        self.started = started
        self.deadline = deadline


class Target:
    """Lists a zone in a thread per listing, and remembers what the next one needs to know."""

    def __init__(
        self,
        account: Account,
        zone: str,
        client: Client,
        cache: float,
        instruments: Instruments,
        log: FilteringBoundLogger,
        *,
        last_success: float | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cache` is the age in seconds up to which a listing is used again, 0 for never; `last_success` is in Unix
        time, where it is known from before."""
        self.account = account
        self.zone = zone
        self._client = client
        self._cache = cache
        self._instruments = instruments
        self._log = log.bind(account=account.name, zone=zone)
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._listing: Listing | None = None
        self._cached: tuple[float, Visit] | None = None
        self.last_success = last_success
        self._known = b"", Inventory(())
        self._not_before = 0.0
        self.latest: Visit | None = None
        self._reported: Reason | None = None
        self._reported_invalid: tuple[str, ...] = ()
        instruments.expect(account.name, zone)

    def listing(self, deadline: float) -> Listing:
        """The listing under way, a new one, or one that is done already where the cache has it."""
        with self._lock:
            started = self._monotonic()
            if self._cached and started - self._cached[0] <= self._cache:
                cached = Listing(started, deadline)
                cached.set_result(replace(self._cached[1], cache_age=started - self._cached[0]))
                return cached
            if self._listing is None or self._listing.done():
                self._listing = Listing(started, deadline)
                threading.Thread(target=self._run, args=(self._listing,), daemon=True).start()
            return self._listing

    def give_up(self, listing: Listing, deadline: float, why: str) -> Visit:
        """The visit of someone who cannot wait longer than `deadline`: a timeout, unless it is done after all."""
        failure = Failure(Reason.TIMEOUT, why)
        if deadline >= listing.deadline:
            self._finish(listing, failure)
            return listing.result()
        with self._lock:
            self._instruments.failed(self.account.name, self.zone, failure.reason)
            return self._visit(listing, failure)

    def end(self) -> None:
        """Ends the listing under way at once, if there is one."""
        listing = self._listing
        if listing:
            self._finish(listing, Failure(Reason.TIMEOUT, "the exporter is stopping"))

    def retire(self) -> None:
        """Closes the connection once the listing under way, if there is one, has ended."""
        with self._lock:
            listing = self._listing
        if listing:
            listing.add_done_callback(lambda _: self.close())
        else:
            self.close()

    def close(self) -> None:
        self._client.close()

    def _run(self, listing: Listing) -> None:
        known = list(self._known[1].deployments)
        try:
            self._finish(listing, *self._list(listing.deadline))
        except Exception as error:
            self._log.exception("a bug of the exporter, please report it")
            self._finish(listing, Failure(Reason.INVALID_RESPONSE, f"unexpected {type(error).__name__}, see the log"))
        while known:  # one by one, for where they were replaced: to free many at once would hold up all threads
            known.pop()

    def _list(self, deadline: float) -> tuple[Inventory | Failure, float | None]:
        """What came of it, and the clock skew in seconds."""
        wait = self._not_before - self._monotonic()
        if wait > 0:
            return Failure(Reason.RATE_LIMITED, f"the API asked to wait, {wait:.0f} s are left"), None
        visibility = self.account.visibility
        params: dict[str, str] | None = {"visibility": visibility} if visibility == "public" else None
        try:
            reply = self._client.get("/ai/deployment", "list-deployments", deadline, params)
        except Failure as failure:
            return failure.as_value(), failure.clock_skew
        try:
            return self._parse(reply.body), reply.clock_skew
        except Failure as failure:
            return failure.as_value(), reply.clock_skew

    def _parse(self, body: bytes) -> Inventory:
        """Most answers are the same as the one before, and need not be read again."""
        known, inventory = self._known
        digest = hashlib.sha256(body).digest()
        if digest != known:
            inventory = parse_deployments(body, self.account.visibility)
            self._known = digest, inventory
        return inventory

    def _finish(self, listing: Listing, outcome: Inventory | Failure, clock_skew: float | None = None) -> None:
        """The first outcome of a listing counts: when time is up, its thread may still come with another."""
        with self._lock:
            if listing.done():
                return
            if isinstance(outcome, Failure):
                self._instruments.failed(self.account.name, self.zone, outcome.reason)
                if outcome.reason is Reason.RATE_LIMITED and outcome.retry_after:
                    self._not_before = self._monotonic() + outcome.retry_after
            visit = self._visit(listing, outcome, clock_skew)
            self.last_success = visit.last_success
            if visit.inventory and self._cache:
                self._cached = self._monotonic(), visit
            self._report(visit)
            self.latest = visit
            listing.set_result(visit)

    def _visit(self, listing: Listing, outcome: Inventory | Failure, clock_skew: float | None = None) -> Visit:
        succeeded = isinstance(outcome, Inventory)
        now = self._now()
        return Visit(
            account=self.account.name,
            zone=self.zone,
            at=now,
            seconds=self._monotonic() - listing.started,
            outcome=outcome,
            clock_skew=clock_skew,
            last_success=now if succeeded else self.last_success,
            cache_age=0.0 if self._cache and succeeded else None,
        )

    def _report(self, visit: Visit) -> None:
        """Says what changed: a failure that goes on is worth one line, not one a scrape."""
        if visit.failure:
            say = self._log.debug if visit.failure.reason is self._reported else self._log.warning
            say("listing failed", reason=str(visit.failure.reason), error=visit.failure.message)
            self._reported = visit.failure.reason
            return
        if self._reported:
            self._log.info("listing works again")
            self._reported = None
        invalid = visit.inventory.invalid if visit.inventory else ()
        if invalid and invalid != self._reported_invalid:
            self._log.warning("entries left out", count=len(invalid), first=invalid[0])
        self._reported_invalid = invalid

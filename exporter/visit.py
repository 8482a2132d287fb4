"""What came of listing one account's zone once. Every output of the exporter is a function of visits."""

from dataclasses import dataclass

from exporter.errors import Failure
from exporter.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Visit:
    """One listing of one zone, which ended at `at` in Unix time.

    `seconds` is how long it took. `clock_skew` is local time less the API's, in seconds, None where the API sent no
    date. `last_success` is Unix time, None before the first. `cache_age` is in seconds, None where caching is off.
    """

    account: str
    zone: str
    at: float
    seconds: float
    outcome: Inventory | Failure
    clock_skew: float | None = None
    last_success: float | None = None
    cache_age: float | None = None

    @property
    def inventory(self) -> Inventory | None:
        return self.outcome if isinstance(self.outcome, Inventory) else None

    @property
    def failure(self) -> Failure | None:
        return self.outcome if isinstance(self.outcome, Failure) else None

"""What can go wrong, as values with a sentence for a person.

ExporterError
├── ConfigError   the configuration; names the place in it
├── ListenError   an address that cannot be listened on
├── UnknownTarget an account or a zone that is asked for and not configured
└── Failure       a request to the Exoscale API; one of the reasons of `exoscale_ai_scrape_errors_total`
"""

from enum import StrEnum


class ExporterError(Exception):
    """Base of every error that a user may see: `str()` is one sentence without a secret."""


class ConfigError(ExporterError):
    """The configuration is wrong at `place`, for example `accounts[0].zones`."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class ListenError(ExporterError):
    """An address given with `--web.listen-address` cannot be listened on."""


class UnknownTarget(ExporterError):  # noqa: N818 - what it is, rather than that it is one
    """An account or a zone that somebody asked for is not in the configuration."""


class Reason(StrEnum):
    """Label `reason` of `exoscale_ai_scrape_errors_total`."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    AUTH = "auth"
    RATE_LIMITED = "rate_limited"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    INVALID_RESPONSE = "invalid_response"


class Failure(ExporterError):  # noqa: N818 - a value first: visits hold it
    """A request to the API did not give what was asked for.

    `retry_after` is the seconds after which the API allows the next request, where it said so (RFC 9110,
    `Retry-After`), and `clock_skew` the local clock less the API's in seconds, where there was an answer with a date.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retry_after: float | None = None,
        clock_skew: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
        self.clock_skew = clock_skew

    def as_value(self) -> "Failure":
        """Itself, to be kept: without the frames that it was raised through, which hold the answer it is about."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    @property
    def message(self) -> str:
        return str(self)

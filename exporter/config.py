"""Configuration: YAML text and environment → a frozen `Config`, or a `ConfigError` naming the place.

`exporter.configfile` has the file as people write it; `Config`, `Account` and `Scrape` are what the rest of the
program gets: defaults filled in, secrets read, everything checked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from exporter import configfile, secret
from exporter.errors import ConfigError
from exporter.secret import Secret

DEFAULT_ENDPOINT = "https://api-{zone}.exoscale.com/v2"
ZONE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""A zone's name becomes part of a host name: nothing else may get into it."""

_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Account:
    """An Exoscale organization, by an API key of it.

    `zones` is None where the API is to be asked which there are. `endpoint` may hold `{zone}`.
    """

    name: str
    api_key: Secret
    api_secret: Secret
    zones: tuple[str, ...] | None
    visibility: Literal["private", "public"]
    endpoint: str

    def url(self, zone: str) -> str:
        """Base URL of the API in `zone`, without a slash at its end."""
        return self.endpoint.replace("{zone}", zone)


@dataclass(frozen=True, slots=True)
class Scrape:
    """How listings are asked for: `timeout` and `cache` in seconds.

    Where `deployments_on_metrics` is False, `/metrics` lists nothing, and zones are scraped by `/probe`.
    """

    timeout: float
    retries: int
    cache: float
    max_response_bytes: int
    deployments_on_metrics: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    accounts: tuple[Account, ...]
    scrape: Scrape


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Reads the configuration file, where there is one, and the secret files it names.

    Relative paths in it are relative to its folder. Raises `ConfigError`.
    """
    if path is None:
        return parse("", environ, Path(), "configuration")
    return parse(configfile.read(path), environ, path.parent, str(path))


def parse(text: str, environ: Mapping[str, str], folder: Path, name: str) -> Config:
    """Like `load`, from the text of the file. `name` stands for the file in messages."""
    file = configfile.parse(text, name, configfile.ConfigFile)
    if file.accounts == []:
        raise ConfigError("accounts", "must name at least one account")
    accounts = tuple(
        _account(account, f"accounts[{index}]", environ, folder)
        for index, account in enumerate(file.accounts or [configfile.AccountFile()])
    )
    _refuse_repeated([account.name for account in accounts], "accounts[{}].name")
    return Config(accounts, _scrape(file.scrape))


def _account(file: configfile.AccountFile, place: str, environ: Mapping[str, str], folder: Path) -> Account:
    if not file.name or not file.name.isprintable():
        raise ConfigError(f"{place}.name", "must be a printable text that is not empty")
    api_key = _secret(file.api_key, file.api_key_file, f"{place}.api_key", folder)
    api_secret = _secret(file.api_secret, file.api_secret_file, f"{place}.api_secret", folder)
    api_key = api_key or environ.get("EXOSCALE_API_KEY")
    api_secret = api_secret or environ.get("EXOSCALE_API_SECRET")
    if not api_key and not api_secret:
        raise ConfigError(
            place,
            "no credentials: set EXOSCALE_API_KEY and EXOSCALE_API_SECRET, or api_key_file and "
            "api_secret_file in the configuration (or try it with --demo)",
        )
    if not api_key:
        raise ConfigError(f"{place}.api_key", "missing, while there is an API secret")
    if not api_secret:
        raise ConfigError(f"{place}.api_secret", "missing, while there is an API key")
    for text, what in ((api_key, "api_key"), (api_secret, "api_secret")):
        if not re.fullmatch(r"[!-~]+", text):
            raise ConfigError(f"{place}.{what}", "has white space or characters that no Exoscale key has")
    return Account(
        name=file.name,
        api_key=Secret(api_key),
        api_secret=Secret(api_secret),
        zones=_zones(file.zones, place, environ),
        visibility=file.visibility,
        endpoint=_endpoint(file.endpoint, place, environ),
    )


def _secret(text: str | None, file: str | None, place: str, folder: Path) -> str | None:
    if file is None:
        if text == "":
            raise ConfigError(place, "is empty")
        return text
    place_of_file = f"{place}_file"
    if text is not None:
        raise ConfigError(place_of_file, f"give either this or {place.rpartition('.')[2]}, not both")
    try:
        return secret.read(folder / file)
    except (OSError, ValueError) as error:
        raise ConfigError(place_of_file, f"cannot read {folder / file}: {configfile.os_problem(error)}") from None


def _zones(zones: Sequence[str] | None, place: str, environ: Mapping[str, str]) -> tuple[str, ...] | None:
    place = f"{place}.zones"
    if zones is None:
        listed = environ.get("EXOSCALE_ZONE", "")
        if not listed.strip():
            return None
        place, zones = "EXOSCALE_ZONE", [zone.strip() for zone in listed.split(",") if zone.strip()]
    if not zones:
        raise ConfigError(place, "must name at least one zone, or be left out to ask the API for all zones")
    for index, zone in enumerate(zones):
        if not ZONE_NAME.fullmatch(zone):
            raise ConfigError(f"{place}[{index}]", f"{zone!r} is not the name of a zone, such as ch-gva-2")
    _refuse_repeated(zones, place + "[{}]")
    return tuple(zones)


def _refuse_repeated(names: Sequence[str], place: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(place.format(index), f"{name!r} is given twice")


def _endpoint(endpoint: str | None, place: str, environ: Mapping[str, str]) -> str:
    place = f"{place}.endpoint"
    if endpoint is None and environ.get("EXOSCALE_API_ENDPOINT"):
        place, endpoint = "EXOSCALE_API_ENDPOINT", environ["EXOSCALE_API_ENDPOINT"]
    endpoint = (DEFAULT_ENDPOINT if endpoint is None else endpoint).rstrip("/")
    try:
        url = urlsplit(endpoint.replace("{zone}", "zone"))
        _ = url.port  # parsed, hence checked, when first asked for
    except ValueError:
        raise ConfigError(place, f"not a URL such as {DEFAULT_ENDPOINT}") from None
    if url.username is not None or url.password is not None:
        raise ConfigError(place, "must not hold a user name or password")
    if (
        url.scheme not in ("http", "https")
        or not url.hostname
        or url.query
        or url.fragment
        or not re.fullmatch(r"[!-z|~]+", endpoint.replace("{zone}", "zone"))
    ):
        raise ConfigError(place, f"not a URL such as {DEFAULT_ENDPOINT}")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ConfigError(place, "plain http is accepted only for a loopback address: use https")
    return endpoint


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without brackets) is this machine by definition (RFC 6761)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _scrape(file: configfile.ScrapeFile) -> Scrape:
    timeout = _duration(file.timeout, "scrape.timeout")
    if not 0 < timeout <= 3600:
        raise ConfigError("scrape.timeout", "must be longer than 0s and at most 1h")
    if not 0 <= file.retries <= 10:
        raise ConfigError("scrape.retries", "must be from 0 to 10")
    if not 1 <= file.max_response_bytes <= 2**40:
        raise ConfigError("scrape.max_response_bytes", "must be from 1 to 1099511627776")
    return Scrape(
        timeout=timeout,
        retries=file.retries,
        cache=_duration(file.cache, "scrape.cache"),
        max_response_bytes=file.max_response_bytes,
        deployments_on_metrics=file.deployments_on_metrics,
    )


def _duration(text: str, place: str) -> float:
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        raise ConfigError(place, f"{text!r} is not a duration such as 8s, 500ms or 1m30s")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000

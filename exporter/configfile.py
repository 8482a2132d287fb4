"""The configuration file as people write it: which keys there are, of which types, and their defaults."""

import re
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from exporter import yamlfile
from exporter.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
"""How messages call the types."""


class AccountFile(msgspec.Struct, forbid_unknown_fields=True):
    name: str = "default"
    api_key: str | None = None
    api_key_file: str | None = None
    api_secret: str | None = None
    api_secret_file: str | None = None
    zones: list[str] | None = None
    visibility: Literal["private", "public"] = "private"
    endpoint: str | None = None


class ScrapeFile(msgspec.Struct, forbid_unknown_fields=True):
    timeout: str = "8s"
    retries: int = 1
    cache: str = "0s"
    max_response_bytes: int = 32 * 1024 * 1024
    deployments_on_metrics: bool = True


class ConfigFile(msgspec.Struct, forbid_unknown_fields=True):
    accounts: list[AccountFile] | None = None
    scrape: ScrapeFile = msgspec.field(default_factory=ScrapeFile)


def read(path: Path, place: str | None = None) -> str:
    """The text of a file. Raises `ConfigError`, at `place` where it is named by another file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(place or str(path), f"{path} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise ConfigError(place or str(path), f"cannot read {path}: {os_problem(error)}") from None


def os_problem(error: OSError | ValueError) -> str:
    """In the system's words, without the file's name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def parse(text: str, name: str, kind: type[T]) -> T:
    """The content of a YAML file, as a struct. `name` stands for the file in messages.

    Raises `ConfigError` naming the place.
    """
    document = yamlfile.load(text, name)
    try:
        return msgspec.convert({} if document is None else document, kind)
    except msgspec.ValidationError as error:
        raise _from_validation_error(error, name) from None
    except RecursionError:
        raise ConfigError(name, "refers to itself") from None


def _from_validation_error(error: msgspec.ValidationError, name: str) -> ConfigError:
    problem, _, path = str(error).partition(" - at `")
    place = path.rstrip("`").removeprefix("$").removeprefix(".") or name
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL):
        prefix = "" if place == name else f"{place}."
        return ConfigError(f"{prefix}{unknown[1]}", "unknown key")
    if enum := re.fullmatch(r"Invalid enum value (.*)", problem):
        return ConfigError(place, f"{enum[1]} is neither private nor public")
    problem = re.sub(r"`(\w+)(?: \| null)?`", lambda match: _WORDS.get(match[1], match[1]), problem)
    return ConfigError(place, problem[:1].lower() + problem[1:])

"""The API's JSON → domain objects. The API's key names stand in this file and nowhere else.

Everything that the API is known to leave out, or to have sent as null in an older version, is None here;
what it adds is ignored. Fields and their meaning: https://openapi-v2.exoscale.com, operation `list-deployments`.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from exporter.errors import Failure, Reason

KNOWN_STATES = ("creating", "deploying", "error", "preparing", "ready", "scaling", "updating")
"""The API's states at the time of release. It grew new ones before; they pass through."""

MAX_JSON_VALUES = 2_000_000
"""Bounds the memory that a malicious answer can take: far above what fits `scrape.max_response_bytes` in earnest."""

_SLICE = 1 << 20
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Model(msgspec.Struct, frozen=True, rename="kebab", gc=False):
    """The API's `model-ref`: either field may be missing."""

    id: str | None = None
    name: str | None = None


class Deployment(msgspec.Struct, frozen=True, rename="kebab", gc=False):
    """An AI deployment as `list-deployments` shows it; None is a field that the API left out.

    `gpu_count` is per replica: a deployment holds `gpu_count * replicas` GPUs. Dates without an offset are UTC.
    """

    name: str
    state: str | None = None
    id: str | None = None
    model: Model | None = None
    replicas: _Int64 | None = None
    gpu_count: _Int64 | None = None
    gpu_type: str | None = None
    service_level: str | None = None
    visibility: str | None = None
    deployment_url: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


# msgspec looks through a type when it first meets it, and the process dies where several threads do so at once.
msgspec.convert({"name": ""}, Deployment)


class Identity(NamedTuple):
    """What tells deployments of one account and zone apart: the values of labels, empty where the API says none."""

    deployment_id: str
    deployment: str
    model: str


def identity(deployment: Deployment) -> Identity:
    """Names are not unique and ids may be missing, so it takes all of them."""
    model = deployment.model or Model()
    return Identity(deployment.id or "", deployment.name, model.name or model.id or "")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a zone holds. `invalid` has a sentence for each entry that was left out, and why."""

    deployments: tuple[Deployment, ...]
    invalid: tuple[str, ...] = ()


def parse_deployments(body: bytes, visibility: Literal["private", "public"]) -> Inventory:
    """The answer of `list-deployments`, less the entries of the other visibility.

    An entry that cannot be read costs itself only. Raises `Failure` with reason `invalid_response` where the
    answer as a whole is not what the API documents.
    """
    entries, suspicious = _entries(body, "deployments")
    other = "public" if visibility == "private" else "private"
    deployments: dict[Identity, Deployment] = {}
    invalid = []
    for index, entry in enumerate(entries):
        entries[index] = None  # goes now: to free a long list at once would hold up all threads
        try:
            if suspicious:
                _refuse_surrogates(entry)
            deployment = msgspec.convert(entry, Deployment)
        except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
            invalid.append(f"deployments[{index}]: {_problem(error)}")
            continue
        if deployment.visibility == other:
            continue
        if deployments.setdefault(identity(deployment), deployment) is not deployment:
            invalid.append(f"deployments[{index}]: same id, name and model as another entry")
    inventory = Inventory(tuple(deployments.values()), tuple(invalid))
    while deployments:  # one by one, for the same reason
        deployments.popitem()
    return inventory


def parse_zones(body: bytes) -> tuple[str, ...]:
    """The names in the answer of `list-zones`, in its order. Raises `Failure` like `parse_deployments`."""
    entries, _ = _entries(body, "zones")
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def timestamp(date: datetime) -> float:
    """Unix seconds, negative before 1970. A date without an offset is UTC, not the local time of this machine."""
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _entries(body: bytes, key: str) -> tuple[list[Any], bool]:
    """The list under `key`, and whether texts in it may hold half a character (`\\ud83d` alone)."""
    if not body.strip():
        raise _invalid("an empty answer")
    if _values(body) > MAX_JSON_VALUES:
        raise _invalid(f"more than {MAX_JSON_VALUES} values")
    try:
        text = body.decode()
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise _invalid("not UTF-8 text") from None
    except RecursionError:
        raise _invalid("JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        kind = "HTML" if body.lstrip()[:1] == b"<" else "not JSON"
        raise _invalid(f"{kind} ({error.msg} at character {error.pos})") from None
    except ValueError:
        raise _invalid("JSON with a number of thousands of digits") from None
    if not isinstance(document, dict) or not isinstance(document.get(key), list):
        raise _invalid(f"JSON without a list {key!r}")
    return document[key], _suspicious(text)


def _suspicious(text: str) -> bool:
    """In slices, since to search all at once would hold up all threads. Most answers have no backslash at all."""
    starts = range(0, len(text), _SLICE)
    return "\\" in text and any(_SURROGATE.search(text, start, start + _SLICE + 3) for start in starts)


def _values(body: bytes) -> int:
    """At least as many as there are. In slices, for the same reason."""
    starts = range(0, len(body), _SLICE)
    return sum(body.count(sign, start, start + _SLICE) for start in starts for sign in (b",", b"[", b"{"))


def _invalid(what: str) -> Failure:
    return Failure(Reason.INVALID_RESPONSE, f"the API answered {what}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _invalid("JSON with a key given twice in one object")
    return mapping


def _refuse_constant(name: str) -> None:
    raise _invalid(f"JSON with {name}, which is no number")


def _refuse_surrogates(entry: object) -> None:
    """Half a surrogate pair is legal JSON but no text: it cannot be encoded in an answer of ours."""
    json.dumps(entry, ensure_ascii=False).encode()


def _problem(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error).replace("`", "").replace(" | null", "")
    return "nested too deeply" if isinstance(error, RecursionError) else "holds text that is not Unicode"

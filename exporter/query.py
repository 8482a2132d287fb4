"""What a request says → what is meant, or a 400 with a sentence."""

import math
import re

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
TIMEOUT_OFFSET = 0.5
"""Seconds of Prometheus's timeout that are left for the answer to reach it."""

_FORMAT = "name[]"
_LONGEST = 200


def scrape_timeout(header: str | None) -> float:
    """Seconds that a scrape may take so that its answer reaches Prometheus in time; infinite where it names none."""
    try:
        timeout = float(header or math.inf)
    except ValueError:
        return math.inf
    if not timeout > 0:
        return math.inf
    return timeout - min(TIMEOUT_OFFSET, timeout / 2)


def only(params: QueryParams, *names: str) -> dict[str, str]:
    """The parameters of these names, each given once or not at all.

    A wrong one must not look as if nothing had been asked for: that would be answered with everything.
    """
    for name in params:
        if name not in (*names, _FORMAT):
            known = ", ".join(names) or "none"
            raise HTTPException(400, f"There is no parameter {name[:_LONGEST]!r}; known are: {known}")
    selected = {}
    for name in names:
        values = params.getlist(name)
        if len(values) > 1:
            raise HTTPException(400, f"The parameter {name} is given {len(values)} times")
        if values and not 0 < len(values[0]) <= _LONGEST:
            problem = "longer than any name" if values[0] else "empty"
            raise HTTPException(400, f"The parameter {name} is {problem}")
        if values:
            selected[name] = values[0]
    return selected


def address(host: str) -> str:
    """Host and port under which the client knows this exporter (header `Host`)."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", host):
        raise HTTPException(400, "The header Host is not host:port")
    return host

"""The exporter's HTTP: routes → what the callables it is handed say."""

import math
import time
from collections.abc import Callable, Iterable, Sequence

import anyio
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from structlog.typing import FilteringBoundLogger

from exporter import exposition, metrics, page
from exporter.errors import ConfigError
from exporter.visit import Visit

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
TIMEOUT_OFFSET = 0.5
"""Seconds of Prometheus's timeout that are left for the answer to reach it."""


def scrape_timeout(header: str | None) -> float:
    """Seconds that a scrape may take so that its answer reaches Prometheus in time; infinite where it names none."""
    try:
        timeout = float(header or math.inf)
    except ValueError:
        return math.inf
    if not timeout > 0:
        return math.inf
    return timeout - min(TIMEOUT_OFFSET, timeout / 2)


class Web:
    """The application. `scrape(timeout)` and `glance()` may block; `instruments()` gives families of the exporter;
    `reload()` loads the configuration anew or raises `ConfigError`, None where that is not allowed over HTTP."""

    def __init__(
        self,
        *,
        scrape: Callable[[float], Sequence[Visit]],
        glance: Callable[[], Sequence[Visit]],
        instruments: Callable[[], Iterable[Metric]],
        reload: Callable[[], None] | None = None,
        log: FilteringBoundLogger,
        version: str,
        telemetry_path: str = "/metrics",
        max_requests: int = 40,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._scrape = scrape
        self._glance = glance
        self._instruments = instruments
        self._reload = reload
        self._log = log
        self._version = version
        self._telemetry_path = telemetry_path
        self._now = now
        self._started = now()
        self._max_requests = max_requests
        self._under_way = 0
        # Threads of its own, so that no other work waits behind scrapes, nor scrapes behind it.
        self._threads = anyio.CapacityLimiter(max_requests)
        self.app = Starlette(
            routes=[
                Route(telemetry_path, self.metrics),
                Route("/-/healthy", _says("Healthy.")),
                Route("/-/ready", _says("Ready.")),
                Route("/-/reload", self.reload, methods=["POST", "PUT"]),
                Route("/", self.page),
            ],
            exception_handlers={HTTPException: _sentence, Exception: self.bug},
        )
        self.app.router.redirect_slashes = False

    async def metrics(self, request: Request) -> Response:
        if self._under_way >= self._max_requests:
            raise HTTPException(503, f"{self._under_way} scrapes are under way already (--web.max-requests)")
        timeout = scrape_timeout(request.headers.get(TIMEOUT_HEADER))
        accept, accept_encoding = (",".join(request.headers.getlist(name)) for name in ("Accept", "Accept-Encoding"))
        names = request.query_params.getlist("name[]")

        def answer() -> exposition.Exposition:
            visits = self._scrape(timeout)
            families = (*metrics.families(visits), *self._instruments())
            return exposition.encode(families, accept, accept_encoding, names)

        self._under_way += 1
        try:
            result = await anyio.to_thread.run_sync(answer, limiter=self._threads)
        finally:
            self._under_way -= 1
        return Response(result.body, headers=result.headers)

    async def reload(self, _request: Request) -> Response:
        if self._reload is None:
            raise HTTPException(403, "Reloading over HTTP is off (--web.enable-lifecycle)")
        try:
            await run_in_threadpool(self._reload)
        except ConfigError as error:
            raise HTTPException(500, f"The configuration was refused, the one before it stays: {error}") from None
        return PlainTextResponse("The configuration was reloaded.\n")

    async def bug(self, request: Request, error: Exception) -> Response:
        self._log.error("a bug of the exporter, please report it", path=request.url.path, exc_info=error)
        return PlainTextResponse("A bug of the exporter, see its log.\n", 500)

    async def page(self, _request: Request) -> Response:
        visits = await run_in_threadpool(self._glance)
        html = page.render(
            visits,
            version=self._version,
            telemetry_path=self._telemetry_path,
            now=self._now(),
            started=self._started,
        )
        return HTMLResponse(html, headers=page.HEADERS)


def _says(sentence: str) -> Callable[[Request], Response]:
    # Not a thread's work, hence async: it answers however busy the threads are.
    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse(sentence + "\n")

    return endpoint  # type: ignore[return-value]


async def _sentence(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # what it is registered for
    detail = error.detail
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path!r}; the page at / shows what there is"
    return PlainTextResponse(f"{detail.rstrip('.')}.\n", error.status_code, error.headers)

"""The exporter's HTTP: routes → what the callables it is handed say."""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import anyio
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from exporter import discovery, exposition, metrics, page, query
from exporter.errors import ConfigError, Failure, UnknownTarget
from exporter.visit import Visit

T = TypeVar("T")
Found = tuple[Sequence[Visit] | None, Iterable[Metric]]
"""What a scrape found, where the API was asked, and families of the exporter's own."""


class Scrape(Protocol):
    """Visits all zones, or those of an account and of a name; raises `UnknownTarget` where there is none such."""

    def __call__(self, timeout: float, account: str | None = None, zone: str | None = None) -> Sequence[Visit]: ...


class Web:
    """The application. What it is handed may block, `deployments_on_metrics()` excepted.

    `reload()` loads the configuration anew or raises `ConfigError`; None where that is not allowed over HTTP.
    """

    def __init__(
        self,
        *,
        scrape: Scrape,
        zones: Callable[[], Sequence[tuple[str, str]]],
        glance: Callable[[], Sequence[Visit]],
        instruments: Callable[[], Iterable[Metric]],
        log: FilteringBoundLogger,
        version: str,
        reload: Callable[[], None] | None = None,
        deployments_on_metrics: Callable[[], bool] = lambda: True,
        telemetry_path: str = "/metrics",
        max_requests: int = 40,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._scrape = scrape
        self._zones = zones
        self._glance = glance
        self._instruments = instruments
        self._reload = reload
        self._deployments_on_metrics = deployments_on_metrics
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
                Route("/probe", self.probe),
                Route("/sd", self.endpoints),
                Route("/sd/probes", self.probes),
                Route("/-/healthy", _says("Healthy.")),
                Route("/-/ready", _says("Ready.")),
                Route("/-/reload", self.reload, methods=["POST", "PUT"]),
                Route("/", self.page),
            ],
            exception_handlers={HTTPException: _sentence, Exception: self.bug},
        )
        self.app.router.redirect_slashes = False

    async def metrics(self, request: Request) -> Response:
        return await self._exposition(request, self._everything)

    async def probe(self, request: Request) -> Response:
        """The multi-target pattern: what is known of one account, one zone, or one zone of one account."""
        selected = query.only(request.query_params, "account", "zone")
        if not selected:
            raise HTTPException(400, "Name what to probe: /probe?account=…&zone=…, or one of the two")

        def found(timeout: float) -> Found:
            visits = self._scrape(timeout, **selected)
            return visits, metrics.of_zones(self._instruments(), visits)

        return await self._exposition(request, found)

    async def endpoints(self, request: Request) -> Response:
        """HTTP service discovery of the deployments' endpoints."""
        selected = query.only(request.query_params, "account", "zone", "state")
        state = selected.pop("state", None)
        return await self._discovery(lambda: discovery.endpoints(self._scrape(math.inf, **selected), state))

    async def probes(self, request: Request) -> Response:
        """HTTP service discovery of this exporter's own `/probe`, once for each zone of each account."""
        query.only(request.query_params)
        address = query.address(request.headers.get("Host", ""))
        return await self._discovery(lambda: discovery.probes(self._zones(), address, request.url.scheme))

    def _everything(self, timeout: float) -> Found:
        if not self._deployments_on_metrics():
            return None, metrics.of_no_zone(self._instruments())
        return self._scrape(timeout), self._instruments()

    async def _exposition(self, request: Request, find: Callable[[float], Found]) -> Response:
        timeout = query.scrape_timeout(request.headers.get(query.TIMEOUT_HEADER))
        accept, accept_encoding = (",".join(request.headers.getlist(name)) for name in ("Accept", "Accept-Encoding"))
        names = request.query_params.getlist("name[]")
        return _InChunks(
            await self._in_thread(lambda: exposition.encode(*find(timeout), accept, accept_encoding, names))
        )

    async def _discovery(self, groups: Callable[[], Sequence[discovery.TargetGroup]]) -> Response:
        try:
            body = await self._in_thread(lambda: json.dumps(groups(), ensure_ascii=False).encode())
        except Failure as failure:
            # Prometheus keeps its last list then.
            raise HTTPException(503, f"A zone could not be listed: {failure}") from None
        return Response(body, media_type="application/json")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Runs what may ask the API, beside `max_requests - 1` others at most."""
        if self._under_way >= self._max_requests:
            raise HTTPException(503, f"{self._under_way} scrapes are under way already (--web.max-requests)")
        self._under_way += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
        except UnknownTarget as unknown:
            raise HTTPException(400, str(unknown)) from None
        finally:
            self._under_way -= 1

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


class _InChunks(Response):
    """An exposition, sent chunk by chunk: the event loop serves others in between, and a big one is never copied."""

    def __init__(self, result: exposition.Exposition) -> None:
        super().__init__(headers=result.headers)
        self._chunks = result.chunks

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


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

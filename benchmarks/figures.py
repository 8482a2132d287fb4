"""The figures: each is a ratio of two things measured in turns, so that a busy machine slows both."""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import trustme

from benchmarks.processes import MIB, Served, api, counts, exporter, free_port, pushgateway, running, stock


@dataclass(frozen=True)
class Figure:
    """A row of the table. `ratio` is of the two that `measured` tells of, `goal` the most that it should be."""

    what: str
    beside: str
    measured: str
    ratio: float
    goal: float

    @property
    def met(self) -> bool:
        return self.ratio <= self.goal


ANSWERS = {"--listings=2": "", "--listings=1": ", the same as at the scrape before"}
"""The API's option for answers that change, or do not, and what is said of them."""


def in_turns(rounds: int, *sides: Callable[[], float]) -> list[float]:
    """The least of each side, measured one after the other in every round: what else the machine does only adds."""
    taken = [[side() for side in sides] for _ in range(rounds)]
    return [min(values) for values in zip(*taken, strict=True)]


def beside(what: str, other: str, ours: float, theirs: float, goal: float) -> Figure:
    """Of two times in seconds."""
    return Figure(what, other, f"{ours * 1000:.1f} ms : {theirs * 1000:.1f} ms", ours / theirs, goal)


def zones() -> list[Figure]:
    """A scrape of eight zones beside the slowest of their answers."""
    figures = []
    for option, answers in ANSWERS.items():
        with api(50, "--delay=0.1", option) as upstream, exporter(upstream.url, zones=8) as ours:
            alone, scrape = in_turns(15, lambda: upstream.seconds("/zz-aaa-0/v2/ai/deployment"), ours.seconds)
        what = f"a scrape of 8 zones, each answering in 100 ms with 50 deployments{answers}"
        figures.append(beside(what, "a zone's own answer", scrape, alone, 1.10))
    return figures


def ten_thousand() -> list[Figure]:
    """A big scrape beside a Go program and beside the usual way, and the memory that it takes."""
    figures = []
    for option, answers in ANSWERS.items():
        size = f"10,000 deployments in one zone{answers}"
        with api(10_000, option) as upstream, exporter(upstream.url) as ours, stock(upstream.url) as usual:
            idle = ours.resident()
            ours.forget_peak()
            text = ours.get()
            with pushgateway(text) as go:
                scrape, from_go, usually = in_turns(7, ours.seconds, go.seconds, usual.seconds)
            peak = ours.resident("VmHWM")
        figures += [
            beside(f"{size}, first byte sent to last received", "pushgateway (Go)", scrape, from_go, 0.5),
            beside(f"{size}, first byte sent to last received", "the usual way", scrape, usually, 0.2),
            Figure(
                f"memory at its peak over idle, {size}",
                "size of the exposition",
                f"{(peak - idle) / MIB:.0f} MiB : {len(text) / MIB:.0f} MiB",
                (peak - idle) / len(text),
                4,
            ),
        ]
    return figures


def cpu() -> list[Figure]:
    """CPU time of small scrapes."""
    scrapes = 200

    def of(served: Served) -> Callable[[], float]:
        def taken() -> float:
            before = served.cpu_seconds()
            for _ in range(scrapes):
                served.get()
            return (served.cpu_seconds() - before) / scrapes

        return taken

    figures = []
    for option, answers in ANSWERS.items():
        with api(100, option) as upstream, exporter(upstream.url) as ours, stock(upstream.url) as usual:
            scrape, usually = in_turns(5, of(ours), of(usual))
        what = f"CPU time of a scrape of 100 deployments{answers}"
        figures.append(beside(what, "the usual way", scrape, usually, 0.4))
    return figures


def growth() -> list[Figure]:
    """Ten times the deployments, again and again; as many deployments on each side, so that noise finds all alike."""

    def scrape(size: int, ours: Served) -> Callable[[], float]:
        return lambda: fmean(ours.seconds() for _ in range(100_000 // size))

    with contextlib.ExitStack() as stack:
        scrapes = [
            scrape(size, stack.enter_context(exporter(stack.enter_context(api(size)).url)))
            for size in (100, 1_000, 10_000, 100_000)
        ]
        taken = in_turns(7, *scrapes)
    return [
        Figure(
            "growth from 100 to 100,000 deployments, ten times in each step",
            "linear",
            " → ".join(f"{seconds * 1000:.0f} ms" for seconds in taken),
            max(after / before / 10 for before, after in pairwise(taken)),
            1.1,
        )
    ]


def waiting() -> list[Figure]:
    """What others notice of a big scrape: the longest that `/-/healthy` takes."""
    figures = []
    for size in (10_000, 100_000):
        with api(size) as upstream, exporter(upstream.url) as ours:
            idle, worst = in_turns(
                5, lambda: _longest(ours, None), lambda: _longest(ours, threading.Thread(target=ours.beside().get))
            )
        measured = f"{worst * 1000:.1f} ms : 10 ms (idle: {idle * 1000:.1f} ms)"
        what = f"the longest that /-/healthy waits during a scrape of {size:,} deployments"
        figures.append(Figure(what, "10 ms", measured, worst / 0.010, 1))
    return figures


def _longest(served: Served, scrape: threading.Thread | None) -> float:
    """In a second, or as long as the scrape lasts."""
    other = served.beside()
    until = time.monotonic() + 1
    longest = 0.0
    if scrape:
        scrape.start()
    while scrape.is_alive() if scrape else time.monotonic() < until:
        longest = max(longest, other.seconds("/-/healthy"))
    return longest


def memory() -> list[Figure]:
    """Resident memory after many scrapes."""
    with api(100) as upstream, exporter(upstream.url) as ours:
        seen = []
        for scrapes in (100, 1900):
            for _ in range(scrapes):
                ours.get()
            seen.append(ours.resident())
    measured = f"{seen[1] / MIB:.1f} MiB : {seen[0] / MIB:.1f} MiB"
    return [
        Figure("memory after 2,000 scrapes of 100 deployments", "after 100", measured, seen[1] / seen[0], 1.02),
        Figure("the same", "64 MiB", f"{seen[1] / MIB:.1f} MiB : 64 MiB", seen[1] / MIB / 64, 1),
    ]


def sharing() -> list[Figure]:
    """Many servers scraping at once, and a hundred scrapes over HTTPS."""
    with api(100, "--delay=0.2") as upstream, exporter(upstream.url) as ours:
        servers = [threading.Thread(target=ours.beside().get) for _ in range(20)]
        for server in servers:
            server.start()
        for server in servers:
            server.join()
        requests = counts(upstream)["requests"]
    with tempfile.TemporaryDirectory() as name:
        folder, ca = Path(name), trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        secured = api(10, f"--certificate={folder}/server.pem")
        with secured as upstream, exporter(upstream.url, REQUESTS_CA_BUNDLE=f"{folder}/ca.pem") as ours:
            for _ in range(100):
                ours.get()
            handshakes = counts(upstream, folder / "ca.pem")["handshakes"] - 1  # less the question's own
    return [
        Figure("API calls for 20 Prometheus servers that scrape at once", "of one", f"{requests} : 1", requests, 1),
        Figure("TLS handshakes after 100 scrapes of a zone", "1", f"{handshakes} : 1", handshakes, 1),
    ]


def start() -> list[Figure]:
    """From the shell to an answer."""
    imports = [sys.executable, "-c", "import requests, prometheus_client"]

    def command(*words: str | Path) -> Callable[[], float]:
        def taken() -> float:
            began = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - began

        return taken

    def healthy() -> float:
        address = f"127.0.0.1:{free_port()}"
        began = time.perf_counter()
        with running(
            [sys.executable, "-m", "exporter", "--demo", f"--web.listen-address={address}"], f"http://{address}"
        ) as ours:
            ours.get("/-/healthy")
            return time.perf_counter() - began

    version = command(sys.executable, "-m", "exporter", "--version")
    alone, shown, answered = in_turns(9, command(*imports), version, healthy)
    imported = "python -c 'import requests, prometheus_client'"
    return [
        beside("exoscale-ai-exporter --version", imported, shown, alone, 1.5),
        beside("start to first answer of /-/healthy", imported, answered, alone, 4),
    ]

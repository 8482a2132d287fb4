"""The page, in a real browser: Debian's Chromium, as people see it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By

from exporter import page
from exporter.simulator import fleet
from exporter.simulator.server import Simulator
from tests.harness import Exporter, configuration, program

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", ""))
"""Where screenshots are kept, if anywhere."""

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))
    yield browser
    browser.quit()


def odd_fleet(zone: str, start: float, elapsed: float) -> list[dict[str, Any]]:
    odd = {"name": HOSTILE, "state": HOSTILE, "model": {"name": HOSTILE}, "gpu-type": HOSTILE, "id": HOSTILE}
    long = {"name": "a-very-long-name-" * 8, "state": "ready", "model": {"name": "m" * 120}, "id": "long"}
    bare = {"name": "bare", "state": "hibernating", "model": {}}
    return [odd, long, bare, *fleet.deployments(zone, start, elapsed)]


def as_it_is(simulator: Simulator) -> None:
    """The fleet of the demo."""


def failing(simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "403-role")
    simulator.set_fault("de-fra-1", "invalid-entry")


SCENES: dict[str, tuple[Callable[..., list[dict[str, Any]]], Callable[[Simulator], None]]] = {
    "fleet": (fleet.deployments, as_it_is),
    "empty": (lambda *_: [], as_it_is),
    "failing": (fleet.deployments, failing),
    "odd": (odd_fleet, as_it_is),
}


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The name of a scene, and the URL of an exporter that shows it."""
    deployments, prepare = SCENES[request.param]
    with Simulator(deployments=deployments) as simulator:
        prepare(simulator)
        yaml = "accounts: [{name: production, zones: [at-vie-2, ch-gva-2, de-fra-1]}]"
        with Exporter(configuration(yaml, simulator)) as exporter:
            yield request.param, exporter.url


@pytest.mark.e2e
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width"), [("desktop", 1280), ("phone", 390)])
def test_the_page_in_a_browser(
    browser: webdriver.Chrome, scene: tuple[str, str], device: str, width: int, scheme: str
) -> None:
    name, url = scene
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": device == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    browser.get(url)
    if SCREENSHOTS.name:
        browser.save_screenshot(str(SCREENSHOTS / f"{name}-{device}-{scheme}.png"))
    console = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert console == [], "no error and no warning on the console, a blocked script among them"
    assert browser.execute_script("return document.images.length") == 0, "no markup of the API's became markup"
    overflow = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "the page itself does not scroll sideways, its tables do"
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(13, 17, 23)")
    text = browser.find_element(By.TAG_NAME, "body").text
    expected = {
        "fleet": ["chat-production", "error", "Zones failing", "0 of 3"],
        "empty": ["There are no deployments in these zones."],
        "failing": ["Forbidden by role policy for ai", "1 of 3", "Left out: 1", "auth"],
        "odd": [HOSTILE, "hibernating"],
    }
    for words in expected[name]:
        assert words in text


@pytest.mark.e2e
def test_a_click_on_a_heading_sorts(browser: webdriver.Chrome, exporter: Exporter) -> None:
    browser.get(exporter.url)

    def column(number: int) -> list[str]:
        cells = browser.find_elements(By.CSS_SELECTOR, f"table.sortable tbody td:nth-child({number})")
        return [cell.text for cell in cells]

    def click(number: int) -> str | None:
        heading = browser.find_element(By.CSS_SELECTOR, f"table.sortable th:nth-child({number})")
        heading.find_element(By.TAG_NAME, "button").click()
        return heading.get_attribute("aria-sort")

    states = column(1)
    assert (states[0], states[-1]) == ("error", "ready"), "what needs attention comes first"
    assert click(2) == "ascending"
    assert column(2) == sorted(column(2))
    assert click(2) == "descending"
    assert column(2) == sorted(column(2), reverse=True)
    click(7)
    gpus = [int(cell.split(" × ")[0]) * int(cell.split(" × ")[1]) for cell in column(7)]
    assert gpus == sorted(gpus)
    assert len(browser.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1


@pytest.mark.e2e
def test_a_validator_finds_nothing(scene: tuple[str, str], tmp_path: Path) -> None:
    name, url = scene
    file = tmp_path / f"{name}.html"
    file.write_bytes(requests.get(url, timeout=5).content)
    command = [program("tidy"), "-quiet", "-errors", "-utf8", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    assert checked.returncode == 0


def test_the_page_loads_nothing_from_elsewhere(exporter: Exporter) -> None:
    response = exporter.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "src=" not in response.text
    assert '<link rel="icon" href="data:,">' in response.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90000, "1 d 1 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_spans_of_time(seconds: float, words: str) -> None:
    assert page.ago(seconds) == words

"""The command as a user runs it: in the test's process for its words, in one of its own for signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import requests

from exporter import __version__
from exporter.cli import main
from exporter.simulator.server import Simulator
from tests.harness import Answer, credentials, eventually, running


@pytest.fixture
def _simulated(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials(simulator).items():
        monkeypatch.setenv(name, value)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"exoscale-ai-exporter {__version__}\n"


def test_what_needs_no_server_loads_none() -> None:
    """--version and --help answer at once: what takes long to import is imported when it is used."""
    heavy = {
        "requests",
        "prometheus_client",
        "starlette",
        "uvicorn",
        "jinja2",
        "msgspec",
        "structlog",
        "exporter.simulator",
    }
    program = "import sys, exporter.cli as cli; cli.parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "exporter.cli" in loaded
    assert not heavy & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--web.listen-adress", ":1"], "unrecognized arguments: --web.listen-adress :1"),
        (["--web.listen", ":1"], "unrecognized arguments: --web.listen :1"),
        (["--log.level", "loud"], "argument --log.level: invalid choice: 'loud'"),
        (["--web.max-requests", "0"], "argument --web.max-requests: '0' is not a whole number above 0"),
        (["--web.telemetry-path", "metrics"], "argument --web.telemetry-path: 'metrics' is not a path"),
        (["--web.telemetry-path", "/"], "argument --web.telemetry-path: '/' is not a path of its own"),
        (["extra"], "unrecognized arguments: extra"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_sentence_and_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert printed.startswith(f"exoscale-ai-exporter: {sentence}")
    assert printed.count("\n") == 1


def test_no_credentials_at_all_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "set EXOSCALE_API_KEY and EXOSCALE_API_SECRET" in printed


def test_demo_and_a_file_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--config.file", "x.yml"]) == 2
    assert capsys.readouterr().err.startswith("exoscale-ai-exporter: --demo: ")


@pytest.mark.usefixtures("_simulated")
def test_config_check_says_yes_without_asking_the_api(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config.check"]) == 0
    assert capsys.readouterr().out == "The configuration is valid.\n"
    assert simulator.requests == []


@pytest.mark.usefixtures("_simulated")
def test_once_prints_the_metrics_and_exits_0_where_every_zone_was_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--once"]) == 0
    assert Answer(capsys.readouterr().out).value("exoscale_ai_up", account="default", zone="ch-gva-2") == 1


@pytest.mark.usefixtures("_simulated")
def test_once_exits_1_where_a_zone_was_down(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    simulator.set_fault("ch-gva-2", "500")
    assert main(["--once"]) == 1
    printed = capsys.readouterr()
    assert Answer(printed.out).value("exoscale_ai_up", account="default", zone="ch-gva-2") == 0
    assert 'level=warning msg="listing failed" account=default zone=ch-gva-2 reason=server_error' in printed.err


def test_demo_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--once"]) == 0
    answer = Answer(capsys.readouterr().out)
    assert answer.total("exoscale_ai_up", account="demo") == 3
    assert answer.total("exoscale_ai_deployments") >= 11


@pytest.mark.parametrize("address", ["10042", "nowhere", ":99999", "localhost:http", "::1:80", ":"])
@pytest.mark.usefixtures("_simulated")
def test_a_wrong_address_is_one_sentence_and_1(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--web.listen-address", address]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"exoscale-ai-exporter: cannot listen on '{address}': expected host:port")
    assert printed.count("\n") == 1


@pytest.mark.usefixtures("_simulated")
def test_a_host_that_is_not_there_is_one_sentence_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--web.listen-address", "192.0.2.1:0"]) == 1
    assert "cannot listen on 192.0.2.1:0: " in capsys.readouterr().err


def test_a_busy_port_is_one_sentence_and_1(simulator: Simulator) -> None:
    with running(**credentials(simulator)) as (_, url, _lines):
        address = url.removeprefix("http://").rstrip("/")
        second = subprocess.run(
            [sys.executable, "-m", "exporter", "--web.listen-address", address],
            env={**os.environ, **credentials(simulator)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.returncode == 1
    assert second.stderr == f"exoscale-ai-exporter: cannot listen on {address}: Address already in use\n"


def test_one_line_at_start_says_what_runs_and_no_secret(simulator: Simulator) -> None:
    with running(**credentials(simulator)) as (_, url, lines):
        assert len(lines) == 1
        fields = f'msg=started version={__version__} address={url} accounts=default zones="default=ch-gva-2"'
        assert lines[0].endswith(fields + "\n")
        assert simulator.secret not in lines[0]
        assert simulator.key not in lines[0]


def test_the_log_as_json(simulator: Simulator) -> None:
    simulator.set_fault("ch-gva-2", "403-signature")
    with running("--log.format=json", **credentials(simulator)) as (_, url, lines):
        requests.get(url + "metrics", timeout=10)
        eventually(lambda: len(lines) == 2)
    started, failed = (json.loads(line) for line in lines[:2])
    assert started["msg"] == "started"
    assert (failed["level"], failed["zone"], failed["reason"]) == ("warning", "ch-gva-2", "auth")
    assert "Invalid request signature" in failed["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_with_0(simulator: Simulator, number: signal.Signals) -> None:
    with running(**credentials(simulator)) as (process, url, lines):
        assert requests.get(url + "metrics", timeout=10).status_code == 200
        process.send_signal(number)
        assert process.wait(5) == 0
        eventually(lambda: lines[-1].endswith("msg=stopped\n"))


@pytest.mark.parametrize("fault", ["delay=1.5", "hang", "drip-headers", "drip-body", "stop-without-length"])
def test_a_scrape_under_way_is_finished_and_the_process_ends_within_5_seconds(simulator: Simulator, fault: str) -> None:
    simulator.set_fault("ch-gva-2", fault)
    answers: list[requests.Response] = []
    with running(**credentials(simulator)) as (process, url, _):
        scrape = threading.Thread(target=lambda: answers.append(requests.get(url + "metrics", timeout=10)))
        scrape.start()
        eventually(lambda: simulator.requests)
        stopped = time.monotonic()
        process.terminate()
        assert process.wait(6) == 0
        assert time.monotonic() - stopped < 5
        scrape.join()
    up = Answer(answers[0].text).value("exoscale_ai_up", account="default", zone="ch-gva-2")
    assert up == (1 if fault.startswith("delay") else 0)


def test_a_connection_that_says_nothing_does_not_delay_the_end(simulator: Simulator) -> None:
    with running(**credentials(simulator)) as (process, url, _):
        session = requests.Session()
        assert session.get(url + "-/healthy").status_code == 200
        process.terminate()
        assert process.wait(5) == 0
        session.close()

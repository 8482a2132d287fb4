"""The systemd unit and the files that go with it, by systemd's own judgement where it has one."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml

from exporter.cli import parser
from tests.harness import program

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "exoscale-ai-exporter.service"
README = (FOLDER / "README.md").read_text()
CREDENTIALS = f"/run/credentials/{UNIT.name}/"
"""Where systemd puts what `LoadCredential=` names (systemd.exec(5))."""


def settings(name: str) -> list[str]:
    """What the unit says of a setting, a value for each time it is there."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def environment() -> dict[str, str]:
    """The example environment file, as systemd reads it."""
    lines = [line for line in (FOLDER / "exoscale-ai-exporter.env").read_text().splitlines() if line]
    pairs = [line.split("=", 1) for line in lines if not line.startswith("#")]
    return {name: "".join(shlex.split(value)) if value.startswith('"') else value for name, value in pairs}


@pytest.mark.e2e
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    installed = tmp_path / UNIT.name
    here = Path(sys.executable).parent
    installed.write_text(UNIT.read_text().replace("/opt/exoscale-ai-exporter/bin", str(here)))
    verify = [program("systemd-analyze"), "verify", "--man=no", str(installed)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    about_it = [line for line in done.stderr.splitlines() if UNIT.stem in line or str(tmp_path) in line]
    assert (done.returncode, about_it) == (0, [])


@pytest.mark.e2e
def test_systemd_rates_the_exposure_of_the_service_2_or_better() -> None:
    command = [program("systemd-analyze"), "security", "--offline=true", "--no-pager", str(UNIT)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", printed)
    assert overall, printed
    assert float(overall[1]) <= 2.0


@pytest.mark.e2e
def test_every_system_call_of_the_exporter_is_allowed_by_the_unit(tmp_path: Path) -> None:
    """From start over a scrape and a reload to the end. Where one were missing, it would fail with EPERM."""
    trace = tmp_path / "trace"
    strace = [program("strace"), "-f", "-qq", "-e", "signal=none", "-o", str(trace)]
    demo = [sys.executable, "-m", "exporter", "--demo", "--web.listen-address=127.0.0.1:0"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    with subprocess.Popen([*strace, *demo], stderr=subprocess.PIPE, text=True, env=clean) as process:
        assert process.stderr
        url = next(found[0] for line in process.stderr if (found := re.findall(r"msg=started .*address=(\S+)", line)))
        (exporter,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        try:
            assert "exoscale_ai_up" in requests.get(url + "metrics", timeout=20).text
            os.kill(int(exporter), signal.SIGHUP)
            assert any("configuration reloaded" in line for line in process.stderr)
        finally:
            os.kill(int(exporter), signal.SIGTERM)
        assert process.wait(20) == 0
    called = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"socket", "listen", "accept4", "clone3"} & called, "the trace is not of the exporter"
    assert called - allowed_system_calls() == set()


def allowed_system_calls() -> set[str]:
    first, *others = settings("SystemCallFilter")
    calls = system_calls(first.split())
    for setting in others:
        assert setting.startswith("~")
        calls -= system_calls(setting[1:].split())
    return calls


def system_calls(names: list[str]) -> set[str]:
    """The calls behind names of calls and of sets of them, of which systemd knows the content."""
    calls = {name for name in names if not name.startswith("@")}
    for group in set(names) - calls:
        listing = subprocess.run(
            [program("systemd-analyze"), "--no-pager", "syscall-filter", group],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        calls |= system_calls([line.strip() for line in listing.splitlines()[1:] if not line.strip().startswith("#")])
    return calls - {""}


def test_the_command_takes_the_flags_of_unit_and_environment_file() -> None:
    (start,) = settings("ExecStart")
    command, *arguments = shlex.split(start.replace("$ARGS", environment()["ARGS"]))
    assert command == "/opt/exoscale-ai-exporter/bin/exoscale-ai-exporter"
    flags = parser().parse_args(arguments)
    assert flags.config_file == Path("/etc/exoscale-ai-exporter/config.yml")
    assert flags.listen_addresses == [":10042"]


def test_the_example_configuration_is_valid_with_the_credentials_that_the_unit_loads(tmp_path: Path) -> None:
    loaded = dict(setting.split(":") for setting in settings("LoadCredential"))
    text = (FOLDER / "config.yml").read_text()
    files = [value for key, value in yaml.safe_load(text)["accounts"][0].items() if key.endswith("_file")]
    assert files == [CREDENTIALS + name for name in loaded]
    for name in loaded:
        (tmp_path / name).write_text("EXOexample\n")
    (tmp_path / "config.yml").write_text(text.replace(CREDENTIALS, f"{tmp_path}/"))
    check = [sys.executable, "-m", "exporter", f"--config.file={tmp_path}/config.yml", "--config.check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_instructions_put_every_file_where_the_unit_looks() -> None:
    (start,), (environment_file,) = settings("ExecStart"), settings("EnvironmentFile")
    read = re.findall(r"/etc/[\w./-]+", " ".join([start, environment_file, *settings("LoadCredential")]))
    assert len(read) == 4
    for path in map(Path, read):
        installed = f"--target-directory={path.parent} " in README and f" {path.name}" in README
        assert installed or f"> {path})" in README, path


def test_every_file_that_the_instructions_copy_is_there() -> None:
    copied = [word for line in re.findall(r"^install (.*)$", README, re.MULTILINE) for word in line.split()]
    files = [word for word in copied if not word.startswith("-")]
    assert sorted(files) == sorted(path.name for path in FOLDER.iterdir() if path.name != "README.md")


def test_reload_is_the_signal_that_the_exporter_takes_for_it() -> None:
    assert settings("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert settings("Type") == ["notify"]


def test_a_stop_outlasts_what_the_exporter_grants_scrapes_under_way() -> None:
    from exporter.daemon import GRACE_SECONDS

    (stop,) = settings("TimeoutStopSec")
    assert int(stop.removesuffix("s")) > GRACE_SECONDS

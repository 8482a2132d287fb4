"""What is built for PyPI: what is in it, and that it works where nothing else is."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from exporter import __version__
from tests.harness import Answer

ROOT = Path(__file__).parent.parent
NAME = f"exoscale_ai_exporter-{__version__}"


def build(folder: Path, source: Path, *options: str) -> None:
    """As `make build` does, into another folder: without an environment of its own, hence without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *options]
    subprocess.run(command, check=True, cwd=source, capture_output=True)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with wheel and source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def source(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / NAME


def test_nothing_but_a_wheel_and_a_source_distribution_is_built(dist: Path, wheel: Path) -> None:
    assert {path.name for path in dist.iterdir()} == {wheel.name, f"{NAME}.tar.gz"}


def test_the_wheel_holds_the_package_and_the_files_of_the_service_and_nothing_else(wheel: Path) -> None:
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "exporter").rglob("*.*") if path.suffix != ".pyc"}
    assert {"exporter/templates/page.html", "exporter/templates/page.css", "exporter/templates/page.js"} <= package
    service = {
        f"{NAME}.data/data/share/exoscale-ai-exporter/systemd/{path.name}"
        for path in (ROOT / "deploy" / "systemd").iterdir()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {name for name in names if name.startswith(f"{NAME}.dist-info/")}
    assert names - metadata == package | service
    assert f"{NAME}.dist-info/licenses/LICENSE" in metadata


def test_the_source_distribution_holds_what_building_and_testing_need(source: Path) -> None:
    needed = [
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "Dockerfile",
        "requirements/runtime.txt",
    ]
    needed += [
        "requirements/dev.txt",
        "tests/harness.py",
        "tests/data/config/valid-everything.yml",
        "prometheus/alerts.yml",
    ]
    assert not [path for path in needed if not (source / path).is_file()]


def test_the_source_distribution_holds_nothing_that_was_made(source: Path) -> None:
    made = {".venv", "__pycache__", ".git", ".coverage", ".hypothesis", "dist", "build", ".mypy_cache"}
    assert not [path for path in source.rglob("*") if path.name in made]


def test_the_wheel_is_the_same_when_built_from_the_source_distribution(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    build(tmp_path, source, "--target", "wheel")
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_wheel_alone_in_a_clean_environment_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """With its dependencies as locked, and without a trace of this project's folder."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    lock = ROOT / "requirements" / "runtime.txt"
    subprocess.run([*pip, "--require-hashes", f"--requirement={lock}"], check=True, cwd=tmp_path)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, cwd=tmp_path)
    command = place / "bin" / "exoscale-ai-exporter"
    done = subprocess.run([command, "--demo", "--once"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(Answer(done.stdout).select("exoscale_ai_up").values()) == {1.0}
    systemd = place / "share" / "exoscale-ai-exporter" / "systemd"
    assert (systemd / "exoscale-ai-exporter.service").is_file(), "where deploy/systemd/README.md says"

"""Builds the image and runs it as it is meant to be run. `make image-test`, as root on Debian."""

import hashlib
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.image.build import REVISION, Buildah, build_base, build_image, out, version
from tests.image.container import PYTHON, VENV, Image, eventually


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# Checks, in the order in which they are run. Their docstrings are what they claim.


def check_configuration(image: Image) -> None:
    """the user is a number, not root; port, labels and commands in exec form are as documented"""
    assert image.config["User"] == "65532:65532"
    assert image.config["ExposedPorts"] == {"10042/tcp": {}}
    assert image.config["Entrypoint"] == [f"{VENV}/bin/exoscale-ai-exporter"]
    assert not image.config.get("Cmd")
    labels = {
        name.rpartition(".")[2]: value for name, value in image.config["Labels"].items() if "opencontainers" in name
    }
    assert labels.keys() == {"title", "description", "source", "documentation", "licenses", "version", "revision"}
    assert (labels["version"], labels["revision"]) == (version(), REVISION)
    assert all(labels.values())


def check_nothing_leaks(image: Image) -> None:
    """pip, its settings, the build's tools and its folders stay behind"""
    assert "PIP_" not in image.inspected
    assert not [path for path in ("src", "tools", "wheels", "given-wheels") if (image.root / path).exists()]
    packages = next(image.root.glob("opt/exoscale-ai-exporter/lib/python*/site-packages"))
    assert not list(packages.glob("pip*")) + list(packages.glob("hatch*"))
    assert not list(packages.glob("*.dist-info/direct_url.json"))


def check_files(image: Image) -> None:
    """every module is compiled, and none of the files is the user's to change"""
    files = [path for path in (image.root / VENV[1:]).rglob("*") if not path.is_symlink()]
    sources = [path for path in files if path.suffix == ".py"]
    compiled = {path.parent.parent / f"{path.name.partition('.')[0]}.py" for path in files if path.suffix == ".pyc"}
    assert len(sources) > 300
    assert not set(sources) - compiled
    assert not [path for path in files if path.stat().st_uid or path.stat().st_mode & 0o022]


def check_version(image: Image) -> None:
    """--version answers"""
    answer = image.run("--version")
    assert (answer.returncode, answer.stdout) == (0, f"exoscale-ai-exporter {version()}\n")


def check_missing_credentials(image: Image) -> None:
    """without credentials it ends with 2 and one sentence"""
    answer = image.run()
    assert answer.returncode == 2
    assert "no credentials" in answer.stderr
    assert answer.stderr.count("\n") == 1


def check_demo(image: Image) -> None:
    """the demo serves as that user, without capabilities, on a read-only root; it is healthy; SIGTERM ends it with 0"""
    with image.running("--demo") as container:
        eventually(container.healthy, "the HEALTHCHECK passes")
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{container.pid}/status").read_text().splitlines())
        assert status["Uid"].split() == status["Gid"].split() == ["65532"] * 4
        assert status["NSpid"].split()[-1] == "1", "it is PID 1"
        assert status["NoNewPrivs"] == "1"
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert not status["Groups"].strip()
        for folder in ("", "/tmp", "/var/tmp", "/dev", "/run", VENV):  # noqa: S108 - that it can't be written to
            refused = container.execute("/usr/bin/touch", f"{folder}/written", root=True)
            assert "Read-only file system" in refused.stderr, f"{folder or '/'}: {refused.stderr}"
        metrics = container.get("/metrics")
        assert re.search(r'^exoscale_ai_up\{account="demo",zone="ch-gva-2"\} 1\.0$', metrics, re.MULTILINE)
        assert f'revision="{REVISION}"' in metrics
        begin = time.monotonic()
        container.signal(signal.SIGTERM)
        assert container.wait(10) == 0
        assert time.monotonic() - begin < 5


def check_health_of_a_process_that_hangs(image: Image) -> None:
    """the HEALTHCHECK fails while the process hangs, and passes when it goes on"""
    with image.running("--demo") as container:
        eventually(container.healthy, "the HEALTHCHECK passes")
        container.signal(signal.SIGSTOP)
        assert not container.healthy()
        container.signal(signal.SIGCONT)
        assert container.healthy()


def check_health_without_the_exporter(image: Image) -> None:
    """the HEALTHCHECK fails where nothing listens"""
    with image.running(entry_point=[PYTHON, "-c", "import time; time.sleep(60)"]) as container:
        eventually(lambda: container.execute("/bin/true").returncode == 0, "the container runs")
        assert not container.healthy()


def check_health_with_something_else(image: Image) -> None:
    """the HEALTHCHECK fails where something answers, with another status than 200"""
    with image.running(entry_point=[PYTHON, "-m", "http.server", "10042"]) as container:
        connect = "import socket; socket.create_connection(('127.0.0.1', 10042), 1)"
        eventually(lambda: container.execute(PYTHON, "-c", connect).returncode == 0, "it listens")
        assert not container.healthy()


def content(image: Image) -> dict[str, tuple[int, str]]:
    """Mode and digest of what the build adds to the base image."""
    files = [path for path in (image.root / VENV[1:]).rglob("*") if path.is_file() and not path.is_symlink()]
    digests = ((path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)
    return {str(path.relative_to(image.root)): (path.stat().st_mode, digest) for path, digest in digests}


def size(folder: Path) -> float:
    return int(out("du", "--summarize", "--block-size=1K", folder).split()[0]) / 1024


def main() -> None:
    if os.geteuid():
        raise SystemExit("This needs root: debootstrap and namespaces do.")
    with tempfile.TemporaryDirectory(prefix="image-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        buildah = Buildah(folder)
        say("base image …")
        python = build_base(buildah, folder)
        say("image …")
        image = Image(buildah, build_image(buildah, folder, python))
        for check in [check for name, check in globals().items() if name.startswith("check_")]:
            check(image)
            say(f"ok: {check.__doc__}")
        again = Image(buildah, build_image(buildah, folder, python))
        assert content(again) == content(image)
        say("ok: built again, it has the same files")
        whole, own = size(image.root), size(image.root / VENV[1:])
        say(f"size: {whole:.0f} MiB, of which {own:.0f} MiB are not the base image's")


if __name__ == "__main__":
    main()

"""A container of the image, run without a container engine.

Real: the image's configuration and files; a process that is PID 1 in namespaces of its own, with the image's user,
environment and entry point, no capability, no way to new privileges, and a root that is mounted read-only with nothing
writable on it.

Emulated, because it needs neither a container engine nor cgroups: who sets those namespaces up is `unshare` rather than
an OCI runtime, so its seccomp profile and limits of memory and CPU are not tried. The network has the loopback alone.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.image.build import Buildah

VENV = "/opt/exoscale-ai-exporter"
PYTHON = f"{VENV}/bin/python"

ENTER = r"""
set -eu
root=$1 python=$2 user=$3 group=$4
shift 4
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64k,mode=755 devices "$root/dev"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro "$root"
"$python" -I -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))  # SIOCSIFFLAGS: up, running'
exec /usr/sbin/chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$group" --clear-groups \
    --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""
"""Run in new namespaces: leaves the process as a container's, and then becomes the command."""


class Container:
    """A running container: what is executed in it runs as its user, without capabilities, on its read-only root."""

    def __init__(self, image: "Image", process: subprocess.Popen[bytes]) -> None:
        self._image = image
        self._process = process
        (self.pid,) = eventually(lambda: children_of(process.pid), "the container starts")
        eventually(lambda: Path(f"/proc/{self.pid}/root").readlink() == image.root, "the container has its root")

    def execute(self, *command: str, root: bool = False) -> subprocess.CompletedProcess[str]:
        user, group = ("0", "0") if root else self._image.user
        privileges = ["/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"]
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd"]
        return subprocess.run(
            [*enter, *privileges, "--bounding-set=-all", "--inh-caps=-all", *command],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=self._image.environment,
        )

    def healthy(self) -> bool:
        """What the HEALTHCHECK says, within the time that it has."""
        begin = time.monotonic()
        status = self.execute(*self._image.health_check).returncode
        assert time.monotonic() - begin < self._image.health_timeout, "the HEALTHCHECK outlives its own timeout"
        assert status in (0, 1), f"a HEALTHCHECK ends with 0 or 1, not {status}"
        return status == 0

    def get(self, path: str) -> str:
        program = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:10042{path}').read().decode())"
        done = self.execute(PYTHON, "-I", "-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        return self._process.wait(timeout)


class Image:
    """What is in the image and in its configuration."""

    def __init__(self, buildah: Buildah, name: str) -> None:
        self.inspected = buildah("inspect", "--type=image", name)
        self.config = json.loads(self.inspected)["Docker"]["config"]
        self._container = buildah("from", "--pull-never", name)
        self.root = Path(buildah("mount", self._container))
        self.user = tuple(self.config["User"].split(":"))
        self.environment = dict(entry.split("=", 1) for entry in self.config["Env"])
        kind, *self.health_check = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", "the HEALTHCHECK needs a shell"
        self.health_timeout = self.config["Healthcheck"]["Timeout"] / 1e9

    @contextlib.contextmanager
    def running(self, *arguments: str, entry_point: Sequence[str] | None = None) -> Iterator[Container]:
        command = [*(entry_point or self.config["Entrypoint"]), *arguments]
        namespaces = ["--mount", "--propagation=private", "--pid", "--net", "--ipc", "--uts", "--fork"]
        script = ["/bin/sh", "-c", ENTER, "enter", str(self.root), sys.executable, *self.user, *command]
        with tempfile.TemporaryFile() as log:
            unshare = ["/usr/bin/unshare", *namespaces, "--", *script]
            process = subprocess.Popen(unshare, env=self.environment, stdout=log, stderr=log)
            try:
                yield Container(self, process)
            except BaseException:
                log.seek(0)
                sys.stdout.write(log.read().decode())
                raise
            finally:
                # With PID 1 of its namespace, everything in it ends, and then unshare does.
                for child in children_of(process.pid):
                    os.kill(child, signal.SIGKILL)
                process.wait(10)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The entry point as the image's user on the image's files, without namespaces: for what ends at once."""
        change = ["chroot", f"--userspec={':'.join(self.user)}", str(self.root)]
        command = [*change, *self.config["Entrypoint"], *arguments]
        environment = {**self.environment, "PATH": os.environ["PATH"]}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:  # it has ended
        return []


def eventually(condition: Any, claim: str, within: float = 20) -> Any:
    deadline = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not in time: {claim}"
        time.sleep(0.05)
    return result

"""Programs that end-to-end tests need, run as they are."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.harness import eventually, program


@contextmanager
def serving(folder: Path, command: str, *arguments: str) -> Iterator[str]:
    """The URL of a program of Debian's that listens on a free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [program(command), *arguments, f"--web.listen-address={address}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    state = "ready" if command == "prometheus" else "healthy"

    def is_ready() -> bool:
        try:
            return requests.get(f"http://{address}/-/{state}", timeout=1).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        eventually(is_ready, within=30)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()

"""Tells systemd (`Type=notify`) how the service is; silent where it was not started by it. See sd_notify(3)."""

import contextlib
import socket
import time
from collections.abc import Mapping


class Notify:
    """Messages to the socket that `$NOTIFY_SOCKET` names, if it names one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # systemd writes an abstract address with @ for the NUL at its beginning
        self._address = "\0" + name[1:] if name.startswith("@") else name

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """`Type=notify-reload` wants the time too, to match it with its request."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(self._address)
            channel.sendall(message.encode())

"""The command line. Imports what it runs only when it runs it: `--version` and `--help` are quick."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from exporter import __version__
from exporter.errors import ConfigError, ExporterError

DEFAULT_ADDRESS = ":10042"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, where argparse would put the usage of all flags before it."""
        self.exit(2, f"{self.prog}: {message} (--help shows the flags)\n")


def parser() -> argparse.ArgumentParser:
    """The flags, by the names that other Prometheus exporters gave them."""
    flags = _Parser(
        prog="exoscale-ai-exporter",
        description="Prometheus exporter for Exoscale's AI deployments (Dedicated Inference).",
        epilog="Credentials come from the configuration file, or from EXOSCALE_API_KEY and EXOSCALE_API_SECRET.",
        allow_abbrev=False,
    )
    flag = flags.add_argument
    flag("--config.file", dest="config_file", metavar="FILE", type=Path, help="the configuration, in YAML")
    flag("--config.check", dest="config_check", action="store_true", help="validate the configuration and exit")
    _add_web_flags(flags)
    flag("--log.level", dest="log_level", choices=("debug", "info", "warning", "error"), default="info")
    flag("--log.format", dest="log_format", choices=("logfmt", "json"), default="logfmt")
    flag("--once", action="store_true", help="scrape once, print the metrics, exit 0 if every zone was up, else 1")
    flag("--demo", action="store_true", help="run against a built-in simulator of the API, no credentials needed")
    flag(
        "--demo.fault",
        dest="demo_faults",
        metavar="ZONE=FAULT",
        action="append",
        default=[],
        help="a fault of the simulator, may be repeated; it can be changed while it runs, see docs/simulator.md",
    )
    flag("--version", action="version", version=f"exoscale-ai-exporter {__version__}")
    return flags


def _add_web_flags(flags: argparse.ArgumentParser) -> None:
    flag = flags.add_argument
    flag(
        "--web.listen-address",
        dest="listen_addresses",
        metavar="ADDR",
        action="append",
        help=f"host:port to listen on, may be repeated (default {DEFAULT_ADDRESS})",
    )
    flag(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=_path,
        default="/metrics",
        help="path of the metrics (default %(default)s)",
    )
    flag(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        type=Path,
        help="TLS, headers and basic auth, in the format of exporter-toolkit",
    )
    flag(
        "--web.max-requests",
        dest="max_requests",
        metavar="N",
        type=_positive,
        default=40,
        help="scrapes at once, more get a 503 (default %(default)s)",
    )
    flag(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="reload the configuration on POST /-/reload",
    )


def _path(text: str) -> str:
    reserved = ("/", "/-/healthy", "/-/ready", "/-/reload", "/probe", "/sd", "/sd/probes")
    if not text.startswith("/") or text in reserved or any(character in text for character in "{}?# "):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path of its own, such as /metrics")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 2 for wrong usage or configuration, 1 for other failures."""
    flags = parser().parse_args(argv)
    if flags.demo_faults and not flags.demo:
        parser().error("--demo.fault is of use with --demo only")
    flags.listen_addresses = flags.listen_addresses or [DEFAULT_ADDRESS]
    from exporter import service

    try:
        return service.run(flags, os.environ, sys.stdout, sys.stderr)
    except ExporterError as error:
        sys.stderr.write(f"exoscale-ai-exporter: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130

"""Structured logs on one stream: logfmt for people, JSON for machines."""

import logging
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")
_ORDER = ("ts", "level", "msg", "account", "zone", "reason", "error")


def configure(level: str, format: str, stream: TextIO) -> FilteringBoundLogger:
    """Sends what the libraries log to `stream`, and returns the exporter's own logger, which goes there too."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if format == "json"
        else structlog.processors.LogfmtRenderer(key_order=_ORDER, drop_missing=True)
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.getLogger().handlers[:] = [handler]
    # urllib3 tells of each attempt that it repeats; uvicorn and asyncio of each malformed request, which any scanner
    # can send. Bugs are not among it: the application logs them itself.
    for library in ("urllib3", "uvicorn", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING if level == "debug" else logging.CRITICAL)
    own = logging.getLogger("exporter")
    own.setLevel(level.upper())
    logger: FilteringBoundLogger = structlog.wrap_logger(
        own,
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return logger

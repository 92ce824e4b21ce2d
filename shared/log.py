"""Structured logs to stdout. The event name is static snake_case; ids are fields; never a body, an address or a
token. `info`: state changed, `warning`: handled, `error`: act now."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(
    service: str, *, form: Literal["json", "pretty"] = "json", level: str = "info"
) -> None:
    """Set up structlog for this process; call once, before the first log line."""
    renderer: structlog.typing.Processor
    if form == "pretty":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    else:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stdout)


def get() -> structlog.typing.FilteringBoundLogger:
    """A logger; fields are given as keyword arguments."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger

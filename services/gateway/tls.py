"""TLS at the gateway from certificate files, read again on SIGHUP: new connections get the new certificate, open ones
stay. A renewal that can't be used is logged and the certificate before goes on."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from services.gateway.config import GatewayConfig
from shared.errors import Refused

log = structlog.get_logger(__name__)


def context_of(config: GatewayConfig) -> ssl.SSLContext | None:
    """None without a certificate. Raises `Refused` for files that can't be used."""
    if not config.tls_certificate_file and not config.tls_key_file:
        return None
    for name, path in (
        ("CERTIFICATE", config.tls_certificate_file),
        ("KEY", config.tls_key_file),
    ):
        if not path or not Path(path).is_file():
            setting = f"NIGHTDESK_GATEWAY_TLS_{name}_FILE"
            raise Refused(
                f"{setting}: there is no file {path}" if path else f"{setting} is not set"
            )
    try:
        return _loaded(config)
    except (OSError, ssl.SSLError) as err:
        # An SSLError is an OSError, too; its text names the fault and nothing of the key.
        raise Refused(
            "NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE and _TLS_KEY_FILE can't be used together:"
            f" {err.strerror or 'not a certificate and its key'}"
        ) from err


@contextmanager
def read_again_on_hangup(context: ssl.SSLContext | None, config: GatewayConfig) -> Iterator[None]:
    """While the block runs, SIGHUP takes over renewed files. Without any it is heard all the same: what renews
    certificates for several services tells all of them, and must not end the one that has none."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: _read_again(context, config))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _read_again(context: ssl.SSLContext | None, config: GatewayConfig) -> None:
    if context is None:
        log.info("no_certificate_to_renew")
        return
    try:
        # Into another one first: half a renewal must not replace what works.
        _loaded(config)
        context.load_cert_chain(config.tls_certificate_file, config.tls_key_file)
    except (OSError, ssl.SSLError) as err:
        log.error("certificate_not_renewed", kind=type(err).__name__)  # noqa: TRY400 - no bug
        return
    log.info("certificate_renewed")


def _loaded(config: GatewayConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls_certificate_file, config.tls_key_file)
    return context

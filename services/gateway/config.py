"""Every setting of the gateway."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


def _whole(least: int, most: int, text: str) -> msgspec.Meta:
    return msgspec.Meta(ge=least, le=most, description=text)


def _seconds(text: str) -> msgspec.Meta:
    return msgspec.Meta(gt=0, le=31_536_000, description=text)


def _rate(what: str) -> msgspec.Meta:
    return msgspec.Meta(gt=0, le=1e9, description=f"{what} a second; ten seconds of it at once")


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Read as NIGHTDESK_GATEWAY_<NAME>."""

    host: Annotated[str, msgspec.Meta(description="address of REST and WebSocket")] = "127.0.0.1"
    port: Annotated[int, _whole(0, 65_535, "port of REST and WebSocket; 0: any free")] = 8080
    reuse_port: Annotated[
        bool, msgspec.Meta(description="several gateways on one machine share the port")
    ] = False
    processes: Annotated[
        int, _whole(1, 1_000, "gateways that share the load; rate limits are divided by it")
    ] = 1
    public_url: Annotated[
        str, msgspec.Meta(description="address that people see, for documents; empty: as asked")
    ] = ""
    tls_certificate_file: Annotated[
        str, msgspec.Meta(description="PEM file with the certificate chain; empty: no TLS here")
    ] = ""
    tls_key_file: Annotated[
        str, msgspec.Meta(description="PEM file with its key; both are read again on SIGHUP")
    ] = ""
    trusted_proxies: Annotated[
        str,
        msgspec.Meta(
            description="networks of the proxies before the gateway, separated by commas: rate limits count the client"
            " that they name; empty: nobody is believed"
        ),
    ] = ""
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        msgspec.Meta(
            description="where the proxies name the client; they must set it, not pass it on"
        ),
    ] = "x-forwarded-for"
    pool_size: Annotated[int, _whole(1, 100, "connections to PostgreSQL")] = 4

    body_limit_bytes: Annotated[
        int, _whole(65_536, 16_777_216, "largest body of a request that is looked at")
    ] = 262_144
    ack_timeout_s: Annotated[
        float, _seconds("how long a sender waits before it is told unknown")
    ] = 5.0
    ask_timeout_s: Annotated[float, _seconds("how long a question to the store may take")] = 5.0
    questions_at_once: Annotated[
        int, _whole(1, 10_000, "unanswered questions of one kind to the store; others wait")
    ] = 256
    queue_entries: Annotated[int, _whole(100, 1_000_000, "events that may wait for the log")] = (
        20_000
    )
    ids_kept: Annotated[
        int, _whole(1_000, 10_000_000, "acknowledged MessageIDs kept in memory")
    ] = 50_000
    ids_kept_s: Annotated[
        float, _seconds("how long an acknowledged MessageID is kept in memory")
    ] = 600.0
    facts_kept: Annotated[int, _whole(100, 10_000_000, "conversations kept in memory")] = 100_000
    facts_fresh_s: Annotated[
        float, _seconds("how long an agent's right to a conversation is taken from memory")
    ] = 5.0

    hello_timeout_s: Annotated[float, _seconds("time for the first frame")] = 5.0
    ping_s: Annotated[int, _whole(1, 600, "silence before a ping; two of them close a session")] = (
        25
    )
    session_queue_entries: Annotated[
        int, _whole(10, 100_000, "frames that may wait for a slow reader")
    ] = 1_000
    session_queue_bytes: Annotated[
        int, _whole(65_536, 268_435_456, "bytes that may wait for a slow reader")
    ] = 1_048_576
    window_first: Annotated[int, _whole(1, 100_000, "entries unacknowledged at first")] = 500
    window_most: Annotated[int, _whole(1, 100_000, "entries unacknowledged at most")] = 2_000
    sends_in_flight: Annotated[int, _whole(1, 10_000, "unanswered sends of one session")] = 64
    faults_allowed: Annotated[
        int, _whole(1, 10_000, "refused frames before a session is closed")
    ] = 20
    catch_up_readers: Annotated[int, _whole(1, 1_000, "inboxes read at the same time")] = 16
    receipts_flush_s: Annotated[float, _seconds("how long receipts are collected")] = 0.1
    changes_flush_s: Annotated[
        float, _seconds("how often a large desk is told of list changes")
    ] = 1.0
    beat_s: Annotated[float, _seconds("how often presence hears of the open connections")] = 5.0
    looks_again_s: Annotated[
        float, _seconds("how often gateways tell each other again who looks at which conversation")
    ] = 10.0
    hint_silence_s: Annotated[
        float, _seconds("silence of the store before inboxes are checked")
    ] = 3.0
    alert_for_s: Annotated[float, _seconds("how old an entry may be that makes a device heard")] = (
        120.0
    )
    drain_s: Annotated[float, _seconds("time to finish when the process is told to stop")] = 10.0
    come_back_s: Annotated[
        float, _seconds("sessions come back within this time after a restart")
    ] = 5.0

    access_token_s: Annotated[int, _whole(1, 86_400, "life of an agent's access token")] = 900
    refresh_token_s: Annotated[int, _whole(60, 31_536_000, "life of a refresh token")] = 2_592_000
    visitor_token_s: Annotated[int, _whole(60, 315_360_000, "life of a visitor's token")] = (
        15_552_000
    )

    visitor_per_s: Annotated[float, _rate("requests and frames of one visitor")] = 20
    account_per_s: Annotated[float, _rate("requests and frames of one account")] = 20_000
    address_per_s: Annotated[float, _rate("requests from one address")] = 1_000
    arrivals_per_s: Annotated[float, _rate("visitors who arrive from one address")] = 200
    sign_ins_per_s: Annotated[float, _rate("passwords tried from one address")] = 30

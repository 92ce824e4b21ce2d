"""Every metric of the gateway's sessions, commits and deliveries."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

SESSIONS = Gauge("nightdesk_gateway_sessions", "Open WebSocket sessions, by kind.", ["kind"])
FRAMES = Counter(
    "nightdesk_gateway_frames_total", "Frames from clients, by op and result.", ["op", "result"]
)
SENT = Counter("nightdesk_gateway_sent_frames_total", "Frames handed to clients, by op.", ["op"])
CLOSED = Counter(
    "nightdesk_gateway_closes_total", "Sessions closed by the gateway, by code.", ["code"]
)
APPENDED = Counter(
    "nightdesk_gateway_appended_total",
    "Events given to the log, by family and result.",
    ["family", "result"],
)
COMMIT_SECONDS = Histogram(
    "nightdesk_gateway_commit_seconds",
    "From accepting a message to its durable answer; of those answered in the same millisecond one, the oldest.",
    buckets=_FAST,
)
REPEATS = Counter(
    "nightdesk_gateway_repeats_total",
    "Messages sent again, by where that was found out.",
    ["found"],
)
ASK_SECONDS = Histogram(
    "nightdesk_gateway_ask_seconds",
    "Questions to the store, by query and result, with what they waited for their turn.",
    ["query", "result"],
    buckets=_FAST,
)
QUESTIONS_WAITING = Gauge(
    "nightdesk_gateway_questions_waiting",
    "Questions that wait for their turn, by query.",
    ["query"],
)
HINTS = Counter("nightdesk_gateway_hints_total", "Hints of the store, by result.", ["result"])
GAPS = Counter(
    "nightdesk_gateway_hint_gaps_total",
    "Times that hints may have been missed, by reason.",
    ["reason"],
)
CATCH_UPS = Counter(
    "nightdesk_gateway_catch_up_reads_total",
    "Inbox pages read for sessions, by result.",
    ["result"],
)
ENTRIES = Counter("nightdesk_gateway_entries_total", "Inbox entries handed over, by way.", ["way"])
DELIVERY_SECONDS = Histogram(
    "nightdesk_gateway_delivery_seconds",
    "From the log's time of a message to its hand-over, live ones; of each commit the oldest.",
    buckets=_FAST,
)
ALERTS = Counter(
    "nightdesk_gateway_alerts_total",
    "Alerts told apart from entries: the lock moved to the device, or it answered too late.",
    ["why"],
)
BLOCKED = Gauge(
    "nightdesk_gateway_blocked_sessions", "Sessions whose client reads more slowly than we write."
)
LOOKERS = Gauge(
    "nightdesk_gateway_lookers", "Connections known to have a conversation open, at all gateways."
)
UNDECRYPTABLE = Counter("nightdesk_gateway_undecryptable_total", "Texts that no key opened.")
RECEIPTS = Counter(
    "nightdesk_gateway_receipts_total", "Receipts from clients, by result.", ["result"]
)
REQUESTS = Counter(
    "nightdesk_gateway_requests_total", "REST requests, by route and status.", ["route", "result"]
)
REQUEST_SECONDS = Histogram(
    "nightdesk_gateway_request_seconds",
    "From a REST request's head to its answer.",
    ["route"],
    buckets=_FAST,
)

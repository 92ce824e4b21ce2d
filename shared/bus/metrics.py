"""Every metric of the bus, declared once; labels come from closed sets, never from ids."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONNECTS = Counter(
    "nightdesk_bus_reconnects_total", "Connections to NATS made again after a loss."
)
DROPPED = Counter(
    "nightdesk_bus_core_dropped_total",
    "Core NATS messages not sent because the connection was down.",
)
APPENDED = Counter(
    "nightdesk_bus_appended_total", "Entries appended to the log, by result.", ["result"]
)
ATTEMPTS = Counter(
    "nightdesk_bus_attempts_total",
    "Attempts to append a group, by form (plain, batch) and outcome.",
    ["form", "outcome"],
)
COMMIT_SECONDS = Histogram(
    "nightdesk_bus_commit_seconds",
    "Time from handing a group to the server to its definite answer.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
)
GROUP_ENTRIES = Histogram(
    "nightdesk_bus_group_entries",
    "Entries in a committed group.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000),
)
QUEUED = Gauge("nightdesk_bus_queued_entries", "Entries that wait for their group.")
FILL = Gauge("nightdesk_bus_stream_fill_ratio", "Bytes in the stream as a part of its size limit.")
FENCED = Counter(
    "nightdesk_bus_fenced_appends_total", "Appends to fenced families, by outcome.", ["outcome"]
)
DELIVERED = Counter("nightdesk_bus_delivered_total", "Deliveries handed to a reader's caller.")
CURSORS = Counter(
    "nightdesk_bus_cursors_total", "Consumers made by readers, by reason.", ["reason"]
)
LAG = Gauge(
    "nightdesk_bus_reader_lag_entries", "Entries between the reader and the end of the log."
)

"""Every metric of the store."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter(
    "nightdesk_store_events_total",
    "Events of the log by what became of them: folded, repeat, clash, quarantined.",
    ["result"],
)
BATCHES = Counter(
    "nightdesk_store_batches_total",
    "Batches by outcome: committed, fenced (somebody else leads), retried, halved.",
    ["result"],
)
BATCH_SECONDS = Histogram(
    "nightdesk_store_batch_seconds",
    "From the first event of a batch in hand to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LAG_POSITIONS = Gauge("nightdesk_store_lag_positions", "Events of the log that are not committed.")
LAG_SECONDS = Gauge(
    "nightdesk_store_lag_seconds",
    "While more waits: the log's clock less the time of the last event in hand. Alert from 10 on.",
)
LEADING = Gauge("nightdesk_store_leading", "1 while this process writes, 0 while it stands by.")
HINTS = Counter(
    "nightdesk_store_hints_total",
    "Hints sent: full, incomplete (over the size, or the store was far behind), empty, failed.",
    ["result"],
)
QUERIES = Counter(
    "nightdesk_store_queries_total",
    "Questions by name and status of the answer; late: the asker had gone, and got none.",
    ["name", "status"],
)
READS = Counter(
    "nightdesk_store_reads_total",
    "Statements for questions that are read together, by name.",
    ["name"],
)
QUERY_SECONDS = Histogram(
    "nightdesk_store_query_seconds",
    "From a question's arrival to its answer.",
    ["name"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

FOLDED = EVENTS.labels("folded")
REPEATS = EVENTS.labels("repeat")
CLASHES = EVENTS.labels("clash")
QUARANTINED = EVENTS.labels("quarantined")
COMMITTED = BATCHES.labels("committed")
FENCED = BATCHES.labels("fenced")
RETRIED = BATCHES.labels("retried")
HALVED = BATCHES.labels("halved")

"""Every metric of presence."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

STEPS = Counter("nightdesk_presence_steps_total", "Looks at what to record, by outcome", ["result"])
RECORDED = Counter("nightdesk_presence_recorded_total", "Events appended, by type", ["event"])
BEATS = Counter(
    "nightdesk_presence_beats_total", "Batches heard from gateways, by outcome", ["result"]
)
FOLDED = Counter("nightdesk_presence_folded_total", "Deliveries folded, by outcome", ["result"])
REFRESHES = Counter(
    "nightdesk_presence_refreshes_total", "Times that everybody got a full new lease", ["why"]
)
LOCK_MOVES = Counter(
    "nightdesk_presence_lock_moves_total", "Moves of agents' alert locks, by reason", ["why"]
)
ASKED = Counter("nightdesk_presence_asked_total", "Questions and wishes, by outcome", ["result"])
LAG = Gauge("nightdesk_presence_lag_events", "Events of the log not folded yet")
IS_ACTIVE = Gauge("nightdesk_presence_is_active", "1 for the writer, 0 for a standby")

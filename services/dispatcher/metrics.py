"""Every metric of the dispatcher."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

FOLDED = Counter("nightdesk_dispatcher_folded_total", "Deliveries folded, by outcome", ["result"])
ASKED = Counter("nightdesk_dispatcher_asked_total", "Questions for a place, by outcome", ["result"])
RECALLED = Counter(
    "nightdesk_dispatcher_recalled_total", "Past decisions made again, by outcome", ["result"]
)
STEPS = Counter("nightdesk_dispatcher_steps_total", "Rounds, by outcome", ["result"])
DECIDED = Counter("nightdesk_dispatcher_decided_total", "Decisions drafted, by event", ["event"])
ROUND = Histogram(
    "nightdesk_dispatcher_round_seconds",
    "Time to decide one round",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)
LAG = Gauge("nightdesk_dispatcher_lag_events", "Events of the log not folded yet")
WAITING = Gauge("nightdesk_dispatcher_waiting", "Conversations that wait for an owner")
LIMBO = Gauge(
    "nightdesk_dispatcher_limbo",
    "Unanswered conversations without owner and without a record in a queue, at the log's end; must be 0",
)
IS_ACTIVE = Gauge("nightdesk_dispatcher_is_active", "1 for the writer, 0 for a standby")
HINTS = Counter(
    "nightdesk_dispatcher_hints_total", "Hints of the store heard, by outcome", ["result"]
)
WAITED = Histogram(
    "nightdesk_dispatcher_waited_seconds",
    "How long conversations waited for an owner, by priority",
    ["priority"],
    buckets=(0.1, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200),
)
ACKNOWLEDGED = Histogram(
    "nightdesk_dispatcher_acknowledged_seconds",
    "From an assignment to its acknowledgement by a device; what the pace of agents follows",
    buckets=(0.05, 0.1, 0.3, 1, 2, 5, 10, 20, 45, 90),
)
AGENTS = Gauge(
    "nightdesk_dispatcher_agents",
    "Agents by what keeps them from being given more; pace and silent wait for acknowledgements",
    ["standing"],
)
WINDOW = Gauge(
    "nightdesk_dispatcher_pace_window",
    "How many unacknowledged assignments connected agents may have",
    ["over_agents"],
)
SPREAD = Gauge(
    "nightdesk_dispatcher_load_spread_ratio",
    "Difference in load between the most and the least loaded available agent of a team, over all teams",
    ["over_teams"],
)

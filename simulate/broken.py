"""A broken promise: which rule, in what words, and about whom, so that the trace can be cut to it. Every look at a rule is
counted, so that a run can say what it has not tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

RULES = {
    "capacity": "nobody is given more than they can hold, in all or of one channel",
    "pace": "nobody is given more at once than they acknowledge",
    "candidate": "only agents who exist, are here and available, in the team and skilled are given anything",
    "manual": "what agents claim by themselves is not handed out",
    "kept": "what is kept for the agent whom its visitor knows goes to nobody else",
    "barred": "who let a conversation lie or gave it back is not asked again at once",
    "best_agent": "of those who could take it the best gets it: previous agent, then the strategy's order, then the id",
    "explained": "the runners-up and the number that fell to each rule are told as they are",
    "oldest_first": "priority with ageing, then oldest first, among what the agent could take",
    "old_place": "what returns keeps its old place",
    "two_owners": "never two owners",
    "wish_once": "every wish is answered once, in the order in which they came",
    "wish_refused": "a wish is refused only for a reason",
    "answered": "who answers what nobody has gets it",
    "wake": "what was put off wakes at its time",
    "limbo": "every unanswered conversation has an owner or a place in a queue on record",
    "next_action": "for everything that will fall due the dispatcher has planned to look in time",
    "lease": "an assignment that nobody acknowledges returns when its lease ends; nothing is judged by lost evidence",
    "offline_return": "unanswered conversations leave an owner who is away after the policy's time",
    "agent_removed": "nothing stays with an agent who was removed",
    "team_removed": "nothing waits in the queue of a team that was removed",
    "deadline": "reminder, reassignment, escalation and end of a case come at their moment, in the policy's time",
    "deadline_once": "each deadline is acted on once",
    "fallback": "another team is asked when the policy says so",
    "idle": "nobody is free while something waits that they could take",
    "agree": "dispatcher, store and ledger agree about every conversation; each MessageID counts once",
    "conditions": "of the rules on pages and contacts those count that are met, by the page and the contact as they are",
    "merged": "the conversations of a merged contact are the other's, in the store too",
    "crossed": "an answer that crossed a colleague's is marked, no other is",
    "message_once": "each MessageID is given to an inbox once",
    "inbox_chain": "each entry of an inbox names the one before it",
    "quarantine": "the store can read and place everything",
    "log_end": "nothing is decided before the log's end",
    "restart": "a process that restarts anywhere has the same state and decides the same",
    "refold": "the store is the same for any split of the log into batches",
    "clock": "no decision asks the machine for time or chance",
    "end": "decisions come to an end",
    "trigger": "every decision names a reason that exists",
    "flap": "nobody goes offline who is connected or was within the grace period",
    "offline": "nobody stays online who is long gone",
    "online": "who is connected is online",
    "primary": "one of the devices that are online is the primary one",
    "one_alert": "a message rings on one device, and on at most one more for each recorded move of the lock",
    "answered_alert": "while the device that rang is there and everything runs, no other one rings",
    "alerted": "an alert is never lost: as long as it is young, somebody who is there to be told is told",
    "fence": "the fencing number grows by one with every move",
}
"""Every promise that is judged."""
judged: Counter[str] = Counter()
"""How often each rule was looked at in this process."""


class Broken(AssertionError):
    """Raised where it is seen."""

    def __init__(self, rule: str, text: str, about: tuple[str, ...] = ()) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.about = about


def require(
    holds: bool,  # noqa: FBT001 - an assertion
    rule: str,
    text: str | Callable[[], str],
    about: tuple[str, ...] = (),
) -> None:
    """Nothing if it holds."""
    judged[rule] += 1
    if not holds:
        raise Broken(rule, text if isinstance(text, str) else text(), about)

"""What the simulator's judge keeps of one conversation and of one agent."""

from __future__ import annotations

from shared import events as e
from shared.ids import AgentId, ConversationId, TeamId
from simulate.books import Kind

NEVER = 2**62
Place = tuple[int, ConversationId]


class Talk:
    """A conversation. `waits`: unanswered positions with their times. `place`: where it stands while nothing is
    unanswered. `barred`: who is not asked again, from when on, and the receipt that lifts it. `opened`: since when
    the case is open. `asked`: fallback teams that were asked for the wait `asked_since`, of which the first
    `asked_past` had their chance before somebody wished for a team. `moved`, `moved_by`:
    where a wish last moved it, and whose. `met`: conditions that it meets, as judged at `met_at`."""

    def __init__(self, event: e.ConversationStarted) -> None:
        self.id = event.conversation_id
        self.inbox_id = event.inbox_id
        self.contact_id = event.contact_id
        self.language = event.language
        self.channel = event.channel
        self.priority = event.priority
        self.phase = "active"
        self.until_ns = 0
        self.owner: AgentId | None = None
        self.team_id: TeamId | None = None
        self.waits: list[tuple[int, int]] = []
        self.last_answer = 0
        self.last_answerer: AgentId | None = None
        self.answerer: AgentId | None = None
        self.assigned = 0
        self.assigned_ns = 0
        self.lease_s = 0
        self.on_record = False
        self.place = 0
        self.place_ns = 0
        self.opened = 0
        self.opened_ns = 0
        self.wanted: TeamId | None = None
        self.asked: list[TeamId] = []
        self.asked_since = 0
        self.asked_past = 0
        self.moved = 0
        self.moved_by = ""
        self.wishes: list[e.AssignmentRequested | e.ClaimRequested] = []
        self.wish_positions: list[int] = []
        self.barred: AgentId | None = None
        self.barred_ns = 0
        self.barred_until = 0
        self.labels: set[str] = set()
        self.page = event.page.decode()
        self.met: set[str] = set()
        self.met_at = 0
        self.known: tuple[tuple[Kind, str], Place] | None = None

    @property
    def since(self) -> int:
        """Its place among those of its priority."""
        return self.waits[0][0] if self.waits else self.place

    @property
    def since_ns(self) -> int:
        """The time of that place."""
        return self.waits[0][1] if self.waits else self.place_ns

    @property
    def asked_now(self) -> tuple[TeamId, ...]:
        """Fallback teams whose members may take it too."""
        return tuple(self.asked[self.asked_past :]) if self.asked_since == self.since else ()

    @property
    def is_waiting(self) -> bool:
        """Whether it needs an owner."""
        return self.phase == "active" and not self.owner and (self.on_record or bool(self.waits))

    def bar(self, agent_id: AgentId | None, at_ns: int, until: int) -> None:
        """Do not ask this agent again for a while."""
        if agent_id is not None:
            self.barred, self.barred_ns, self.barred_until = agent_id, at_ns, until

    def change_status(self, event: e.StatusChanged, position: int, at_ns: int) -> None:
        """Opened again, put off or ended by hand."""
        left = [wait for wait in self.waits if wait[0] > event.seen_up_to]
        match event.status:
            case "open":
                self.phase, self.until_ns = "active", 0
                self.waits = self.waits or [(position, at_ns)]
            case "snoozed" if not left:
                self.phase, self.until_ns = "snoozed", event.until_ns
            case "resolved":
                self.waits = left
                if not left:
                    self.phase, self.owner = "resolved", None
            case _:
                pass

    def wake(self, position: int, at_ns: int) -> None:
        """What is handed on while it is put off has to be looked at."""
        if self.phase == "snoozed":
            self.phase, self.until_ns = "active", 0
            self.waits = self.waits or [(position, at_ns)]


class Person:
    """An agent as the log has them. `turn`: the last conversation given to them. `idle`: where one last came or
    left. `speed`: their pace in eighths. `lapsed`: the assignment whose lease lapsed without a sign of life since."""

    def __init__(self) -> None:
        self.devices: set[str] = set()
        self.primary: str | None = None
        self.fence = 0
        self.availability = "online"
        self.received = 0
        self.speed = 8
        self.lapsed = 0
        self.left = 0
        self.left_ns = 0
        self.turn = 0
        self.idle = 0
        self.owned: set[ConversationId] = set()

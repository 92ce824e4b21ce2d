"""What must hold of the folded state, checked by tests after every step and exported as a gauge."""

from __future__ import annotations

from services.dispatcher.decide.world import World


def faults(world: World) -> list[str]:
    """Sentences about what is wrong; empty when nothing is. To be asked at the log's end, with nothing to decide."""
    found = []
    for account_id, office in world.state.offices.items():
        floor = world.floor(account_id)
        for conversation_id, track in office.tracks.items():
            conversation = track.conversation
            if track.is_waiting and not track.is_queued:
                found.append(f"{conversation_id} is in limbo: unanswered, no owner, no queue")
            if conversation.agent_id is not None and track.is_queued:
                found.append(f"{conversation_id} has an owner and a place in a queue")
            if set(track.times) != set(conversation.unanswered):
                found.append(f"{conversation_id} has waits without a time")
        for agent_id, holding in floor.holdings.items():
            if holding.held > len(holding.owned) or len(holding.unacknowledged) > len(
                holding.owned
            ):
                found.append(f"{agent_id} is counted wrongly")
    return found

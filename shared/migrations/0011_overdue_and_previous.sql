-- What is late, folded from what the dispatcher put on record, for lists and counts. `late`: 1 the answer's deadline was
-- missed, 2 that is escalated, 4 the case's deadline was missed, 8 that is escalated. `last_resolved`: what was late of
-- the case before counts no more. Deadlines missed before this are shown after `nightdesk rebuild`.
ALTER TABLE projection.conversations ADD COLUMN late bigint NOT NULL DEFAULT 0;
ALTER TABLE projection.conversations ADD COLUMN last_resolved bigint NOT NULL DEFAULT 0;
CREATE INDEX conversations_late ON projection.conversations (account_id, version) WHERE late > 0;

ALTER TABLE projection.conversation_tallies ADD COLUMN overdue bigint NOT NULL DEFAULT 0;
ALTER TABLE projection.conversation_tallies ADD COLUMN escalated bigint NOT NULL DEFAULT 0;

-- What an agent held last: the list read every conversation of the account, newest first, until it had a page.
CREATE INDEX conversations_of_previous ON projection.conversations (account_id, previous_agent_id, version)
    WHERE previous_agent_id IS NOT NULL;

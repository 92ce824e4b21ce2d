-- Questions that cost more the more an account has had: counting its conversations, and lists by a filter that few
-- conversations pass.
CREATE TABLE projection.conversation_counts (
    account_id uuid PRIMARY KEY,
    queued     bigint NOT NULL,
    open       bigint NOT NULL,
    replied    bigint NOT NULL,
    snoozed    bigint NOT NULL,
    resolved   bigint NOT NULL
);
INSERT INTO projection.conversation_counts
SELECT account_id,
    count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'open'),
    count(*) FILTER (WHERE status = 'replied'), count(*) FILTER (WHERE status = 'snoozed'),
    count(*) FILTER (WHERE status = 'resolved')
FROM projection.conversations GROUP BY account_id;

CREATE INDEX conversations_by_status ON projection.conversations (account_id, status, version);
CREATE INDEX conversations_of_team ON projection.conversations (account_id, team_id, version) WHERE team_id IS NOT NULL;
CREATE INDEX conversations_by_time ON projection.conversations (account_id, updated_ns);
CREATE INDEX conversations_by_label ON projection.conversations USING gin (labels) WHERE labels <> '{}';
CREATE INDEX conversations_unassigned ON projection.conversations (account_id, version)
    WHERE agent_id IS NULL AND waiting_since > 0;

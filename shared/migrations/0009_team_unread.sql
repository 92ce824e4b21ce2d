-- How many conversations there are is asked by every screen after every change: counted by what lists show and what
-- decides who may see them, so that an answer reads a few rows however many conversations there are.
ALTER TABLE projection.conversations ADD COLUMN desk_read bigint NOT NULL DEFAULT 0;
UPDATE projection.conversations c SET desk_read = r.read FROM (
    SELECT account_id, conversation_id, max(read) AS read FROM projection.receipts
    WHERE recipient_kind = 'agent' AND read > 0 GROUP BY account_id, conversation_id
) r WHERE r.account_id = c.account_id AND r.conversation_id = c.conversation_id;

-- `team_id` is all zeros where no team has the conversation. A row that would count none is not there.
CREATE TABLE projection.conversation_tallies (
    account_id    uuid NOT NULL,
    inbox_id      uuid NOT NULL,
    team_id       uuid NOT NULL,
    status        text COLLATE "C" NOT NULL,
    is_held       boolean NOT NULL,
    conversations bigint NOT NULL,
    unread        bigint NOT NULL,
    PRIMARY KEY (account_id, inbox_id, team_id, status, is_held)
);
INSERT INTO projection.conversation_tallies
SELECT account_id, inbox_id, coalesce(team_id, '00000000-0000-0000-0000-000000000000'), status, agent_id IS NOT NULL,
    count(*), count(*) FILTER (WHERE phase = 'active' AND unanswered[cardinality(unanswered)] > desk_read)
FROM projection.conversations GROUP BY 1, 2, 3, 4, 5;
DROP TABLE projection.conversation_counts;

-- Which request an Idempotency-Key was first used for, so that another one under it is refused at every gateway.
-- `digest` is a hash of method, path and body; `position`: where it was done, NULL as long as nobody knows.
-- Rows of more than a day are dropped; losing the table loses only that memory.
CREATE TABLE folded.request_keys (
    account_id uuid NOT NULL,
    asker_id   text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    digest     bytea NOT NULL,
    position   bigint,
    made_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, asker_id, key)
);
CREATE INDEX request_keys_by_age ON folded.request_keys (made_at);

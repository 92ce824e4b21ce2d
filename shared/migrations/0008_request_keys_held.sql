-- The memory of Idempotency-Keys begins anew: older rows hold plain hashes of what people wrote, which anybody who
-- guesses a short text could check. What a repeat of these requests finds is that nobody knows it: carried out again.
TRUNCATE folded.request_keys;
COMMENT ON COLUMN folded.request_keys.digest IS 'keyed hash of path and body';
-- Who carries the request out now, and until when others wait for it.
ALTER TABLE folded.request_keys ADD COLUMN holder uuid;
ALTER TABLE folded.request_keys ADD COLUMN held_until timestamptz NOT NULL DEFAULT '-infinity';

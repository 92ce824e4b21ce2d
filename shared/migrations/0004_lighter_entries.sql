-- An inbox holds a message once because `message_ids` gives each MessageID one position and the key of `entries` each
-- position one entry. The index that said it a third time was a fifth of what a message costs here (ADR 0013).
DROP INDEX projection.entries_once;

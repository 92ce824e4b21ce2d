-- Lists of what a rare inbox or a rare channel has: without it they read every conversation of the account. A list by
-- channel alone skips from inbox to inbox.
CREATE INDEX conversations_by_inbox ON projection.conversations (account_id, inbox_id, channel, version);

-- Two schemas. `truth` can't be rebuilt and is in every backup: the log's memory, who used which MessageID, keys and
-- credentials. `projection` is folded from `truth.events` and may be dropped at any time; its tables are reached by
-- search_path, so that the same statements fold into another schema when it is rebuilt or verified.
--
-- Times are nanoseconds since 1970 (bigint) because a log time must come back exactly; `events.at` is only there to
-- partition by. Bodies, names and profiles are ciphertext.

CREATE SCHEMA truth;
CREATE SCHEMA projection;

-- ---------------------------------------------------------------- truth

CREATE TABLE truth.installation (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO truth.installation VALUES ('installation_id', gen_random_uuid()::text);

-- A unique key of a partitioned table must hold the partition column, so `at` is the last column of this one.
-- One position can't appear twice all the same: only the holder of the checkpoint appends, and it moves forward.
CREATE TABLE truth.events (
    shard           text COLLATE "C" NOT NULL,
    position        bigint NOT NULL,
    at              timestamptz NOT NULL,
    at_ns           bigint NOT NULL,
    family          text COLLATE "C" NOT NULL,
    account_id      uuid,
    conversation_id uuid,
    message_id      uuid,
    subject         text COLLATE "C" NOT NULL,
    payload         bytea NOT NULL,
    digest          bytea NOT NULL,
    PRIMARY KEY (shard, position, at)
) PARTITION BY RANGE (at);
-- Ciphertext doesn't compress; trying costs time.
ALTER TABLE truth.events ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX events_of_conversation ON truth.events (account_id, conversation_id, position)
    WHERE conversation_id IS NOT NULL;

-- A month's partition, made ahead of its time or when the first event of that month comes.
CREATE FUNCTION truth.make_events_partition(of_day timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamp := date_trunc('month', of_day AT TIME ZONE 'UTC');
    name text := 'events_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF to_regclass('truth.' || name) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS truth.%I PARTITION OF truth.events FOR VALUES FROM (%L) TO (%L)',
            name, first_day AT TIME ZONE 'UTC', (first_day + interval '1 month') AT TIME ZONE 'UTC'
        );
    END IF;
END $$;

-- One MessageID is one message for ever: never partitioned, never purged.
CREATE TABLE truth.message_ids (
    account_id  uuid NOT NULL,
    message_id  uuid NOT NULL,
    position    bigint NOT NULL,
    fingerprint bytea NOT NULL,
    PRIMARY KEY (account_id, message_id)
);

CREATE TABLE truth.quarantine (
    shard       text NOT NULL,
    position    bigint NOT NULL,
    at_ns       bigint NOT NULL,
    subject     text NOT NULL,
    reason      text NOT NULL,
    account_id  uuid,
    payload     bytea NOT NULL,
    PRIMARY KEY (shard, position)
);

-- Wrapped data keys, committed before their first use; `created` orders them, the newest data key seals.
CREATE TABLE truth.keys (
    account_id uuid NOT NULL,
    key_id     uuid NOT NULL,
    purpose    text NOT NULL CHECK (purpose IN ('data', 'fingerprint')),
    wrapped    bytea NOT NULL,
    created    bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key_id)
);
CREATE UNIQUE INDEX one_fingerprint_key ON truth.keys (account_id) WHERE purpose = 'fingerprint';

-- Passwords, refresh families, API keys, identity secrets. `lookup` is how a caller finds the row without knowing the
-- account (a keyed hash or a public id), `secret` is a hash or ciphertext, never the thing itself.
CREATE TABLE truth.credentials (
    kind       text NOT NULL,
    lookup     text COLLATE "C" NOT NULL,
    account_id uuid NOT NULL,
    subject_id text NOT NULL,
    secret     bytea NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}',
    generation bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (kind, lookup)
);
CREATE INDEX credentials_of_subject ON truth.credentials (account_id, subject_id, kind);

-- ---------------------------------------------------------------- projection

-- `leader` and `beat` say which store writes now; they are a lease by this server's clock, not part of the fold.
CREATE TABLE projection.checkpoint (
    shard    text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    digest   bytea,
    epoch    text NOT NULL,
    at_ns    bigint NOT NULL DEFAULT 0,
    leader   text NOT NULL DEFAULT '',
    beat     timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE TABLE projection.conversations (
    account_id           uuid NOT NULL,
    conversation_id      uuid NOT NULL,
    inbox_id             uuid NOT NULL,
    contact_id           uuid NOT NULL,
    channel              text NOT NULL,
    language             text NOT NULL,
    priority             text NOT NULL,
    status               text NOT NULL,
    phase                text NOT NULL,
    team_id              uuid,
    agent_id             uuid,
    previous_agent_id    uuid,
    last_answer_agent_id text,
    started              bigint NOT NULL,
    assigned             bigint NOT NULL,
    snoozed_until_ns     bigint NOT NULL,
    waiting_since        bigint NOT NULL,
    last_message         bigint NOT NULL,
    last_entry           bigint NOT NULL,
    last_answer          bigint NOT NULL,
    rating               bigint NOT NULL,
    last_seq             bigint NOT NULL,
    version              bigint NOT NULL,
    created_ns           bigint NOT NULL,
    updated_ns           bigint NOT NULL,
    labels               text[] NOT NULL,
    unanswered           bigint[] NOT NULL,
    unanswered_ns        bigint[] NOT NULL,
    PRIMARY KEY (account_id, conversation_id)
);
CREATE INDEX conversations_by_change ON projection.conversations (account_id, version);
CREATE INDEX conversations_of_contact ON projection.conversations (account_id, contact_id);
CREATE INDEX conversations_of_agent ON projection.conversations (account_id, agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX conversations_waiting ON projection.conversations (account_id, waiting_since) WHERE waiting_since > 0;

CREATE TABLE projection.contacts (
    account_id       uuid NOT NULL,
    contact_id       uuid NOT NULL,
    inbox_id         uuid NOT NULL,
    is_identified    boolean NOT NULL,
    profile_revision bigint NOT NULL,
    created_ns       bigint NOT NULL,
    merged_into      uuid,
    profile          bytea NOT NULL,
    PRIMARY KEY (account_id, contact_id)
);

CREATE TABLE projection.messages (
    account_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    message_id      uuid NOT NULL,
    device_id       uuid,
    seq             bigint NOT NULL,
    position        bigint NOT NULL,
    at_ns           bigint NOT NULL,
    seen_up_to      bigint NOT NULL,
    revision        bigint NOT NULL,
    automatic       boolean NOT NULL,
    crossed         boolean NOT NULL,
    retracted       boolean NOT NULL,
    unreadable      boolean NOT NULL,
    id_clash        boolean NOT NULL,
    author_kind     text NOT NULL,
    author_id       text NOT NULL,
    content_type    text NOT NULL,
    body            bytea NOT NULL,
    PRIMARY KEY (account_id, conversation_id, seq)
);
ALTER TABLE projection.messages ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX messages_by_id ON projection.messages (account_id, message_id);

CREATE TABLE projection.notes (
    account_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    note_id         uuid NOT NULL,
    position        bigint NOT NULL,
    at_ns           bigint NOT NULL,
    author_kind     text NOT NULL,
    author_id       text NOT NULL,
    body            bytea NOT NULL,
    PRIMARY KEY (account_id, note_id)
);
CREATE INDEX notes_of_conversation ON projection.notes (account_id, conversation_id, position);

-- An inbox is a chain: `prev` is the position of the entry before, `about_id` the message or note. The bucket index answers "which inboxes moved
-- since" for a gateway in one range read and costs an append at its right edge, where a table of heads would cost
-- a row version per message.
CREATE TABLE projection.entries (
    owner_id        uuid NOT NULL,
    account_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    about_id        uuid,
    position        bigint NOT NULL,
    prev            bigint NOT NULL,
    at_ns           bigint NOT NULL,
    from_seq        bigint NOT NULL,
    to_seq          bigint NOT NULL,
    bucket          smallint NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    PRIMARY KEY (owner_id, position)
);
CREATE UNIQUE INDEX entries_once ON projection.entries (owner_id, about_id) WHERE kind = 'message';
CREATE INDEX entries_by_bucket ON projection.entries (bucket, position) INCLUDE (owner_id);

-- What an agent's inbox was given of a conversation before the agent lost it, so a range is given once.
CREATE TABLE projection.holdings (
    owner_id         uuid NOT NULL,
    account_id       uuid NOT NULL,
    conversation_id  uuid NOT NULL,
    given_up_to_seq  bigint NOT NULL,
    held             boolean NOT NULL,
    PRIMARY KEY (owner_id, conversation_id)
);

CREATE TABLE projection.receipts (
    account_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    received        bigint NOT NULL,
    read            bigint NOT NULL,
    position        bigint NOT NULL,
    bucket          smallint NOT NULL,
    recipient_kind  text NOT NULL,
    recipient_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, conversation_id, recipient_id)
);
CREATE INDEX receipts_by_bucket ON projection.receipts (bucket, position);

CREATE TABLE projection.devices_received (
    account_id uuid NOT NULL,
    owner_id   uuid NOT NULL,
    device_id  uuid NOT NULL,
    up_to      bigint NOT NULL,
    PRIMARY KEY (owner_id, device_id)
);

CREATE TABLE projection.primary_devices (
    account_id uuid NOT NULL,
    agent_id   uuid NOT NULL,
    device_id  uuid,
    fence      bigint NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (account_id, agent_id)
);

-- What readers of the log have folded, so that they need not read it from the start. May be lost at any time.
CREATE SCHEMA folded;
CREATE TABLE folded.snapshots (
    service  text COLLATE "C" NOT NULL,
    shard    text COLLATE "C" NOT NULL,
    version  integer NOT NULL,
    position bigint NOT NULL,
    digest   bytea NOT NULL,
    state    bytea NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, shard)
);
ALTER TABLE folded.snapshots ALTER COLUMN state SET STORAGE EXTERNAL;

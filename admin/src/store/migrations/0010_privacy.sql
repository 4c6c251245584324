-- What of personal data was removed, and what is still to be erased.

-- One row: what the click archive no longer holds. What was counted of it stays counted.
CREATE TABLE click_archive (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    -- Frames before this one were removed; the latest click in them, in Unix milliseconds.
    removed_before     INTEGER NOT NULL DEFAULT 0,
    removed_through_ms INTEGER NOT NULL DEFAULT 0,
    -- Frames before this one have truncated addresses only.
    truncated_before   INTEGER NOT NULL DEFAULT 0,
    -- The latest click that was removed, truncated or erased: up to its day, counting the archive again
    -- would not come to the same.
    changed_through_ms INTEGER NOT NULL DEFAULT 0,
    -- Of the last rebuild: clicks before this quarter hour in frames before this one stayed counted.
    kept_before_slot   INTEGER NOT NULL DEFAULT 0,
    kept_before_frame  INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO click_archive (id) VALUES (1);

-- Up to which sequence a stream's blocks were removed, and how many sequences of those were missing.
ALTER TABLE click_stream ADD COLUMN removed_through INTEGER NOT NULL DEFAULT 0;
ALTER TABLE click_stream ADD COLUMN removed_missing INTEGER NOT NULL DEFAULT 0;

-- What was asked to be erased. Written before anything is, so that a start after a crash finishes it.
CREATE TABLE erasure (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    kind         TEXT    NOT NULL CHECK (kind IN ('transaction_id', 'ip', 'email')),
    -- What is looked for; blank as soon as it was found everywhere.
    value        TEXT    NOT NULL,
    -- Only counts, and changes nothing.
    dry_run      INTEGER NOT NULL,
    -- How far it has come: clicks, rows, file, done.
    stage        TEXT    NOT NULL DEFAULT 'clicks' CHECK (stage IN ('clicks', 'rows', 'file', 'done')),
    -- How many were found to hold personal data; null until it was looked.
    clicks       INTEGER,
    postbacks    INTEGER,
    conversions  INTEGER,
    -- Postbacks that wait for their click, and are blanked when they are decided.
    waiting      INTEGER NOT NULL DEFAULT 0,
    time_created INTEGER NOT NULL,
    time_done    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX erasure_unfinished ON erasure (id) WHERE stage <> 'done';

-- Up to which row the addresses of a table are truncated.
CREATE TABLE truncated_rows (
    name    TEXT    PRIMARY KEY,
    through INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO truncated_rows (name) VALUES ('postback'), ('conversion');

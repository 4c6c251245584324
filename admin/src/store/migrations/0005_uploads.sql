-- Bulk files that were uploaded. Their rows stand in a file of their own, `uploads/<file_name>` in
-- the data folder; what came of a commit stands here, written in the transaction of its codes.
CREATE TABLE coupon_code_upload (
    id             INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    mode           TEXT    NOT NULL CHECK (mode IN ('add', 'update')),
    allow_reissue  INTEGER NOT NULL,
    file_name      TEXT    NOT NULL,
    time_created   INTEGER NOT NULL,
    time_expires   INTEGER NOT NULL,
    -- 0 until it is committed.
    time_committed INTEGER NOT NULL DEFAULT 0,
    created        INTEGER NOT NULL DEFAULT 0,
    updated        INTEGER NOT NULL DEFAULT 0,
    unchanged      INTEGER NOT NULL DEFAULT 0,
    skipped        INTEGER NOT NULL DEFAULT 0,
    -- The change's place in the sequence; none when no code changed.
    change_seq     INTEGER
) STRICT;

-- Bulk work in slices. Each slice commits its coupon codes, its rows in job_row, and the progress of
-- its job together, so a job resumes after a crash where its last slice ended.
CREATE TABLE job (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    kind         TEXT    NOT NULL CHECK (kind IN ('change', 'delete', 'upload')),
    state        TEXT    NOT NULL CHECK (state IN
                     ('queued', 'running', 'stopping', 'stopped', 'done', 'failed', 'reverting', 'reverted')),
    -- Unfinished jobs run in this order; a revert takes a new turn.
    turn         INTEGER NOT NULL,
    -- JSON: the chosen codes, and the new values of their fields.
    choice       TEXT    NOT NULL,
    change       TEXT    NOT NULL,
    -- Columns of coupon_code that job_row keeps, separated by commas.
    columns      TEXT    NOT NULL,
    -- The upload; none for other jobs.
    upload_id    INTEGER,
    -- Codes with higher ids came after the job, which leaves them out.
    last_id      INTEGER NOT NULL DEFAULT 0,
    matched      INTEGER NOT NULL DEFAULT 0,
    changed      INTEGER NOT NULL DEFAULT 0,
    unchanged    INTEGER NOT NULL DEFAULT 0,
    skipped      INTEGER NOT NULL DEFAULT 0,
    -- Rows that a revert gave their values back, and rows that it left as they are.
    reverted     INTEGER NOT NULL DEFAULT 0,
    left_alone   INTEGER NOT NULL DEFAULT 0,
    -- JSON: the first skipped rows, and the first rows left alone, with reasons.
    first_skipped TEXT   NOT NULL DEFAULT '[]',
    first_left   TEXT    NOT NULL DEFAULT '[]',
    -- Lowest and highest id of the changed codes; 0 for none.
    first_id     INTEGER NOT NULL DEFAULT 0,
    highest_id   INTEGER NOT NULL DEFAULT 0,
    -- Codes up to this one are done; empty at the beginning.
    cursor       TEXT    NOT NULL DEFAULT '',
    -- The change sequence of the last slice; none before.
    change_seq   INTEGER,
    -- The change sequence that created codes, which a revert deletes; none if no code was created.
    created_seq  INTEGER,
    -- Number of rows of this job in job_row.
    kept_rows    INTEGER NOT NULL DEFAULT 0,
    -- Why the job failed.
    problem      TEXT    NOT NULL DEFAULT '',
    actor        TEXT    NOT NULL,
    actor_id     INTEGER NOT NULL DEFAULT 0,
    actor_name   TEXT    NOT NULL DEFAULT '',
    request_id   TEXT    NOT NULL DEFAULT '',
    time_created INTEGER NOT NULL,
    -- 0 before.
    time_started INTEGER NOT NULL DEFAULT 0,
    time_finished INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX job_unfinished ON job (turn)
    WHERE state IN ('queued', 'running', 'stopping', 'reverting');
CREATE INDEX job_upload ON job (upload_id) WHERE upload_id IS NOT NULL;

-- The values that a job replaced, with the change sequence of the code after the job. A revert gives
-- back only what still has this sequence. In the order of codes, because the rows of one code are
-- changed and reverted together: they belong to one partner.
CREATE TABLE job_row (
    job_id       INTEGER NOT NULL REFERENCES job (id),
    folded       TEXT    NOT NULL,
    code_id      INTEGER NOT NULL,
    change_seq   INTEGER NOT NULL,
    offer_id     INTEGER,
    affiliate_id INTEGER,
    status       TEXT,
    start_date   TEXT,
    end_date     TEXT,
    description  TEXT,
    is_description_plain_text INTEGER,
    internal_notes TEXT,
    PRIMARY KEY (job_id, folded, code_id)
) STRICT, WITHOUT ROWID;

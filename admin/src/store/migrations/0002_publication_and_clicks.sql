-- What publication, click intake and reports keep. Everything about clicks here is derived from the
-- click archive and can be rebuilt from it.

-- The folded codes that rows no longer have, because they were renamed: levels must forget them.
-- A trigger writes it, so that no way of editing can leave it out.
CREATE TABLE coupon_code_left (
    change_seq INTEGER NOT NULL,
    folded     TEXT    NOT NULL,
    PRIMARY KEY (change_seq, folded)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER coupon_code_leaves AFTER UPDATE OF folded ON coupon_code
WHEN old.folded <> new.folded
BEGIN
    INSERT OR IGNORE INTO coupon_code_left (change_seq, folded) VALUES (new.change_seq, old.folded);
END;

-- How far each stream of clicks has come. `missing` counts sequences that were passed over because
-- the daemon no longer had them.
CREATE TABLE click_stream (
    node          INTEGER NOT NULL,
    incarnation   INTEGER NOT NULL,
    thread        INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    missing       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node, incarnation, thread)
) STRICT, WITHOUT ROWID;

-- One row for each frame of the archive: where its clicks are, without a row for each of them.
CREATE TABLE click_block (
    archive_sequence INTEGER PRIMARY KEY,
    node             INTEGER NOT NULL,
    incarnation      INTEGER NOT NULL,
    thread           INTEGER NOT NULL,
    first_sequence   INTEGER NOT NULL,
    -- The first sequence that counts: those before it came in an earlier block.
    counted_from     INTEGER NOT NULL,
    clicks           INTEGER NOT NULL,
    min_id_ms        INTEGER NOT NULL,
    max_id_ms        INTEGER NOT NULL,
    min_unix_ms      INTEGER NOT NULL,
    max_unix_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX click_block_id ON click_block (node, incarnation, thread, max_id_ms);
CREATE INDEX click_block_time ON click_block (max_unix_ms, archive_sequence);

-- Counts by quarter hour, the largest unit that falls on the hours and days of every time zone.
-- total = gross - invalid - prefetch; a click counts in at most one of the two.
CREATE TABLE click_rollup (
    -- Unix time in quarter hours.
    slot          INTEGER NOT NULL,
    code_id       INTEGER NOT NULL,
    offer_id      INTEGER NOT NULL,
    affiliate_id  INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    gross         INTEGER NOT NULL,
    invalid       INTEGER NOT NULL,
    prefetch      INTEGER NOT NULL,
    PRIMARY KEY (slot, code_id, offer_id, affiliate_id, advertiser_id)
) STRICT, WITHOUT ROWID;

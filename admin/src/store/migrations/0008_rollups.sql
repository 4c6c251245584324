-- What reports count, of clicks and of conversions. Derived: from the click archive and from the
-- conversions; a rebuild makes it anew.
DROP TABLE click_rollup;

-- What was counted in one UTC hour or day, many rows in one blob; the program says its bytes.
CREATE TABLE rollup_pack (
    id         INTEGER PRIMARY KEY,
    -- 1 hours, 2 days.
    resolution INTEGER NOT NULL,
    -- 1 of clicks, 2 of conversions.
    source     INTEGER NOT NULL,
    -- The value that counts are kept apart by beside the ids.
    family     INTEGER NOT NULL,
    -- Unix time in hours or days.
    period     INTEGER NOT NULL,
    -- How often it was joined.
    tier       INTEGER NOT NULL,
    bytes      BLOB    NOT NULL
) STRICT;
CREATE INDEX rollup_pack_place ON rollup_pack (resolution, source, family, period, tier);

-- The sub values of clicks that a UTC day has room for.
CREATE TABLE rollup_value (
    day    INTEGER NOT NULL,
    family INTEGER NOT NULL,
    value  TEXT    NOT NULL,
    PRIMARY KEY (day, family, value)
) STRICT, WITHOUT ROWID;

-- Visits that were judged bots and became clicks because a conversion came from them. A rebuild
-- judges them so again.
CREATE TABLE turned_visit (
    transaction_id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

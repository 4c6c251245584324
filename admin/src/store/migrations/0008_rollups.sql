-- What reports count, of clicks and of conversions. Derived: from the click archive and from the
-- conversions; a rebuild makes it anew.
DROP TABLE click_rollup;

CREATE TABLE rollup (
    -- 1 of clicks, 2 of conversions.
    source        INTEGER NOT NULL,
    family        INTEGER NOT NULL,
    -- Unix time in quarter hours.
    slot          INTEGER NOT NULL,
    code_id       INTEGER NOT NULL,
    offer_id      INTEGER NOT NULL,
    affiliate_id  INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    value         TEXT    NOT NULL,
    currency      TEXT    NOT NULL,
    measures      TEXT    NOT NULL
) STRICT;
CREATE INDEX rollup_time ON rollup (family, slot);

-- Visits that were judged bots and became clicks because a conversion came from them. A rebuild
-- judges them so again.
CREATE TABLE turned_visit (
    transaction_id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

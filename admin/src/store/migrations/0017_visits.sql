-- What visits are judged and paid by, and what became of them.

-- What holds for the clicks of an offer, and since when. A click is judged and paid by what held when
-- it was made: rows are added, never changed. Of the rows that hold for a time, the last one counts;
-- a click from before the first is judged by the first. Offers from before this table get their rows
-- when the store is opened.
CREATE TABLE offer_terms (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    offer_id           INTEGER NOT NULL REFERENCES offer (id),
    -- In Unix milliseconds.
    since_ms           INTEGER NOT NULL,
    session_definition TEXT    NOT NULL,
    session_duration   INTEGER NOT NULL,
    -- Of the default entry; empty for none.
    payout_type        TEXT    NOT NULL,
    revenue_type       TEXT    NOT NULL,
    -- Of one valid click, in billionths of the currency.
    click_payout       INTEGER NOT NULL,
    click_revenue      INTEGER NOT NULL,
    currency           TEXT    NOT NULL
) STRICT;
CREATE INDEX offer_terms_offer ON offer_terms (offer_id, id);

-- Visits from which a conversion came that was approved, whatever became of it since. They are no
-- bots'.
CREATE TABLE converted_visit (
    -- In the order in which they came.
    id             INTEGER PRIMARY KEY,
    transaction_id BLOB    NOT NULL UNIQUE
) STRICT;
INSERT OR IGNORE INTO converted_visit (transaction_id)
SELECT unhex(transaction_id) FROM conversion
WHERE length(unhex(transaction_id)) = 16 AND (status = 'approved' OR EXISTS (
    SELECT 1 FROM conversion_history AS told
    WHERE told.number = conversion.number AND told.action = 'status'
        AND told.changes LIKE '%"approved"%'))
ORDER BY number;

-- The program's rules by which visits were judged. Where they are older than the program's, the
-- archive is judged again, as by another list of bots.
ALTER TABLE bot_list ADD COLUMN rules INTEGER NOT NULL DEFAULT 0;
-- What was begun by older rules begins anew. Visits are gone through by their place above.
UPDATE bot_list SET judging = NULL, next_frame = 0, turned_through = turned_through * 0;

-- The sub values of a partner's clicks that a UTC day has room for, by who counts them (1 clicks,
-- 3 clicks that are judged again).
DROP TABLE rollup_value;
CREATE TABLE rollup_value (
    source       INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    family       INTEGER NOT NULL,
    affiliate_id INTEGER NOT NULL,
    value        TEXT    NOT NULL,
    PRIMARY KEY (source, day, family, affiliate_id, value)
) STRICT, WITHOUT ROWID;

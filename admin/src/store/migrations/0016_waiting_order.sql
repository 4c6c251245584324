-- Postbacks that are about the same sale are decided in the order in which they came. So a postback
-- waits for its click, or behind an earlier one that waits for its own.
CREATE TABLE postback_waiting_in_order (
    number         INTEGER PRIMARY KEY REFERENCES postback (number),
    -- The click it waits for, and where and when that was made; none where it waits behind another.
    transaction_id BLOB    CHECK (length(transaction_id) = 16),
    node           INTEGER,
    thread         INTEGER,
    id_ms          INTEGER,
    -- The earlier postback that it waits behind, as far as that is known: it is looked at again when
    -- that one is decided.
    behind         INTEGER,
    message        BLOB    NOT NULL,
    CHECK ((transaction_id IS NULL) = (behind IS NOT NULL))
) STRICT;
INSERT INTO postback_waiting_in_order (number, transaction_id, node, thread, id_ms, message)
    SELECT number, transaction_id, node, thread, id_ms, message FROM postback_waiting;

-- By what a waiting postback may be about the same sale as a later one: 1, its order id; 2, an id of
-- its list of transaction ids. The rows go with the decision.
CREATE TABLE postback_waiting_key (
    kind   INTEGER NOT NULL,
    value  BLOB    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, value, number)
) STRICT, WITHOUT ROWID;
INSERT INTO postback_waiting_key (kind, value, number)
    SELECT 1, CAST(order_id AS BLOB), number FROM postback JOIN postback_waiting USING (number)
    WHERE order_id <> '';
INSERT INTO postback_waiting_key (kind, value, number)
    SELECT 2, transaction_id, number FROM postback_waiting;

DROP TABLE postback_waiting;
ALTER TABLE postback_waiting_in_order RENAME TO postback_waiting;
CREATE INDEX postback_waiting_node ON postback_waiting (node, thread, id_ms) WHERE node IS NOT NULL;
CREATE INDEX postback_waiting_behind ON postback_waiting (behind) WHERE behind IS NOT NULL;
CREATE INDEX postback_waiting_key_number ON postback_waiting_key (number);

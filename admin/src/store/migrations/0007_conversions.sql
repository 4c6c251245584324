-- Postbacks, as they came, and the conversions they make. Money is decimal text; ids of postbacks and
-- conversions are 16 bytes; times called `…_ms` are Unix milliseconds.

-- How far each of coupond's spools has come: the last sequence that is decided or waits here. It is
-- the acknowledgement, so it moves in the transaction of the postbacks it stands for.
CREATE TABLE postback_spool (
    id            BLOB    PRIMARY KEY CHECK (length(id) = 16),
    last_sequence INTEGER NOT NULL,
    -- Sequences that were passed over: postbacks that the spool no longer had.
    missing       INTEGER NOT NULL DEFAULT 0,
    time_saved    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The log of postbacks. Each is kept, whatever became of it; token and signature are left out of
-- query and body. Personal: address, user_agent, referer, query, body, email.
CREATE TABLE postback (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    id             BLOB    NOT NULL CHECK (length(id) = 16),
    spool          BLOB    NOT NULL,
    sequence       INTEGER NOT NULL,
    received_ms    INTEGER NOT NULL,
    node           INTEGER NOT NULL,
    channel        TEXT    NOT NULL CHECK (channel IN ('server', 'sdk')),
    is_post        INTEGER NOT NULL,
    address        TEXT    NOT NULL,
    host           TEXT    NOT NULL,
    user_agent     TEXT    NOT NULL,
    referer        TEXT    NOT NULL,
    content_type   TEXT    NOT NULL,
    query          TEXT    NOT NULL,
    body           TEXT    NOT NULL,
    -- What was read in it, as sent; 0 and '' where it says nothing.
    network_id     INTEGER NOT NULL,
    transaction_id TEXT    NOT NULL,
    coupon_code    TEXT    NOT NULL,
    folded_code    TEXT    NOT NULL,
    offer_id       INTEGER NOT NULL,
    affiliate_id   INTEGER NOT NULL,
    event          TEXT    NOT NULL,
    order_id       TEXT    NOT NULL,
    amount         TEXT    NOT NULL,
    currency       TEXT    NOT NULL,
    email          TEXT    NOT NULL,
    -- What became of it. `outcome` says what it did to the conversion it names.
    verdict        TEXT    NOT NULL CHECK (verdict IN ('queued', 'approved', 'pending', 'rejected', 'invalid')),
    outcome        TEXT    NOT NULL CHECK (outcome IN ('waits', 'made', 'repeats', 'conflicts', 'refunds', 'unreadable')),
    error_code     INTEGER NOT NULL,
    error          TEXT    NOT NULL,
    conversion_id  BLOB,
    decided_ms     INTEGER NOT NULL,
    -- A JSON array of {step, detail}.
    steps          TEXT    NOT NULL,
    -- Of a message that this program cannot read: its bytes.
    raw            BLOB
) STRICT;
-- Whatever is delivered twice is refused here.
CREATE UNIQUE INDEX postback_id ON postback (id);
CREATE INDEX postback_received ON postback (received_ms, number);
CREATE INDEX postback_verdict ON postback (verdict, error_code, received_ms, number);
CREATE INDEX postback_conversion ON postback (conversion_id) WHERE conversion_id IS NOT NULL;
CREATE INDEX postback_transaction_id ON postback (transaction_id, received_ms) WHERE transaction_id <> '';
CREATE INDEX postback_order_id ON postback (order_id, received_ms) WHERE order_id <> '';
CREATE INDEX postback_code ON postback (folded_code, received_ms) WHERE folded_code <> '';
CREATE INDEX postback_offer ON postback (offer_id, received_ms) WHERE offer_id <> 0;

-- Postbacks whose click is still on its way, with the whole message, which is needed to decide. Its
-- row goes with the decision.
CREATE TABLE postback_waiting (
    number         INTEGER PRIMARY KEY REFERENCES postback (number),
    -- The click it waits for, and where and when that was made.
    transaction_id BLOB    NOT NULL CHECK (length(transaction_id) = 16),
    node           INTEGER NOT NULL,
    thread         INTEGER NOT NULL,
    id_ms          INTEGER NOT NULL,
    message        BLOB    NOT NULL
) STRICT;
CREATE INDEX postback_waiting_click ON postback_waiting (transaction_id);
CREATE INDEX postback_waiting_node ON postback_waiting (node, thread, id_ms);

-- Personal: address, user_agent, referer, click_address, click_user_agent, click_referer,
-- click_language, email.
CREATE TABLE conversion (
    number           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number <= 4294967295),
    -- Of the postback that made it.
    id               BLOB    NOT NULL CHECK (length(id) = 16),
    unix_ms          INTEGER NOT NULL,
    time_saved       INTEGER NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('approved', 'pending', 'rejected', 'invalid')),
    error_code       INTEGER NOT NULL,
    -- 0 where nobody could be named.
    offer_id         INTEGER NOT NULL,
    affiliate_id     INTEGER NOT NULL,
    advertiser_id    INTEGER NOT NULL,
    code_id          INTEGER NOT NULL,
    coupon_code      TEXT    NOT NULL,
    folded_code      TEXT    NOT NULL,
    -- By what it was attributed.
    method           TEXT    NOT NULL,
    channel          TEXT    NOT NULL CHECK (channel IN ('server', 'sdk')),
    -- 0 and '' for the base conversion, else the offer's entry.
    event_id         INTEGER NOT NULL,
    event_name       TEXT    NOT NULL,
    transaction_id   TEXT    NOT NULL,
    -- The click, kept for ever; 0 and '' where it was none.
    click_ms         INTEGER NOT NULL,
    click_address    TEXT    NOT NULL,
    click_user_agent TEXT    NOT NULL,
    click_referer    TEXT    NOT NULL,
    click_language   TEXT    NOT NULL,
    sub1             TEXT    NOT NULL,
    sub2             TEXT    NOT NULL,
    sub3             TEXT    NOT NULL,
    sub4             TEXT    NOT NULL,
    sub5             TEXT    NOT NULL,
    source_id        TEXT    NOT NULL,
    uid              TEXT    NOT NULL,
    country          TEXT    NOT NULL,
    device_type      TEXT    NOT NULL,
    -- The postback.
    address          TEXT    NOT NULL,
    user_agent       TEXT    NOT NULL,
    referer          TEXT    NOT NULL,
    order_id         TEXT    NOT NULL,
    email            TEXT    NOT NULL,
    adv1             TEXT    NOT NULL,
    adv2             TEXT    NOT NULL,
    adv3             TEXT    NOT NULL,
    adv4             TEXT    NOT NULL,
    adv5             TEXT    NOT NULL,
    -- As it was first reported (none: no amount was said), and after refunds and adjustments.
    amount           TEXT,
    sale_amount      TEXT    NOT NULL,
    currency         TEXT    NOT NULL,
    payout           TEXT    NOT NULL,
    payout_type      TEXT    NOT NULL,
    revenue          TEXT    NOT NULL,
    revenue_type     TEXT    NOT NULL,
    -- The offer's entry as it was then, in JSON: what refunds are computed by. '' where there was none.
    terms            TEXT    NOT NULL,
    has_conflict     INTEGER NOT NULL DEFAULT 0,
    -- Why the code may have leaked; '' for no suspicion.
    suspicion        TEXT    NOT NULL DEFAULT '',
    notes            TEXT    NOT NULL DEFAULT '',
    -- By which repeats are known, whether it holds that key or not; none where nothing tells repeats.
    key              BLOB,
    -- Alike for messages that say the same, however they are sent.
    likeness         BLOB    NOT NULL,
    steps            TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX conversion_id ON conversion (id);
CREATE INDEX conversion_time ON conversion (unix_ms, number);
CREATE INDEX conversion_offer ON conversion (offer_id, unix_ms, number);
CREATE INDEX conversion_affiliate ON conversion (affiliate_id, unix_ms, number);
CREATE INDEX conversion_advertiser ON conversion (advertiser_id, unix_ms, number);
CREATE INDEX conversion_code ON conversion (code_id, unix_ms, number);
CREATE INDEX conversion_status ON conversion (status, unix_ms, number);
CREATE INDEX conversion_transaction_id ON conversion (transaction_id) WHERE transaction_id <> '';
CREATE INDEX conversion_order_id ON conversion (order_id) WHERE order_id <> '';
CREATE INDEX conversion_likeness ON conversion (likeness, unix_ms);

-- What a repetition is known by. Only a conversion that counts, may count, or was refused by hand
-- holds a key, so that a bad postback never stands in the way of the good one that follows.
CREATE TABLE conversion_key (
    key    BLOB    PRIMARY KEY,
    number INTEGER NOT NULL REFERENCES conversion (number)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversion_key_number ON conversion_key (number);

-- What happened to each conversion. Nothing personal stands here.
CREATE TABLE conversion_history (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    number       INTEGER NOT NULL REFERENCES conversion (number),
    time_created INTEGER NOT NULL,
    action       TEXT    NOT NULL CHECK (action IN ('created', 'status', 'adjusted', 'refund', 'conflict')),
    actor        TEXT    NOT NULL CHECK (actor IN ('api_key', 'command_line', 'program')),
    api_key_id   INTEGER,
    -- As it was called then.
    api_key_name TEXT    NOT NULL DEFAULT '',
    -- The postback that did it, if one did.
    postback_id  BLOB,
    -- A JSON array of {field, before, after}.
    changes      TEXT    NOT NULL
) STRICT;
CREATE INDEX conversion_history_number ON conversion_history (number, id);
CREATE TRIGGER conversion_history_stays BEFORE DELETE ON conversion_history
BEGIN SELECT raise(ABORT, 'the history of conversions is kept'); END;
CREATE TRIGGER conversion_history_is_final BEFORE UPDATE ON conversion_history
BEGIN SELECT raise(ABORT, 'the history of conversions is never changed'); END;

-- Codes that were ever clicked and led to an offer. Kept for ever, unlike the clicks.
CREATE TABLE clicked_code (
    code_id INTEGER PRIMARY KEY
) STRICT;
INSERT INTO clicked_code
    SELECT DISTINCT code_id FROM click_rollup WHERE code_id <> 0 AND gross > invalid + prefetch;

-- Conversions by a code alone, without a click, in each ten minutes of the last two weeks.
CREATE TABLE code_alone (
    folded_code TEXT    NOT NULL,
    slot        INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    PRIMARY KEY (folded_code, slot)
) STRICT, WITHOUT ROWID;

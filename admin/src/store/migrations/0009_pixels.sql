-- Partner postbacks, and the outbox of what they tell.

CREATE TABLE pixel (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    affiliate_id INTEGER NOT NULL REFERENCES affiliate (id),
    -- None: all offers of the partner.
    offer_id     INTEGER REFERENCES offer (id),
    -- None: all events.
    entry_id     INTEGER REFERENCES offer_payout_revenue (id),
    pixel_status TEXT    NOT NULL CHECK (pixel_status IN ('active', 'inactive')),
    pixel_type   TEXT    NOT NULL CHECK (pixel_type IN ('conversion', 'post_conversion')),
    postback_url TEXT    NOT NULL,
    delay_ms     INTEGER NOT NULL DEFAULT 0,
    description  TEXT    NOT NULL DEFAULT '',
    signing_key  TEXT    NOT NULL DEFAULT '',
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL,
    time_deleted INTEGER NOT NULL DEFAULT 0,
    revision     INTEGER NOT NULL DEFAULT 1,
    CHECK (entry_id IS NULL OR offer_id IS NOT NULL)
) STRICT;
CREATE INDEX pixel_affiliate ON pixel (affiliate_id) WHERE time_deleted = 0;
CREATE TRIGGER pixel_revised AFTER UPDATE ON pixel WHEN new.revision = old.revision
BEGIN UPDATE pixel SET revision = old.revision + 1 WHERE id = new.id; END;

-- One row for each conversion that a postback tells of, written in the transaction that approves
-- the conversion and never removed: so a conversion is told once, however often it is approved.
CREATE TABLE pixel_delivery (
    id            INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    pixel_id      INTEGER NOT NULL REFERENCES pixel (id),
    -- 32 lower-case hex digits.
    conversion_id TEXT    NOT NULL CHECK (length(conversion_id) = 32),
    affiliate_id  INTEGER NOT NULL,
    offer_id      INTEGER NOT NULL,
    -- With its values, as they were then: the click's subs and the order id among them.
    url           TEXT    NOT NULL,
    -- Of the URL, with the port: what one slow server holds up.
    host          TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    -- Since it was queued, or last replayed.
    attempts      INTEGER NOT NULL DEFAULT 0,
    -- Of a pending one: it waits from `since_ms` to `due_ms`, in Unix milliseconds. A clock that
    -- stands before `since_ms` was set back, and the row is due.
    since_ms      INTEGER NOT NULL,
    due_ms        INTEGER NOT NULL,
    -- The last answer's status, 0 where there was no answer, and what was wrong.
    last_status   INTEGER NOT NULL DEFAULT 0,
    last_error    TEXT    NOT NULL DEFAULT '',
    time_created  INTEGER NOT NULL,
    -- The last attempt, or 0.
    time_attempted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (pixel_id, conversion_id)
) STRICT;
CREATE INDEX pixel_delivery_due   ON pixel_delivery (host, due_ms) WHERE state = 'pending';
CREATE INDEX pixel_delivery_since ON pixel_delivery (since_ms) WHERE state = 'pending';
CREATE INDEX pixel_delivery_state ON pixel_delivery (state, id);
CREATE INDEX pixel_delivery_pixel ON pixel_delivery (pixel_id, state, id);
CREATE INDEX pixel_delivery_conversion ON pixel_delivery (conversion_id);

-- What waits when a postback is made inactive or deleted is not sent; it can be replayed.
CREATE TRIGGER pixel_silenced AFTER UPDATE OF pixel_status, time_deleted ON pixel
WHEN new.pixel_status = 'inactive' OR new.time_deleted <> 0
BEGIN
    UPDATE pixel_delivery SET state = 'dead', last_error = 'the postback was made inactive or deleted'
    WHERE pixel_id = new.id AND state = 'pending';
END;

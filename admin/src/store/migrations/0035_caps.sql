-- Limits on conversions, payout, revenue and unique clicks: of offers, of groups of offers, and of
-- single partners and codes. And which returning visitors an offer refuses.
CREATE TABLE offer_group (
    id            INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name          TEXT    NOT NULL,
    advertiser_id INTEGER NOT NULL REFERENCES advertiser (id),
    status        TEXT    NOT NULL CHECK (status IN ('active', 'inactive')),
    time_created  INTEGER NOT NULL,
    time_saved    INTEGER NOT NULL,
    time_deleted  INTEGER NOT NULL DEFAULT 0,
    revision      INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TRIGGER offer_group_revised AFTER UPDATE ON offer_group WHEN new.revision = old.revision
BEGIN UPDATE offer_group SET revision = old.revision + 1 WHERE id = new.id; END;

ALTER TABLE offer ADD COLUMN offer_group_id INTEGER REFERENCES offer_group (id);
ALTER TABLE offer ADD COLUMN is_caps_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE offer ADD COLUMN is_soft_cap INTEGER NOT NULL DEFAULT 0;
ALTER TABLE offer ADD COLUMN is_duplicate_filter_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE offer ADD COLUMN duplicate_filter_targeting_action TEXT NOT NULL DEFAULT 'block'
    CHECK (duplicate_filter_targeting_action IN ('block', 'fail_traffic'));
ALTER TABLE offer ADD COLUMN is_block_already_converted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE offer ADD COLUMN already_converted_action TEXT NOT NULL DEFAULT 'block'
    CHECK (already_converted_action IN ('block', 'fail_traffic'));
ALTER TABLE offer ADD COLUMN session_tracking_minimum_lifespan_second INTEGER NOT NULL DEFAULT 0;
-- The offers that ask for earlier visits, without a look at any other.
CREATE INDEX offer_with_visit_rules ON offer (id)
    WHERE is_caps_enabled + is_duplicate_filter_enabled + is_block_already_converted > 0
       OR offer_group_id IS NOT NULL;
CREATE INDEX offer_in_group ON offer (offer_group_id) WHERE offer_group_id IS NOT NULL;

CREATE TABLE custom_cap (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name         TEXT    NOT NULL,
    offer_id     INTEGER NOT NULL REFERENCES offer (id),
    -- None: the partner of the code.
    affiliate_id INTEGER REFERENCES affiliate (id),
    -- None: all codes of the partner on the offer.
    code_id      INTEGER REFERENCES coupon_code (id),
    is_soft_cap  INTEGER NOT NULL DEFAULT 0,
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL,
    time_deleted INTEGER NOT NULL DEFAULT 0,
    revision     INTEGER NOT NULL DEFAULT 1,
    CHECK (affiliate_id IS NOT NULL OR code_id IS NOT NULL)
) STRICT;
CREATE INDEX custom_cap_offer ON custom_cap (offer_id, affiliate_id);
CREATE INDEX custom_cap_code ON custom_cap (code_id) WHERE code_id IS NOT NULL;
CREATE TRIGGER custom_cap_revised AFTER UPDATE ON custom_cap WHEN new.revision = old.revision
BEGIN UPDATE custom_cap SET revision = old.revision + 1 WHERE id = new.id; END;

-- The limits of one offer, group or custom cap. The id stays, because clicks name the cap that
-- refused them.
CREATE TABLE cap (
    id        INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    offer_id  INTEGER UNIQUE REFERENCES offer (id),
    group_id  INTEGER UNIQUE REFERENCES offer_group (id),
    custom_id INTEGER UNIQUE REFERENCES custom_cap (id),
    -- JSON: four limits of each metric.
    limits    TEXT    NOT NULL,
    CHECK ((offer_id IS NOT NULL) + (group_id IS NOT NULL) + (custom_id IS NOT NULL) = 1)
) STRICT;

-- Base conversions of a cap in a window, approved and pending. A missing row is counted when
-- somebody asks; each change of a conversion changes the present rows.
CREATE TABLE cap_use (
    cap_id      INTEGER NOT NULL REFERENCES cap (id),
    -- The window, in Unix milliseconds; the end is not part of it.
    from_ms     INTEGER NOT NULL,
    to_ms       INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    -- Millionths.
    payout      INTEGER NOT NULL,
    revenue     INTEGER NOT NULL,
    PRIMARY KEY (cap_id, from_ms, to_ms)
) STRICT, WITHOUT ROWID;

-- What counts for a cap has changed: count it again.
CREATE TRIGGER cap_use_of_group AFTER UPDATE OF offer_group_id ON offer
WHEN old.offer_group_id IS NOT new.offer_group_id
BEGIN
    DELETE FROM cap_use WHERE cap_id IN
        (SELECT id FROM cap WHERE group_id IN (old.offer_group_id, new.offer_group_id));
END;
CREATE TRIGGER cap_use_of_custom AFTER UPDATE OF offer_id, affiliate_id, code_id ON custom_cap
WHEN (old.offer_id, old.affiliate_id, old.code_id) IS NOT (new.offer_id, new.affiliate_id, new.code_id)
BEGIN DELETE FROM cap_use WHERE cap_id IN (SELECT id FROM cap WHERE custom_id = new.id); END;
CREATE TRIGGER cap_use_of_zone AFTER UPDATE OF time_zone ON settings
WHEN old.time_zone IS NOT new.time_zone
BEGIN DELETE FROM cap_use; END;

-- Alerts that were given: once for each limit and window.
CREATE TABLE cap_alert (
    cap_id       INTEGER NOT NULL REFERENCES cap (id),
    metric       TEXT    NOT NULL,
    from_ms      INTEGER NOT NULL,
    to_ms        INTEGER NOT NULL,
    time_created INTEGER NOT NULL,
    PRIMARY KEY (cap_id, metric, from_ms, to_ms)
) STRICT, WITHOUT ROWID;

-- Personal: the number of the click's visitor, 0 where none is known.
ALTER TABLE conversion ADD COLUMN visitor_key INTEGER NOT NULL DEFAULT 0;
CREATE INDEX conversion_visitor ON conversion (unix_ms DESC)
    WHERE visitor_key <> 0 AND status IN ('approved', 'pending');

-- What the network sells and who may sell it. Ids are never used again (AUTOINCREMENT), rows are
-- never removed (time_deleted), days are civil dates 'YYYY-MM-DD', instants are Unix seconds, money
-- is decimal text.

-- One row: who this store is and how far its published truth has come.
CREATE TABLE meta (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    lineage      BLOB    NOT NULL CHECK (length(lineage) = 16),
    click_id_key BLOB    NOT NULL CHECK (length(click_id_key) = 16),
    -- The last value of the change sequence: every published change takes the next one.
    change_seq   INTEGER NOT NULL DEFAULT 0,
    -- The sequence of the last change to anything the catalog file holds.
    catalog_seq  INTEGER NOT NULL DEFAULT 0,
    generation   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE tracking_domain (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    base_url     TEXT    NOT NULL,
    -- What a request's Host header is compared with: lower case, with the port when it is not the scheme's own.
    host         TEXT    NOT NULL,
    fallback_url TEXT    NOT NULL DEFAULT '',
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL,
    time_deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX tracking_domain_host ON tracking_domain (host) WHERE time_deleted = 0;

CREATE TABLE settings (
    id                         INTEGER PRIMARY KEY CHECK (id = 1),
    time_zone                  TEXT    NOT NULL DEFAULT 'UTC',
    currency                   TEXT    NOT NULL DEFAULT 'USD',
    fallback_url               TEXT    NOT NULL DEFAULT '',
    default_tracking_domain_id INTEGER REFERENCES tracking_domain (id),
    time_saved                 INTEGER NOT NULL
) STRICT;

CREATE TABLE advertiser (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name                 TEXT    NOT NULL,
    account_status       TEXT    NOT NULL CHECK (account_status IN ('active', 'inactive', 'suspended')),
    attribution_priority TEXT    NOT NULL CHECK (attribution_priority IN ('click', 'coupon_code')),
    attribution_method   TEXT    NOT NULL CHECK (attribution_method IN ('first_touch', 'last_touch')),
    verification_token   TEXT    NOT NULL DEFAULT '',
    -- A JSON array of addresses and CIDRs.
    ip_allow_list        TEXT    NOT NULL DEFAULT '[]',
    signing_key          TEXT    NOT NULL DEFAULT '',
    time_created         INTEGER NOT NULL,
    time_saved           INTEGER NOT NULL,
    time_deleted         INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE offer (
    -- 24 bits: what a record of the index holds.
    id                             INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 16777215),
    name                           TEXT    NOT NULL,
    offer_status                   TEXT    NOT NULL CHECK (offer_status IN ('active', 'paused', 'pending', 'deleted')),
    destination_url                TEXT    NOT NULL,
    advertiser_id                  INTEGER NOT NULL REFERENCES advertiser (id),
    tracking_domain_id             INTEGER REFERENCES tracking_domain (id),
    visibility                     TEXT    NOT NULL CHECK (visibility IN ('public', 'require_approval', 'private')),
    date_live_until                TEXT,
    currency_id                    TEXT    NOT NULL DEFAULT '',
    session_definition             TEXT    NOT NULL,
    session_duration               INTEGER NOT NULL,
    session_tracking_lifespan_hour INTEGER NOT NULL,
    is_must_approve_conversion     INTEGER NOT NULL DEFAULT 0,
    is_allow_duplicate_conversion  INTEGER NOT NULL DEFAULT 0,
    append_transaction_id          INTEGER NOT NULL DEFAULT 0,
    fallback_url                   TEXT    NOT NULL DEFAULT '',
    time_created                   INTEGER NOT NULL,
    time_saved                     INTEGER NOT NULL,
    time_deleted                   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX offer_advertiser ON offer (advertiser_id);

-- The default entry is the base payout; the others are the offer's events. An entry that an edit
-- leaves out is soft-deleted, because conversions name it.
CREATE TABLE offer_payout_revenue (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    offer_id           INTEGER NOT NULL REFERENCES offer (id),
    position           INTEGER NOT NULL,
    entry_name         TEXT    NOT NULL DEFAULT '',
    payout_type        TEXT    NOT NULL,
    payout_amount      TEXT    NOT NULL DEFAULT '0',
    payout_percentage  TEXT    NOT NULL DEFAULT '0',
    revenue_type       TEXT    NOT NULL,
    revenue_amount     TEXT    NOT NULL DEFAULT '0',
    revenue_percentage TEXT    NOT NULL DEFAULT '0',
    is_default         INTEGER NOT NULL DEFAULT 0,
    time_deleted       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX offer_payout_revenue_offer ON offer_payout_revenue (offer_id, position) WHERE time_deleted = 0;

CREATE TABLE affiliate (
    id             INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name           TEXT    NOT NULL,
    account_status TEXT    NOT NULL CHECK (account_status IN ('active', 'inactive', 'suspended')),
    internal_notes TEXT    NOT NULL DEFAULT '',
    time_created   INTEGER NOT NULL,
    time_saved     INTEGER NOT NULL,
    time_deleted   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What was said of one partner on one offer; without a row the offer's own visibility decides.
CREATE TABLE offer_visibility (
    offer_id     INTEGER NOT NULL REFERENCES offer (id),
    affiliate_id INTEGER NOT NULL REFERENCES affiliate (id),
    status       TEXT    NOT NULL CHECK (status IN ('visible', 'hidden', 'rejected')),
    time_saved   INTEGER NOT NULL,
    PRIMARY KEY (offer_id, affiliate_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX offer_visibility_affiliate ON offer_visibility (affiliate_id);

CREATE TABLE coupon_code (
    id                        INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    code                      TEXT    NOT NULL,
    folded                    TEXT    NOT NULL,
    offer_id                  INTEGER NOT NULL REFERENCES offer (id),
    affiliate_id              INTEGER REFERENCES affiliate (id),
    status                    TEXT    NOT NULL CHECK (status IN ('active', 'paused')),
    start_date                TEXT,
    end_date                  TEXT,
    description               TEXT    NOT NULL DEFAULT '',
    is_description_plain_text INTEGER NOT NULL DEFAULT 1,
    internal_notes            TEXT    NOT NULL DEFAULT '',
    time_created              INTEGER NOT NULL,
    time_saved                INTEGER NOT NULL,
    time_deleted              INTEGER NOT NULL DEFAULT 0,
    -- The change sequence of its last change: creation, edit or soft delete.
    change_seq                INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX coupon_code_folded_offer ON coupon_code (folded, offer_id) WHERE time_deleted = 0;
-- All that the index needs of a code, in the order in which a level is built.
CREATE INDEX coupon_code_published ON coupon_code
    (folded, id, offer_id, affiliate_id, status, start_date, end_date) WHERE time_deleted = 0;
CREATE INDEX coupon_code_change_seq ON coupon_code (change_seq);
CREATE INDEX coupon_code_affiliate ON coupon_code (affiliate_id) WHERE time_deleted = 0;
CREATE INDEX coupon_code_offer ON coupon_code (offer_id) WHERE time_deleted = 0;

-- Partners a code belonged to before it was deleted or given to another: a new issue must say that it means it.
CREATE TABLE coupon_code_former_owner (
    folded       TEXT    NOT NULL,
    affiliate_id INTEGER NOT NULL REFERENCES affiliate (id),
    PRIMARY KEY (folded, affiliate_id)
) STRICT, WITHOUT ROWID;

-- Keys are 192 random bits, so their SHA-256 is all that needs to be kept.
CREATE TABLE api_key (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,
    role         TEXT    NOT NULL CHECK (role IN ('admin', 'read_only', 'partner')),
    affiliate_id INTEGER REFERENCES affiliate (id),
    hash         BLOB    NOT NULL CHECK (length(hash) = 32),
    -- The first characters, by which an owner recognises the key.
    hint         TEXT    NOT NULL,
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL,
    time_deleted INTEGER NOT NULL DEFAULT 0,
    CHECK ((role = 'partner') = (affiliate_id IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX api_key_hash ON api_key (hash);

-- URLs that offers have beside their destination, for links that ask for one, forwarding rules and
-- redirects.
CREATE TABLE offer_url (
    id                           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    offer_id                     INTEGER NOT NULL REFERENCES offer (id),
    name                         TEXT    NOT NULL,
    destination_url              TEXT    NOT NULL,
    preview_url                  TEXT    NOT NULL,
    url_status                   TEXT    NOT NULL CHECK (url_status IN ('active', 'paused')),
    is_apply_specific_affiliates INTEGER NOT NULL CHECK (is_apply_specific_affiliates IN (0, 1)),
    -- A JSON array of ids.
    affiliate_ids                TEXT    NOT NULL,
    is_hidden_affiliate          INTEGER NOT NULL CHECK (is_hidden_affiliate IN (0, 1)),
    time_created                 INTEGER NOT NULL,
    time_saved                   INTEGER NOT NULL,
    time_deleted                 INTEGER NOT NULL DEFAULT 0,
    revision                     INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX offer_url_offer ON offer_url (offer_id);
CREATE TRIGGER offer_url_revised AFTER UPDATE ON offer_url WHEN new.revision = old.revision
BEGIN UPDATE offer_url SET revision = old.revision + 1 WHERE id = new.id; END;

-- None: the destination of the offer that the rule leads to.
ALTER TABLE forwarding_rule ADD COLUMN destination_offer_url_id INTEGER REFERENCES offer_url (id);
ALTER TABLE offer_redirect ADD COLUMN destination_offer_url_id INTEGER REFERENCES offer_url (id);
-- The few rules that name a URL, which every publication reads.
CREATE INDEX forwarding_rule_url ON forwarding_rule (destination_offer_url_id)
    WHERE destination_offer_url_id IS NOT NULL;
CREATE INDEX offer_redirect_url ON offer_redirect (destination_offer_url_id)
    WHERE destination_offer_url_id IS NOT NULL;

-- The URL that the click was sent to; 0 for the offer's destination, or without a click.
ALTER TABLE conversion ADD COLUMN offer_url_id INTEGER NOT NULL DEFAULT 0;

-- Where visitors go whom an offer refuses, and the visits that an offer hands on.
ALTER TABLE settings ADD COLUMN is_global_fail_traffic_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN global_fail_traffic_url TEXT NOT NULL DEFAULT '';
ALTER TABLE settings ADD COLUMN is_fail_traffic_on_paused_enabled INTEGER NOT NULL DEFAULT 0;

ALTER TABLE offer ADD COLUMN is_fail_traffic_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE offer ADD COLUMN redirect_internal_routing_type TEXT NOT NULL DEFAULT 'priority';

-- The redirects of an offer. One that is edited keeps its id.
CREATE TABLE offer_redirect (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    offer_id             INTEGER NOT NULL REFERENCES offer (id),
    position             INTEGER NOT NULL,
    destination_offer_id INTEGER NOT NULL REFERENCES offer (id),
    routing_value        INTEGER NOT NULL,
    -- A JSON list of words; '[]' is for all reasons.
    fail_reasons         TEXT    NOT NULL,
    -- JSON as the API answers it; '{}' is for everybody.
    ruleset              TEXT    NOT NULL
) STRICT;
CREATE INDEX offer_redirect_offer ON offer_redirect (offer_id, position);
CREATE INDEX offer_redirect_destination ON offer_redirect (destination_offer_id);

CREATE TABLE forwarding_rule (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    offer_id             INTEGER NOT NULL REFERENCES offer (id),
    -- From 1 in the order of the offer's rules; 0 until the rule has its place.
    position             INTEGER NOT NULL DEFAULT 0,
    name                 TEXT    NOT NULL,
    status               TEXT    NOT NULL CHECK (status IN ('active', 'inactive')),
    -- A JSON list of ids; '[]' is for all partners.
    affiliate_ids        TEXT    NOT NULL,
    destination_offer_id INTEGER NOT NULL REFERENCES offer (id),
    -- As of offer_redirect.
    ruleset              TEXT    NOT NULL,
    -- A JSON list of conditions.
    variables            TEXT    NOT NULL,
    date_valid_from      TEXT,
    date_valid_to        TEXT,
    time_created         INTEGER NOT NULL,
    time_saved           INTEGER NOT NULL,
    time_deleted         INTEGER NOT NULL DEFAULT 0,
    revision             INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX forwarding_rule_offer ON forwarding_rule (offer_id, position) WHERE time_deleted = 0;
CREATE INDEX forwarding_rule_destination ON forwarding_rule (destination_offer_id)
    WHERE time_deleted = 0;
CREATE TRIGGER forwarding_rule_revised AFTER UPDATE ON forwarding_rule
WHEN new.revision = old.revision
BEGIN UPDATE forwarding_rule SET revision = old.revision + 1 WHERE id = new.id; END;

-- An offer is published with its rules, and published again when they change.
CREATE TRIGGER forwarding_rule_added AFTER INSERT ON forwarding_rule
BEGIN UPDATE offer SET revision = revision + 1 WHERE id = new.offer_id; END;
CREATE TRIGGER forwarding_rule_changed AFTER UPDATE ON forwarding_rule
BEGIN UPDATE offer SET revision = revision + 1 WHERE id = new.offer_id; END;

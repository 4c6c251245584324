-- Who changed what, which state of a row an editor saw, and which creations were answered already.

-- A row's revision grows with every change of what is answered of it, so that an editor who saw an
-- older one is told. Triggers keep it, so that no way of editing can leave it out. Coupon codes have
-- their change_seq for this.
ALTER TABLE tracking_domain ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE settings        ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE advertiser      ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE offer           ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE affiliate       ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_key         ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

CREATE TRIGGER tracking_domain_revised AFTER UPDATE ON tracking_domain WHEN new.revision = old.revision
BEGIN UPDATE tracking_domain SET revision = old.revision + 1 WHERE id = new.id; END;
CREATE TRIGGER settings_revised AFTER UPDATE ON settings WHEN new.revision = old.revision
BEGIN UPDATE settings SET revision = old.revision + 1; END;
CREATE TRIGGER advertiser_revised AFTER UPDATE ON advertiser WHEN new.revision = old.revision
BEGIN UPDATE advertiser SET revision = old.revision + 1 WHERE id = new.id; END;
CREATE TRIGGER offer_revised AFTER UPDATE ON offer WHEN new.revision = old.revision
BEGIN UPDATE offer SET revision = old.revision + 1 WHERE id = new.id; END;
CREATE TRIGGER affiliate_revised AFTER UPDATE ON affiliate WHEN new.revision = old.revision
BEGIN UPDATE affiliate SET revision = old.revision + 1 WHERE id = new.id; END;
CREATE TRIGGER api_key_revised AFTER UPDATE ON api_key WHEN new.revision = old.revision
BEGIN UPDATE api_key SET revision = old.revision + 1 WHERE id = new.id; END;

-- Whether a domain is the default one is answered of the domain and stands in the settings.
CREATE TRIGGER default_domain_revised AFTER UPDATE OF default_tracking_domain_id ON settings
WHEN old.default_tracking_domain_id IS NOT new.default_tracking_domain_id
BEGIN
    UPDATE tracking_domain SET revision = revision + 1
    WHERE id IN (old.default_tracking_domain_id, new.default_tracking_domain_id);
END;

-- What is said of partners on an offer is part of the offer.
CREATE TRIGGER offer_visibility_said AFTER INSERT ON offer_visibility
BEGIN UPDATE offer SET revision = revision + 1 WHERE id = new.offer_id; END;
CREATE TRIGGER offer_visibility_changed AFTER UPDATE ON offer_visibility
BEGIN UPDATE offer SET revision = revision + 1 WHERE id = new.offer_id; END;
CREATE TRIGGER offer_visibility_taken_back AFTER DELETE ON offer_visibility
BEGIN UPDATE offer SET revision = revision + 1 WHERE id = old.offer_id; END;

-- Written in the transaction of what it tells of, and never changed. One entry stands for one
-- object, or for all that one request or file did alike.
CREATE TABLE audit (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    time_created INTEGER NOT NULL,
    actor        TEXT    NOT NULL CHECK (actor IN ('api_key', 'command_line', 'program')),
    api_key_id   INTEGER REFERENCES api_key (id),
    -- As it was called then.
    api_key_name TEXT    NOT NULL DEFAULT '',
    request_id   TEXT    NOT NULL DEFAULT '',
    object       TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    -- The objects: how many, and their lowest and highest id. Settings have the id 0.
    objects      INTEGER NOT NULL DEFAULT 1,
    first_id     INTEGER NOT NULL,
    last_id      INTEGER NOT NULL,
    -- A JSON array of {field, before, after}; secrets are never in it.
    changes      TEXT    NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX audit_object ON audit (object, first_id);
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit is kept'); END;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit is never changed'); END;

-- Creations that carried an Idempotency-Key, and what was answered. Rows go after a day.
CREATE TABLE idempotency (
    api_key_id   INTEGER NOT NULL REFERENCES api_key (id),
    key          TEXT    NOT NULL,
    -- Of method, path, query and body.
    fingerprint  BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    body         BLOB    NOT NULL,
    etag         TEXT    NOT NULL DEFAULT '',
    -- The change's place in the sequence, where it is published.
    change_seq   INTEGER,
    time_created INTEGER NOT NULL,
    PRIMARY KEY (api_key_id, key)
) STRICT;
CREATE INDEX idempotency_time ON idempotency (time_created);

-- Traffic controls: visits that are refused for what their link or their visitor brings.
CREATE TABLE traffic_control (
    id                      INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name                    TEXT    NOT NULL,
    status                  TEXT    NOT NULL CHECK (status IN ('active', 'inactive')),
    control_type            TEXT    NOT NULL CHECK (control_type IN ('blacklist', 'whitelist')),
    targeting_action        TEXT    NOT NULL CHECK (targeting_action IN ('block', 'fail_traffic')),
    comparison_method       TEXT    NOT NULL,
    is_apply_all_affiliates INTEGER NOT NULL CHECK (is_apply_all_affiliates IN (0, 1)),
    is_apply_all_offers     INTEGER NOT NULL CHECK (is_apply_all_offers IN (0, 1)),
    -- JSON arrays of words and ids.
    variables               TEXT    NOT NULL,
    offer_ids               TEXT    NOT NULL,
    affiliate_ids           TEXT    NOT NULL,
    advertiser_ids          TEXT    NOT NULL,
    date_valid_from         TEXT,
    date_valid_to           TEXT,
    time_created            INTEGER NOT NULL,
    time_saved              INTEGER NOT NULL,
    time_deleted            INTEGER NOT NULL DEFAULT 0,
    revision                INTEGER NOT NULL DEFAULT 1,
    -- A JSON array of thousands of texts. Lists of controls do not read it, so it comes last.
    value_list              TEXT    NOT NULL
) STRICT;
CREATE TRIGGER traffic_control_revised AFTER UPDATE ON traffic_control WHEN new.revision = old.revision
BEGIN UPDATE traffic_control SET revision = old.revision + 1 WHERE id = new.id; END;

-- SmartSwitch: rules that measure the values of a variable, what they did, and the values that are
-- blocked.
CREATE TABLE smart_switch_rule (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name         TEXT    NOT NULL,
    rule_status  TEXT    NOT NULL CHECK (rule_status IN ('active', 'inactive')),
    variable     TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    -- JSON as the API takes it.
    body         TEXT    NOT NULL,
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL,
    time_deleted INTEGER NOT NULL DEFAULT 0,
    revision     INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TRIGGER smart_switch_rule_revised AFTER UPDATE ON smart_switch_rule WHEN new.revision = old.revision
BEGIN UPDATE smart_switch_rule SET revision = old.revision + 1 WHERE id = new.id; END;

CREATE TABLE smart_switch_run (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_id       INTEGER NOT NULL REFERENCES smart_switch_rule (id),
    outcome       TEXT    NOT NULL,
    -- JSON as the API answers it.
    body          TEXT    NOT NULL,
    -- Unix seconds.
    time_started  INTEGER NOT NULL,
    -- The end of the measured time as a quarter hour since 1970.
    to_slot       INTEGER NOT NULL
) STRICT;
CREATE INDEX smart_switch_run_rule ON smart_switch_run (rule_id, id);

-- One row for each value in a scope, of a rule or blocked by hand. The audit has its history.
CREATE TABLE blocked_value (
    id            INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    -- None: blocked by hand.
    rule_id       INTEGER REFERENCES smart_switch_rule (id),
    variable      TEXT    NOT NULL,
    -- ASCII letters in lower case.
    value         TEXT    NOT NULL CHECK (value <> ''),
    -- 0: all of them.
    offer_id      INTEGER NOT NULL DEFAULT 0,
    advertiser_id INTEGER NOT NULL DEFAULT 0,
    affiliate_id  INTEGER NOT NULL DEFAULT 0,
    action        TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('warned', 'active', 'released', 'exempt')),
    notes         TEXT    NOT NULL DEFAULT '',
    is_shown_to_partner INTEGER NOT NULL DEFAULT 1,
    -- The run of the rule, and the numbers that it measured: a JSON array.
    run_id        INTEGER NOT NULL DEFAULT 0,
    measured      TEXT    NOT NULL DEFAULT '[]',
    -- The rule's window in seconds: that long a released value is not blocked again.
    window_s      INTEGER NOT NULL DEFAULT 0,
    -- Unix seconds, or 0. Of a warned value: when it is checked again.
    time_due      INTEGER NOT NULL DEFAULT 0,
    time_blocked  INTEGER NOT NULL DEFAULT 0,
    time_released INTEGER NOT NULL DEFAULT 0,
    exempt_until  INTEGER NOT NULL DEFAULT 0,
    time_created  INTEGER NOT NULL,
    time_saved    INTEGER NOT NULL,
    time_deleted  INTEGER NOT NULL DEFAULT 0,
    revision      INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX blocked_value_key
    ON blocked_value (variable, value, offer_id, advertiser_id, affiliate_id, ifnull(rule_id, 0));
CREATE INDEX blocked_value_active ON blocked_value (action, variable, value) WHERE status = 'active';
CREATE INDEX blocked_value_rule ON blocked_value (rule_id, status) WHERE rule_id IS NOT NULL;
CREATE TRIGGER blocked_value_revised AFTER UPDATE ON blocked_value WHEN new.revision = old.revision
BEGIN UPDATE blocked_value SET revision = old.revision + 1 WHERE id = new.id; END;
CREATE TRIGGER blocked_value_begins AFTER INSERT ON blocked_value WHEN new.status = 'active'
BEGIN UPDATE blocked_value SET time_blocked = new.time_saved WHERE id = new.id; END;
CREATE TRIGGER blocked_value_blocked AFTER UPDATE OF status ON blocked_value
WHEN new.status = 'active' AND old.status <> 'active'
BEGIN
    UPDATE blocked_value SET time_blocked = new.time_saved, time_released = 0, exempt_until = 0
    WHERE id = new.id;
END;
CREATE TRIGGER blocked_value_released AFTER UPDATE OF status ON blocked_value
WHEN new.status = 'released' AND old.status = 'active'
BEGIN
    UPDATE blocked_value SET time_released = new.time_saved,
        exempt_until = new.time_saved + new.window_s WHERE id = new.id;
END;

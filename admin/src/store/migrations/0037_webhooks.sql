-- Events of the network, webhooks that get them, and the outbox of their deliveries.

-- Bounded: the newest events, and those that a delivery still needs.
CREATE TABLE event (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Random, so that no event of a restored store has the id of another one.
    event_id     TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    -- JSON, without personal data.
    data         TEXT    NOT NULL,
    time_created INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook (
    id             INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name           TEXT    NOT NULL,
    url            TEXT    NOT NULL,
    -- Of the URL, with the port: what one slow server holds up.
    host           TEXT    NOT NULL,
    webhook_status TEXT    NOT NULL CHECK (webhook_status IN ('active', 'inactive')),
    -- A JSON array of event types; empty: all.
    events         TEXT    NOT NULL,
    secret         TEXT    NOT NULL DEFAULT '',
    -- Signs beside the present one until then, in Unix seconds.
    former_secret  TEXT    NOT NULL DEFAULT '',
    former_secret_until INTEGER NOT NULL DEFAULT 0,
    time_created   INTEGER NOT NULL,
    time_saved     INTEGER NOT NULL,
    time_deleted   INTEGER NOT NULL DEFAULT 0,
    revision       INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TRIGGER webhook_revised AFTER UPDATE ON webhook WHEN new.revision = old.revision
BEGIN UPDATE webhook SET revision = old.revision + 1 WHERE id = new.id; END;

-- One row for each event and each webhook that asks for it, written with the event.
CREATE TABLE webhook_delivery (
    id             INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    webhook_id     INTEGER NOT NULL REFERENCES webhook (id),
    event_number   INTEGER NOT NULL REFERENCES event (id),
    host           TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts       INTEGER NOT NULL DEFAULT 0,
    since_ms       INTEGER NOT NULL,
    due_ms         INTEGER NOT NULL,
    last_status    INTEGER NOT NULL DEFAULT 0,
    last_error     TEXT    NOT NULL DEFAULT '',
    time_created   INTEGER NOT NULL,
    time_attempted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX webhook_delivery_due     ON webhook_delivery (host, due_ms) WHERE state = 'pending';
CREATE INDEX webhook_delivery_since   ON webhook_delivery (since_ms) WHERE state = 'pending';
CREATE INDEX webhook_delivery_webhook ON webhook_delivery (webhook_id, state, id);
CREATE INDEX webhook_delivery_event   ON webhook_delivery (event_number);

-- What waits when a webhook is made inactive or deleted is not sent; it can be replayed.
CREATE TRIGGER webhook_silenced AFTER UPDATE OF webhook_status, time_deleted ON webhook
WHEN new.webhook_status = 'inactive' OR new.time_deleted <> 0
BEGIN
    UPDATE webhook_delivery SET state = 'dead', last_error = 'the webhook was made inactive or deleted'
    WHERE webhook_id = new.id AND state = 'pending';
END;
CREATE TRIGGER webhook_moved AFTER UPDATE OF host ON webhook WHEN new.host <> old.host
BEGIN
    UPDATE webhook_delivery SET host = new.host WHERE webhook_id = new.id AND state = 'pending';
END;

-- Alerts about caps that are nearly reached stand beside those about reached ones.
ALTER TABLE settings ADD COLUMN cap_alert_percentage INTEGER NOT NULL DEFAULT 90;
CREATE TABLE cap_alert_of_level (
    cap_id       INTEGER NOT NULL REFERENCES cap (id),
    metric       TEXT    NOT NULL,
    from_ms      INTEGER NOT NULL,
    to_ms        INTEGER NOT NULL,
    level        TEXT    NOT NULL CHECK (level IN ('near', 'reached')),
    time_created INTEGER NOT NULL,
    PRIMARY KEY (cap_id, metric, from_ms, to_ms, level)
) STRICT, WITHOUT ROWID;
INSERT INTO cap_alert_of_level (cap_id, metric, from_ms, to_ms, level, time_created)
    SELECT cap_id, metric, from_ms, to_ms, 'reached', time_created FROM cap_alert;
DROP TABLE cap_alert;
ALTER TABLE cap_alert_of_level RENAME TO cap_alert;

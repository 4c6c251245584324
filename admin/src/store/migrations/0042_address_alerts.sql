-- Alerts where most visits of a partner or a code come from one address; a percentage of 0 is off.
ALTER TABLE settings ADD COLUMN address_alert_percentage INTEGER NOT NULL DEFAULT 50;
ALTER TABLE settings ADD COLUMN address_alert_minimum INTEGER NOT NULL DEFAULT 100;
-- One row for each alert, so that a day has no second one. Either id is 0.
CREATE TABLE address_alert (
    affiliate_id   INTEGER NOT NULL,
    coupon_code_id INTEGER NOT NULL,
    -- Begin of the network's day.
    from_ms        INTEGER NOT NULL,
    PRIMARY KEY (affiliate_id, coupon_code_id, from_ms)
) STRICT, WITHOUT ROWID;

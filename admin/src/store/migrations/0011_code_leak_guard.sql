-- What is done about conversions by a code that seems to have leaked.
ALTER TABLE settings ADD COLUMN leak_action        TEXT    NOT NULL DEFAULT 'flag' CHECK (leak_action IN ('off', 'flag', 'hold'));
ALTER TABLE settings ADD COLUMN leak_spike_factor  INTEGER NOT NULL DEFAULT 10;
ALTER TABLE settings ADD COLUMN leak_spike_minimum INTEGER NOT NULL DEFAULT 20;

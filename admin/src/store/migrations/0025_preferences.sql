-- How the pages look and work for a user. Without a row, as delivered.
CREATE TABLE preference (
    user_id                INTEGER PRIMARY KEY REFERENCES user (id),
    theme                  TEXT    NOT NULL CHECK (theme IN ('auto', 'light', 'dark')),
    density                TEXT    NOT NULL CHECK (density IN ('regular', 'compact')),
    decimal_mark           TEXT    NOT NULL CHECK (decimal_mark IN ('point', 'comma')),
    has_single_key_actions INTEGER NOT NULL CHECK (has_single_key_actions IN (0, 1))
) STRICT;

-- Numbers of regions, cities and mobile networks in rulesets. A number is never given to another
-- value, because clients keep it: rows are not deleted.
CREATE TABLE target_value (
    id   INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 100000 AND 4294967295),
    kind TEXT NOT NULL CHECK (kind IN ('region', 'city', 'mobile_carrier')),
    -- What tells the value from others of its kind; names in lower case.
    key  TEXT NOT NULL,
    -- JSON as a ruleset names the value, without its number.
    body TEXT NOT NULL,
    UNIQUE (kind, key)
) STRICT;
INSERT INTO sqlite_sequence (name, seq) VALUES ('target_value', 99999);

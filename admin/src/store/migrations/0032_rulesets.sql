-- Who an offer is for. A ruleset keeps its id, because clicks name the rule that refused them.
CREATE TABLE ruleset (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    offer_id     INTEGER NOT NULL UNIQUE REFERENCES offer (id),
    -- JSON as the API answers it; '{}' is for everybody.
    body         TEXT    NOT NULL,
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL
) STRICT;

-- The last use of each API key. A table of its own, so a use changes no revision of a key.
CREATE TABLE api_key_use (
    api_key_id INTEGER PRIMARY KEY REFERENCES api_key (id),
    time_used  INTEGER NOT NULL,
    -- Of the client.
    address    TEXT    NOT NULL
) STRICT;

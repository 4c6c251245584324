-- Lists as users arrange them.
CREATE TABLE saved_view (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    user_id      INTEGER NOT NULL REFERENCES user (id),
    list         TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    -- Of the list's address, without columns.
    query        TEXT    NOT NULL,
    -- Names of columns in their order, with commas between; '' as delivered.
    columns      TEXT    NOT NULL,
    is_shared    INTEGER NOT NULL CHECK (is_shared IN (0, 1)),
    time_created INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX saved_view_name ON saved_view (user_id, list, name);
CREATE INDEX saved_view_shared ON saved_view (list) WHERE is_shared = 1;

CREATE TABLE list_preference (
    user_id         INTEGER NOT NULL REFERENCES user (id),
    list            TEXT    NOT NULL,
    columns         TEXT    NOT NULL DEFAULT '',
    default_view_id INTEGER REFERENCES saved_view (id) ON DELETE SET NULL,
    PRIMARY KEY (user_id, list)
) STRICT, WITHOUT ROWID;
CREATE INDEX list_preference_view ON list_preference (default_view_id) WHERE default_view_id IS NOT NULL;

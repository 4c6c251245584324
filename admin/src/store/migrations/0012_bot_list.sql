-- The list of bots, one row, and how far the click archive was judged again by another one.
CREATE TABLE bot_list (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    -- The patterns that are wanted, one a line; null: those that come with the program.
    wanted             TEXT,
    time_saved         INTEGER NOT NULL DEFAULT 0,
    revision           INTEGER NOT NULL DEFAULT 1,
    -- By which visits are judged and counted; from this quarter hour on all of them.
    in_force           TEXT    NOT NULL,
    in_force_from_slot INTEGER NOT NULL DEFAULT 0,
    -- By which the archive is being judged again, null for none, and its next frame.
    judging            TEXT,
    next_frame         INTEGER NOT NULL DEFAULT 0,
    -- The visits of conversions up to this one are clicks whatever the list says; null: all are.
    turned_through     INTEGER
) STRICT;
CREATE TRIGGER bot_list_revised AFTER UPDATE OF time_saved ON bot_list WHEN new.revision = old.revision
BEGIN UPDATE bot_list SET revision = old.revision + 1; END;

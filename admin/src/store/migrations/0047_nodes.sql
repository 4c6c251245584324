-- The daemons' nodes. Two daemons with one node id number their clicks alike; the random id of a data
-- folder (store id) tells them apart. Earlier rows have no store id: a stream or spool takes that of the
-- daemon that goes on with it.
CREATE TABLE node (
    id         INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 1023),
    -- The daemon's name in the configuration; empty for the only one.
    name       TEXT    NOT NULL,
    store_id   BLOB    NOT NULL CHECK (length(store_id) = 16),
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT;

-- Every node that a configured daemon ever stated, also a refused one: its clicks may still wait there.
CREATE TABLE daemon_node (
    name TEXT    NOT NULL,
    node INTEGER NOT NULL,
    PRIMARY KEY (name, node)
) STRICT, WITHOUT ROWID;

-- The data folder that each stream of clicks was first archived from. Counting again keeps it.
CREATE TABLE click_stream_owner (
    node        INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    thread      INTEGER NOT NULL,
    store_id    BLOB    NOT NULL CHECK (length(store_id) = 16),
    PRIMARY KEY (node, incarnation, thread)
) STRICT, WITHOUT ROWID;

ALTER TABLE postback_spool ADD COLUMN store_id BLOB CHECK (length(store_id) = 16);

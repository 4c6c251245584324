-- Edges: couponds on other machines, reached over NATS. A node id is never given to a second edge,
-- because clicks name it for as long as they are kept.
CREATE TABLE edge (
    node         INTEGER PRIMARY KEY CHECK (node BETWEEN 0 AND 1023),
    name         TEXT    NOT NULL,
    -- In the bundle of the edge as well; seals what passes between both sides.
    secret       BLOB    NOT NULL CHECK (length(secret) = 32),
    -- The data folder of its coupond, from the first lease on: another folder does not have its clicks.
    store_id     BLOB    CHECK (length(store_id) = 16),
    time_created INTEGER NOT NULL,
    -- 0 for an edge in service.
    time_revoked INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX edge_in_service ON edge (name) WHERE time_revoked = 0;

-- The control plane of the edges: one row, from the first edge on.
CREATE TABLE control_plane (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    -- The key that signs the published index comes from it.
    secret       BLOB    NOT NULL CHECK (length(secret) = 32),
    -- Number of the last run. Edges do not follow a run before the last one that they know.
    epoch        INTEGER NOT NULL,
    -- 1: another control plane owns the edges. 2: this one shall take them over.
    ownership    INTEGER NOT NULL DEFAULT 0 CHECK (ownership IN (0, 1, 2))
) STRICT;

-- Keys that open the published index for all edges; the newest seals it. A revoked edge has the older ones.
CREATE TABLE fleet_key (
    id           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    secret       BLOB    NOT NULL CHECK (length(secret) = 32),
    time_created INTEGER NOT NULL
) STRICT;

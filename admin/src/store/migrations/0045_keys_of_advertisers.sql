-- The keys of advertisers. SQLite changes no CHECK, so the table is made anew under its name, which the
-- references of other tables keep; they are checked again at the end of the transaction.
PRAGMA defer_foreign_keys = ON;
-- Without it each key would be looked for in the whole audit.
CREATE INDEX audit_api_key ON audit (api_key_id);
CREATE TABLE api_key_earlier AS SELECT * FROM api_key;
DROP TABLE api_key;
CREATE TABLE api_key (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('admin', 'manager', 'read_only', 'partner', 'advertiser')),
    affiliate_id  INTEGER REFERENCES affiliate (id),
    advertiser_id INTEGER REFERENCES advertiser (id),
    hash          BLOB    NOT NULL CHECK (length(hash) = 32),
    -- The first characters, by which an owner recognises the key.
    hint          TEXT    NOT NULL,
    time_created  INTEGER NOT NULL,
    time_saved    INTEGER NOT NULL,
    time_deleted  INTEGER NOT NULL DEFAULT 0,
    revision      INTEGER NOT NULL DEFAULT 1,
    CHECK ((role = 'partner') = (affiliate_id IS NOT NULL)),
    CHECK ((role = 'advertiser') = (advertiser_id IS NOT NULL))
) STRICT;
INSERT INTO api_key (id, name, role, affiliate_id, hash, hint, time_created, time_saved, time_deleted, revision)
    SELECT id, name, role, affiliate_id, hash, hint, time_created, time_saved, time_deleted, revision
    FROM api_key_earlier;
DROP TABLE api_key_earlier;
DROP INDEX audit_api_key;
CREATE UNIQUE INDEX api_key_hash ON api_key (hash);
CREATE TRIGGER api_key_revised AFTER UPDATE ON api_key WHEN new.revision = old.revision
BEGIN UPDATE api_key SET revision = old.revision + 1 WHERE id = new.id; END;

-- Users of the console: who they are, how they sign in, and what they changed. API keys may have the
-- role of a manager.

-- The CHECKs on roles and actors change, so the tables are made anew. SQLite points the references of
-- the old tables to the renamed ones, which go in the end.
DROP TRIGGER api_key_revised;
DROP TRIGGER audit_stays;
DROP TRIGGER audit_is_final;
DROP TRIGGER conversion_history_stays;
DROP TRIGGER conversion_history_is_final;
DROP INDEX api_key_hash;
DROP INDEX audit_object;
DROP INDEX idempotency_time;
DROP INDEX conversion_history_number;
ALTER TABLE api_key RENAME TO api_key_earlier;
ALTER TABLE audit RENAME TO audit_earlier;
ALTER TABLE idempotency RENAME TO idempotency_earlier;
ALTER TABLE conversion_history RENAME TO conversion_history_earlier;

CREATE TABLE api_key (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,
    role         TEXT    NOT NULL CHECK (role IN ('admin', 'manager', 'read_only', 'partner')),
    affiliate_id INTEGER REFERENCES affiliate (id),
    hash         BLOB    NOT NULL CHECK (length(hash) = 32),
    -- The first characters, by which an owner recognises the key.
    hint         TEXT    NOT NULL,
    time_created INTEGER NOT NULL,
    time_saved   INTEGER NOT NULL,
    time_deleted INTEGER NOT NULL DEFAULT 0,
    revision     INTEGER NOT NULL DEFAULT 1,
    CHECK ((role = 'partner') = (affiliate_id IS NOT NULL))
) STRICT;
INSERT INTO api_key
    SELECT id, name, role, affiliate_id, hash, hint, time_created, time_saved, time_deleted, revision
    FROM api_key_earlier;
CREATE UNIQUE INDEX api_key_hash ON api_key (hash);
CREATE TRIGGER api_key_revised AFTER UPDATE ON api_key WHEN new.revision = old.revision
BEGIN UPDATE api_key SET revision = old.revision + 1 WHERE id = new.id; END;

CREATE TABLE user (
    id                INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    name              TEXT    NOT NULL,
    login             TEXT    NOT NULL,
    -- In the form in which two logins are the same.
    folded_login      TEXT    NOT NULL,
    role              TEXT    NOT NULL CHECK (role IN ('admin', 'manager', 'read_only', 'partner')),
    affiliate_id      INTEGER REFERENCES affiliate (id),
    status            TEXT    NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    -- A PHC string; '' until the invitation is used.
    password_hash     TEXT    NOT NULL DEFAULT '',
    -- NULL: no second factor.
    totp_secret       BLOB,
    -- Shown, and not confirmed by a code yet.
    totp_pending      BLOB,
    -- The step of the last accepted code, because a code is good once.
    totp_last_step    INTEGER NOT NULL DEFAULT 0,
    time_last_sign_in INTEGER NOT NULL DEFAULT 0,
    time_created      INTEGER NOT NULL,
    time_saved        INTEGER NOT NULL,
    time_deleted      INTEGER NOT NULL DEFAULT 0,
    revision          INTEGER NOT NULL DEFAULT 1,
    CHECK ((role = 'partner') = (affiliate_id IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX user_login ON user (folded_login) WHERE time_deleted = 0;
CREATE INDEX user_affiliate ON user (affiliate_id) WHERE affiliate_id IS NOT NULL;
-- A sign-in is no edit.
CREATE TRIGGER user_revised
AFTER UPDATE OF name, login, role, affiliate_id, status, password_hash, totp_secret, time_deleted ON user
WHEN new.revision = old.revision
BEGIN UPDATE user SET revision = old.revision + 1 WHERE id = new.id; END;

-- Of secrets that browsers and links hold, the store has SHA-256 only.
CREATE TABLE user_session (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id <= 4294967295),
    hash               BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_id            INTEGER NOT NULL REFERENCES user (id),
    time_created       INTEGER NOT NULL,
    time_seen          INTEGER NOT NULL,
    -- When the user last gave the password.
    time_authenticated INTEGER NOT NULL,
    address            TEXT    NOT NULL,
    user_agent         TEXT    NOT NULL
) STRICT;
CREATE INDEX user_session_user ON user_session (user_id);

-- Links that are good once. One of purpose `setup` makes its user.
CREATE TABLE user_link (
    hash         BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    purpose      TEXT    NOT NULL CHECK (purpose IN ('setup', 'invite', 'reset')),
    user_id      INTEGER REFERENCES user (id),
    time_created INTEGER NOT NULL,
    time_expires INTEGER NOT NULL,
    CHECK ((purpose = 'setup') = (user_id IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX user_link_user ON user_link (user_id);

CREATE TABLE recovery_code (
    user_id INTEGER NOT NULL REFERENCES user (id),
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

-- Browsers in which a user signed in before.
CREATE TABLE user_device (
    hash         BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    user_id      INTEGER NOT NULL REFERENCES user (id),
    time_created INTEGER NOT NULL,
    time_seen    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX user_device_user ON user_device (user_id);

-- Failed sign-ins: of an address in one minute, of a login or of a known browser in a row. Logins of
-- nobody count, too, so that the answers tell nothing.
CREATE TABLE sign_in_failure (
    subject       BLOB    PRIMARY KEY CHECK (length(subject) = 32),
    failures      INTEGER NOT NULL,
    -- Of the first of a minute, or of the last in a row.
    time_counted  INTEGER NOT NULL,
    -- Of the last that the audit names.
    time_recorded INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_failure_time ON sign_in_failure (time_counted);

CREATE TABLE audit (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    time_created INTEGER NOT NULL,
    actor        TEXT    NOT NULL CHECK (actor IN ('api_key', 'user', 'command_line', 'program')),
    api_key_id   INTEGER REFERENCES api_key (id),
    -- As they were called then.
    api_key_name TEXT    NOT NULL DEFAULT '',
    user_id      INTEGER REFERENCES user (id),
    user_name    TEXT    NOT NULL DEFAULT '',
    request_id   TEXT    NOT NULL DEFAULT '',
    object       TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    -- The objects: how many, and their lowest and highest id. Settings have the id 0.
    objects      INTEGER NOT NULL DEFAULT 1,
    first_id     INTEGER NOT NULL,
    last_id      INTEGER NOT NULL,
    -- A JSON array of {field, before, after}; secrets are never in it.
    changes      TEXT    NOT NULL DEFAULT '[]'
) STRICT;
INSERT INTO audit (id, time_created, actor, api_key_id, api_key_name, request_id, object, action, objects,
                   first_id, last_id, changes)
    SELECT id, time_created, actor, api_key_id, api_key_name, request_id, object, action, objects,
           first_id, last_id, changes
    FROM audit_earlier;
CREATE INDEX audit_object ON audit (object, first_id);
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit is kept'); END;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit is never changed'); END;

CREATE TABLE conversion_history (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    number       INTEGER NOT NULL REFERENCES conversion (number),
    time_created INTEGER NOT NULL,
    action       TEXT    NOT NULL CHECK (action IN ('created', 'status', 'adjusted', 'refund', 'conflict')),
    actor        TEXT    NOT NULL CHECK (actor IN ('api_key', 'user', 'command_line', 'program')),
    api_key_id   INTEGER,
    -- As they were called then.
    api_key_name TEXT    NOT NULL DEFAULT '',
    user_id      INTEGER,
    user_name    TEXT    NOT NULL DEFAULT '',
    -- The postback that did it, if one did.
    postback_id  BLOB,
    -- A JSON array of {field, before, after}.
    changes      TEXT    NOT NULL
) STRICT;
INSERT INTO conversion_history (id, number, time_created, action, actor, api_key_id, api_key_name,
                                postback_id, changes)
    SELECT id, number, time_created, action, actor, api_key_id, api_key_name, postback_id, changes
    FROM conversion_history_earlier;
CREATE INDEX conversion_history_number ON conversion_history (number, id);
CREATE TRIGGER conversion_history_stays BEFORE DELETE ON conversion_history
BEGIN SELECT raise(ABORT, 'the history of conversions is kept'); END;
CREATE TRIGGER conversion_history_is_final BEFORE UPDATE ON conversion_history
BEGIN SELECT raise(ABORT, 'the history of conversions is never changed'); END;

CREATE TABLE idempotency (
    actor        TEXT    NOT NULL CHECK (actor IN ('api_key', 'user')),
    -- Of the key or the user.
    actor_id     INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    -- Of method, path, query and body.
    fingerprint  BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    body         BLOB    NOT NULL,
    etag         TEXT    NOT NULL DEFAULT '',
    -- The change's place in the sequence, where it is published.
    change_seq   INTEGER,
    time_created INTEGER NOT NULL,
    PRIMARY KEY (actor, actor_id, key)
) STRICT;
INSERT INTO idempotency
    SELECT 'api_key', api_key_id, key, fingerprint, body, etag, change_seq, time_created
    FROM idempotency_earlier;
CREATE INDEX idempotency_time ON idempotency (time_created);

DROP TABLE audit_earlier;
DROP TABLE conversion_history_earlier;
DROP TABLE idempotency_earlier;
DROP TABLE api_key_earlier;

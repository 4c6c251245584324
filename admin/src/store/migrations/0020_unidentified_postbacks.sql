-- Postbacks that identify nothing: no code, click or partner that is known. Anybody can send them, so
-- what they take is bounded; the oldest go first. Earlier ones stay as they are.
ALTER TABLE postback ADD COLUMN unidentified_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX postback_unidentified ON postback (received_ms, number) WHERE unidentified_bytes > 0;

CREATE TABLE unidentified_postbacks (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    -- What those in the log take.
    bytes   INTEGER NOT NULL,
    -- Those removed before their time, to stay within the bound.
    removed INTEGER NOT NULL,
    -- Those never kept, because the disk was low.
    dropped INTEGER NOT NULL
) STRICT;
INSERT INTO unidentified_postbacks VALUES (1, 0, 0, 0);

-- The sum is right whoever adds, cuts or removes a row.
CREATE TRIGGER postback_unidentified_added AFTER INSERT ON postback WHEN NEW.unidentified_bytes > 0 BEGIN
    UPDATE unidentified_postbacks SET bytes = bytes + NEW.unidentified_bytes;
END;
CREATE TRIGGER postback_unidentified_cut AFTER UPDATE OF unidentified_bytes ON postback BEGIN
    UPDATE unidentified_postbacks SET bytes = bytes + NEW.unidentified_bytes - OLD.unidentified_bytes;
END;
CREATE TRIGGER postback_unidentified_gone AFTER DELETE ON postback WHEN OLD.unidentified_bytes > 0 BEGIN
    UPDATE unidentified_postbacks SET bytes = bytes - OLD.unidentified_bytes;
END;

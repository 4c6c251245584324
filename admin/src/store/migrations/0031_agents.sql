-- Reports by the visitor's operating system and browser. Of the click; '' where none is known.
ALTER TABLE conversion ADD COLUMN platform TEXT NOT NULL DEFAULT '';
ALTER TABLE conversion ADD COLUMN browser TEXT NOT NULL DEFAULT '';
-- The program's rules by which conversions were counted. Where they are older than the program's,
-- the next start counts the conversions again.
ALTER TABLE meta ADD COLUMN conversion_count_rules INTEGER NOT NULL DEFAULT 0;
-- A classification that older rules began starts anew.
UPDATE bot_list SET judging = NULL, next_frame = 0;

-- Reports by the visitor's place. Of the click; '' where none is known.
ALTER TABLE conversion ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE conversion ADD COLUMN city TEXT NOT NULL DEFAULT '';
-- The databases of places, one a line: those in service, those that told the places of the counts,
-- and those that tell the places of a classification under way.
ALTER TABLE bot_list ADD COLUMN wanted_places TEXT NOT NULL DEFAULT '';
ALTER TABLE bot_list ADD COLUMN places TEXT NOT NULL DEFAULT '';
ALTER TABLE bot_list ADD COLUMN judging_places TEXT NOT NULL DEFAULT '';

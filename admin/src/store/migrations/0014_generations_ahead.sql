-- Up to this generation one may be published that `generation`, the last one noted, does not count yet.
ALTER TABLE meta ADD COLUMN generation_reserved INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET generation_reserved = generation;

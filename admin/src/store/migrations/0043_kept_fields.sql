-- Fields of Everflow's clients without a meaning here, as a JSON object.
ALTER TABLE advertiser           ADD COLUMN kept_fields TEXT NOT NULL DEFAULT '{}';
ALTER TABLE offer                ADD COLUMN kept_fields TEXT NOT NULL DEFAULT '{}';
ALTER TABLE offer_payout_revenue ADD COLUMN kept_fields TEXT NOT NULL DEFAULT '{}';
ALTER TABLE affiliate            ADD COLUMN kept_fields TEXT NOT NULL DEFAULT '{}';

-- Partners can be `pending`. SQLite changes no constraint, so the column gives way to another. The
-- trigger is away meanwhile, because no answer about a partner changes.
DROP TRIGGER affiliate_revised;
ALTER TABLE affiliate ADD COLUMN new_status TEXT NOT NULL DEFAULT 'inactive'
    CHECK (new_status IN ('active', 'inactive', 'suspended', 'pending'));
UPDATE affiliate SET new_status = account_status;
ALTER TABLE affiliate DROP COLUMN account_status;
ALTER TABLE affiliate RENAME COLUMN new_status TO account_status;
CREATE TRIGGER affiliate_revised AFTER UPDATE ON affiliate WHEN new.revision = old.revision
BEGIN UPDATE affiliate SET revision = old.revision + 1 WHERE id = new.id; END;

-- The roles whose users must have a second factor.
ALTER TABLE settings ADD COLUMN second_factor_admin     INTEGER NOT NULL DEFAULT 0 CHECK (second_factor_admin IN (0, 1));
ALTER TABLE settings ADD COLUMN second_factor_manager   INTEGER NOT NULL DEFAULT 0 CHECK (second_factor_manager IN (0, 1));
ALTER TABLE settings ADD COLUMN second_factor_read_only INTEGER NOT NULL DEFAULT 0 CHECK (second_factor_read_only IN (0, 1));
ALTER TABLE settings ADD COLUMN second_factor_partner   INTEGER NOT NULL DEFAULT 0 CHECK (second_factor_partner IN (0, 1));

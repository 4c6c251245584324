-- Codes that have no link and are named in conversions only; they are never published.
ALTER TABLE coupon_code ADD COLUMN conversion_only INTEGER NOT NULL DEFAULT 0;
DROP INDEX coupon_code_published;
-- All that the index needs of a code, in the order in which a level is built.
CREATE INDEX coupon_code_published ON coupon_code
    (folded, id, offer_id, affiliate_id, status, start_date, end_date, conversion_only) WHERE time_deleted = 0;

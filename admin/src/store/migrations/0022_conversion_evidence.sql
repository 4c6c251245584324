-- A conversion's own currency and evidence, what refunds are about, and the ways to find conversions
-- by what they were recorded under.

-- In which the sale was reported. `currency` is that of payout and revenue.
ALTER TABLE conversion ADD COLUMN sale_currency TEXT NOT NULL DEFAULT '';
-- How well it is proved whose it is.
ALTER TABLE conversion ADD COLUMN evidence_rank TEXT NOT NULL DEFAULT 'code'
    CHECK (evidence_rank IN ('code', 'click', 'trusted'));
-- Of a refund that waits or that somebody decides: the key of the order that it is about.
ALTER TABLE conversion ADD COLUMN refund_of BLOB;

-- Those in another currency that still wait for somebody keep what they were reported in, as far as
-- their postback is still here. Nothing was asked of the evidence before: where the advertiser has a
-- rule today, what passed then is taken to have passed it.
UPDATE conversion SET
    sale_currency = ifnull(
        (SELECT nullif(postback.currency, '') FROM postback
         WHERE conversion.status = 'pending' AND conversion.error_code = 1012
           AND postback.id = conversion.id),
        currency),
    evidence_rank = CASE
        WHEN error_code NOT IN (3, 21, 1013, 1014) AND EXISTS (
            SELECT 1 FROM advertiser WHERE advertiser.id = conversion.advertiser_id
               AND (verification_token <> '' OR ip_allow_list <> '[]' OR signing_key <> ''))
            THEN 'trusted'
        WHEN transaction_id <> '' THEN 'click'
        ELSE 'code' END;

-- All with a key, but for what an untrusted sender or an unreadable message made: that may be many,
-- and is never asked for.
CREATE INDEX conversion_with_key ON conversion (key)
    WHERE key IS NOT NULL AND error_code NOT IN (3, 11, 21, 1011, 1013, 1014, 1020);
-- Those that stand in the way of their repeats, by what they were recorded under.
CREATE INDEX conversion_recorded_order ON conversion (order_id, advertiser_id)
    WHERE order_id <> '' AND key IS NOT NULL
      AND (status IN ('approved', 'pending') OR error_code = 9);
CREATE INDEX conversion_recorded_click ON conversion (transaction_id, event_id)
    WHERE transaction_id <> '' AND key IS NOT NULL
      AND (status IN ('approved', 'pending') OR error_code = 9);
-- Refunds whose order has not come.
CREATE INDEX conversion_refund_waits ON conversion (refund_of, evidence_rank, unix_ms)
    WHERE refund_of IS NOT NULL AND status = 'pending' AND error_code = 1024;
CREATE INDEX conversion_refund_waits_since ON conversion (unix_ms)
    WHERE refund_of IS NOT NULL AND status = 'pending' AND error_code = 1024;

-- The last refund that said something, by its number and order, or by its amount and words.
CREATE TABLE refund (
    key           BLOB    PRIMARY KEY,
    -- What it was taken from; of one that waits or is pending, the refund itself.
    conversion_id BLOB    NOT NULL,
    amount        TEXT    NOT NULL,
    received_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO refund
    SELECT held.key, conversion.id, '0', ifnull(
        (SELECT max(time_created) * 1000 FROM conversion_history AS history
         WHERE history.number = held.number AND history.action = 'refund'), 0)
    FROM conversion_key AS held JOIN conversion USING (number)
    WHERE conversion.key IS NULL OR conversion.key <> held.key;
-- What stands in the way of repeats is told by key, status and reason.
DROP TABLE conversion_key;

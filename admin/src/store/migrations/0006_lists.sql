-- Lists of coupon codes take as long at a million rows as at a thousand: an index in the order of
-- each field that lists are sorted by, and counts that are kept instead of counted.

DROP INDEX coupon_code_offer;
DROP INDEX coupon_code_affiliate;
-- Each ends with what lists are filtered by most, so that a filter needs no look at the row.
CREATE INDEX coupon_code_by_offer ON coupon_code
    (offer_id, id, affiliate_id, status) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_affiliate ON coupon_code
    (affiliate_id, id, offer_id, status) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_status ON coupon_code
    (status, id, offer_id, affiliate_id) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_start_date ON coupon_code
    (start_date, id, offer_id, affiliate_id, status) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_end_date ON coupon_code
    (end_date, id, offer_id, affiliate_id, status) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_time_created ON coupon_code
    (time_created, id, offer_id, affiliate_id, status) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_time_saved ON coupon_code
    (time_saved, id, offer_id, affiliate_id, status) WHERE time_deleted = 0;

-- How many codes that are not deleted there are of each kind. Partner 0: no partner.
CREATE TABLE coupon_code_count (
    offer_id     INTEGER NOT NULL,
    affiliate_id INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    codes        INTEGER NOT NULL,
    PRIMARY KEY (offer_id, affiliate_id, status)
) STRICT, WITHOUT ROWID;
CREATE INDEX coupon_code_count_affiliate ON coupon_code_count (affiliate_id);

-- How many codes that are not deleted there are among each 4096 ids: where a far page begins.
CREATE TABLE coupon_code_block (
    block INTEGER PRIMARY KEY,
    codes INTEGER NOT NULL
) STRICT;

INSERT INTO coupon_code_count
    SELECT offer_id, ifnull(affiliate_id, 0), status, count(*) FROM coupon_code WHERE time_deleted = 0 GROUP BY 1, 2, 3;
INSERT INTO coupon_code_block
    SELECT id >> 12, count(*) FROM coupon_code WHERE time_deleted = 0 GROUP BY 1;

-- Triggers keep both, so that no way of editing can leave them out.
CREATE TRIGGER coupon_code_counted AFTER INSERT ON coupon_code WHEN new.time_deleted = 0
BEGIN
    INSERT INTO coupon_code_count VALUES (new.offer_id, ifnull(new.affiliate_id, 0), new.status, 1)
        ON CONFLICT DO UPDATE SET codes = codes + 1;
    INSERT INTO coupon_code_block VALUES (new.id >> 12, 1) ON CONFLICT DO UPDATE SET codes = codes + 1;
END;
CREATE TRIGGER coupon_code_recounted AFTER UPDATE OF offer_id, affiliate_id, status, time_deleted ON coupon_code
WHEN (old.offer_id, ifnull(old.affiliate_id, 0), old.status, old.time_deleted = 0)
  <> (new.offer_id, ifnull(new.affiliate_id, 0), new.status, new.time_deleted = 0)
BEGIN
    UPDATE coupon_code_count SET codes = codes - 1
        WHERE old.time_deleted = 0
        AND offer_id = old.offer_id AND affiliate_id = ifnull(old.affiliate_id, 0) AND status = old.status;
    INSERT INTO coupon_code_count SELECT new.offer_id, ifnull(new.affiliate_id, 0), new.status, 1
        WHERE new.time_deleted = 0 ON CONFLICT DO UPDATE SET codes = codes + 1;
    UPDATE coupon_code_block SET codes = codes + (new.time_deleted = 0) - (old.time_deleted = 0)
        WHERE block = old.id >> 12;
END;
-- How lists of the smaller objects are sorted.
CREATE INDEX offer_by_name ON offer (name) WHERE time_deleted = 0;
CREATE INDEX affiliate_by_name ON affiliate (name) WHERE time_deleted = 0;

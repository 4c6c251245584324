-- Indexes by the day a code starts or ends, and by its creation, hold nothing else. They were as large
-- as half of the table, and were written again for every change of a status, offer or partner; few
-- lists are sorted by them and filtered by something else.
DROP INDEX coupon_code_by_start_date;
DROP INDEX coupon_code_by_end_date;
DROP INDEX coupon_code_by_time_created;
CREATE INDEX coupon_code_by_start_date ON coupon_code (start_date) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_end_date ON coupon_code (end_date) WHERE time_deleted = 0;
CREATE INDEX coupon_code_by_time_created ON coupon_code (time_created) WHERE time_deleted = 0;

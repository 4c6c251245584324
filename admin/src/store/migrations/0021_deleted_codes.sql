-- Deleted codes are listed, so that they can be found and restored.
CREATE INDEX coupon_code_deleted ON coupon_code (id) WHERE time_deleted <> 0;

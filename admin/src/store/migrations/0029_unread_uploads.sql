-- A file whose columns or encoding are in doubt is kept as received until a user says how to read
-- it. `file_name` then names that file, and this column the encoding that its bytes show. NULL: the
-- rows are read.
ALTER TABLE coupon_code_upload ADD COLUMN unread_encoding TEXT
    CHECK (unread_encoding IN ('utf-8', 'utf-16', 'windows-1252'));

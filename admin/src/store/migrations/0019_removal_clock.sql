-- What the clock said when it was last looked at, and for how long it had agreed with itself. Nothing
-- is removed for its age by a clock that was just set: see coupon_shared::removal_clock.
CREATE TABLE removal_clock (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    unix_ms   INTEGER NOT NULL,
    agreed_ms INTEGER NOT NULL,
    parted_ms INTEGER NOT NULL,
    jump_ms   INTEGER NOT NULL
) STRICT;

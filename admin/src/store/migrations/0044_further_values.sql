-- Values beyond sub1 to sub5 and adv1 to adv5: a JSON object of texts by name, empty without any.
ALTER TABLE conversion ADD COLUMN further TEXT NOT NULL DEFAULT '';
-- Personal: the ids that ad networks gave the click (fbclid, gclid, ttclid).
ALTER TABLE conversion ADD COLUMN ad_click_ids TEXT NOT NULL DEFAULT '';

-- Personal: of the buyer, as a trusted server reports it, and the shop's number of the buyer.
ALTER TABLE conversion ADD COLUMN buyer_address TEXT NOT NULL DEFAULT '';
ALTER TABLE conversion ADD COLUMN buyer_user_agent TEXT NOT NULL DEFAULT '';
ALTER TABLE conversion ADD COLUMN buyer_id TEXT NOT NULL DEFAULT '';

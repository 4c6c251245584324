-- A forwarding rule is published while the destination's advertiser is active, so the offers that
-- forward are published again when that changes.
CREATE TRIGGER advertiser_of_destinations AFTER UPDATE OF account_status, time_deleted ON advertiser
WHEN (new.account_status = 'active' AND new.time_deleted = 0)
    <> (old.account_status = 'active' AND old.time_deleted = 0)
BEGIN
    UPDATE offer SET revision = revision + 1 WHERE id IN (
        SELECT forwarding_rule.offer_id FROM forwarding_rule
        JOIN offer destination ON destination.id = forwarding_rule.destination_offer_id
        WHERE forwarding_rule.time_deleted = 0 AND destination.advertiser_id = new.id);
END;
CREATE TRIGGER destination_changes_advertiser AFTER UPDATE OF advertiser_id ON offer
WHEN new.advertiser_id <> old.advertiser_id
BEGIN
    UPDATE offer SET revision = revision + 1 WHERE id IN (
        SELECT offer_id FROM forwarding_rule
        WHERE time_deleted = 0 AND destination_offer_id = new.id);
END;

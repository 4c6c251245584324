-- Addresses that every offer refuses: a JSON list of addresses and CIDRs.
ALTER TABLE settings ADD COLUMN ip_blocklist TEXT NOT NULL DEFAULT '[]';
-- Filters of sub ids and sources: a JSON list.
ALTER TABLE offer ADD COLUMN traffic_filters TEXT NOT NULL DEFAULT '[]';

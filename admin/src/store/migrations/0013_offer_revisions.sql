-- Which offers were edited since the catalog was published, without a look at any of them.
CREATE INDEX offer_by_revision ON offer (revision);

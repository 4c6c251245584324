-- Certificates of tracking domains from an ACME server (RFC 8555). Keys are files in the folder
-- `acme`, never rows. Past tracking domains ask for no certificate.
ALTER TABLE tracking_domain ADD COLUMN certificate TEXT NOT NULL DEFAULT 'none' CHECK (certificate IN ('none', 'acme'));

-- The account whose key proves the control of hosts; its thumbprint is published in the catalog.
CREATE TABLE acme_account (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    thumbprint TEXT    NOT NULL
) STRICT;

-- How far the certificate of a host has come. A row outlives the wish until coupond has removed the
-- certificate.
CREATE TABLE acme_certificate (
    host                 TEXT    PRIMARY KEY,
    -- SHA-256 of the last certificate, in hex; empty before the first.
    fingerprint          TEXT    NOT NULL DEFAULT '',
    not_before           INTEGER NOT NULL DEFAULT 0,
    not_after            INTEGER NOT NULL DEFAULT 0,
    -- Whether coupond has the certificate.
    is_installed         INTEGER NOT NULL DEFAULT 0,
    -- Why the last attempt or the installation failed; empty after a success.
    error                TEXT    NOT NULL DEFAULT '',
    -- Failed attempts in a row.
    failures             INTEGER NOT NULL DEFAULT 0,
    -- Not before this time, in Unix seconds; 0 without a wait.
    next_attempt         INTEGER NOT NULL DEFAULT 0,
    is_renewal_requested INTEGER NOT NULL DEFAULT 0
) STRICT;

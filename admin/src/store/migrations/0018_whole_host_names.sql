-- A host may be written with a dot at its end, which says that it is a whole name. It is kept without.
-- Where another domain has that host already, both stay: the older one is published.
UPDATE OR IGNORE tracking_domain
   SET base_url = CASE WHEN base_url LIKE '%.' THEN substr(base_url, 1, length(base_url) - 1)
                       ELSE replace(base_url, '.:', ':') END,
       host = CASE WHEN host LIKE '%.' THEN substr(host, 1, length(host) - 1)
                   ELSE replace(host, '.:', ':') END
 WHERE host LIKE '%.' OR host LIKE '%.:%';

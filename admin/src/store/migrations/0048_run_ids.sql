-- The random id of the run that each stream of clicks was first archived from: runs of a data folder and of
-- its copy can have one incarnation. NULL for runs of couponds before run ids.
ALTER TABLE click_stream_owner ADD COLUMN run_id BLOB CHECK (length(run_id) = 16);

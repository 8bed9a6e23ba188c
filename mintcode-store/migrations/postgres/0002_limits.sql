-- How much of a quota each key has used. Not logged: nothing waits for the disk, and after a crash it begins anew.
CREATE UNLOGGED TABLE meter (
    key      text COLLATE "C" NOT NULL PRIMARY KEY,
    -- When all of it is free again.
    whole_at bigint NOT NULL,
    -- How long one takes to be free again, and how long all of it does.
    every    bigint NOT NULL CHECK (every >= 1),
    whole    bigint NOT NULL CHECK (whole >= every)
) WITH (fillfactor = 50);
CREATE INDEX meter_by_end ON meter (whole_at);

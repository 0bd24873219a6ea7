-- Records share the space by server, environment and level, so that many of one kind do not evict the others.
CREATE TABLE shares (
    id INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    environment TEXT NOT NULL,
    level INTEGER NOT NULL,
    -- Of the records that are there: their number, and the bytes of their texts with a surcharge for each.
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (server, environment, level)
) STRICT;

-- 0 for records of before, which are evicted first.
ALTER TABLE records ADD COLUMN share INTEGER NOT NULL DEFAULT 0;
CREATE INDEX records_by_share ON records (share);

-- Who writes, once and not beside each record.
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    environment TEXT NOT NULL,
    instance TEXT NOT NULL,
    UNIQUE (server, environment, instance)
) STRICT;

-- The id is when the record was accepted, in microseconds since 1970, moved on where that would be no larger than the
-- one before. So it orders the records, and none returns, even in a file that was made anew.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    -- Unsigned numbers, bit by bit: what is larger than 2^63 looks negative.
    epoch INTEGER,
    sequence INTEGER,
    request_id TEXT,
    -- When it was written, in microseconds since 1970.
    time INTEGER NOT NULL,
    -- 0 debug, 1 info, 2 warn, 3 error.
    level INTEGER NOT NULL,
    target TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX records_by_request ON records (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX records_by_source ON records (source);
-- Most records are below, and whoever asks for those reads most records anyway. Nor is there an index of the time: ids are
-- nearly in its order, and SQLite goes along them and stops at the limit, with such an index or without.
CREATE INDEX records_that_matter ON records (level) WHERE level >= 2;

-- Which numbered records have come, such as `1-100,105`: remembered longer than the records.
CREATE TABLE lives (
    source TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequences TEXT NOT NULL,
    -- The id of the last record that came.
    used INTEGER NOT NULL,
    PRIMARY KEY (source, epoch)
) STRICT, WITHOUT ROWID;

-- The import of a list of users, as long as it is not complete.

CREATE TABLE import (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- Digest of the list without passwords.
    list TEXT NOT NULL
) STRICT;

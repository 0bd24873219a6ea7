-- The import of a list of users, as long as it is not complete.

CREATE TABLE import (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    -- Digest of the list without passwords.
    list TEXT NOT NULL
);

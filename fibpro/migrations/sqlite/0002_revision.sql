-- Number of transactions that changed something. `.users.sqlite.store` has the last acknowledged one: a database with
-- fewer has lost some.

CREATE TABLE revision (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    changes INTEGER NOT NULL
) STRICT;

INSERT INTO revision (id, changes) VALUES (1, 0);

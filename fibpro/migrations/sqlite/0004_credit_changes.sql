-- Changes of credit that callers made under a key, so that a repeat finds the first result.

CREATE TABLE credit_changes (
    key TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL REFERENCES users (username),
    kind TEXT NOT NULL CHECK (kind IN ('deposit', 'withdraw', 'set')),
    change INTEGER NOT NULL,
    -- The credit after it.
    credit INTEGER NOT NULL CHECK (credit >= 0)
) STRICT;

-- Who made a change that is no purchase, and the key of it. The reason of such an entry is `set`; `kind` tells it more exactly.
ALTER TABLE ledger ADD COLUMN actor TEXT;
ALTER TABLE ledger ADD COLUMN change_key TEXT REFERENCES credit_changes (key);

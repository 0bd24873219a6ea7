-- Credit is counted in whole credits. Times are microseconds since 1970, UTC.

CREATE TABLE users (
    username TEXT NOT NULL PRIMARY KEY,
    -- As a PHC string: `$argon2id$…`.
    password_hash TEXT NOT NULL,
    -- A JSON list of texts.
    roles TEXT NOT NULL,
    -- What can be spent now; what is reserved is not in it.
    credit BIGINT NOT NULL CHECK (credit >= 0)
);

CREATE TABLE purchases (
    key TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL REFERENCES users (username),
    amount BIGINT NOT NULL CHECK (amount > 0),
    -- The user's credit after the last change that the purchase made to it.
    credit BIGINT NOT NULL CHECK (credit >= 0),
    state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'refunded', 'expired')),
    -- When a reservation returns to its user.
    expires_at BIGINT NOT NULL
);

CREATE INDEX purchases_open_of_user ON purchases (username, expires_at) WHERE state = 'reserved';
CREATE INDEX purchases_open ON purchases (expires_at) WHERE state = 'reserved';

-- Every change of a credit. Nothing is ever changed or deleted here: the sum of a user's changes is the user's credit.
CREATE TABLE ledger (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time BIGINT NOT NULL,
    username TEXT NOT NULL REFERENCES users (username),
    change BIGINT NOT NULL,
    -- The credit after it.
    credit BIGINT NOT NULL CHECK (credit >= 0),
    reason TEXT NOT NULL CHECK (reason IN ('opening', 'set', 'reserve', 'refund', 'expire')),
    key TEXT REFERENCES purchases (key)
);

CREATE INDEX ledger_of_user ON ledger (username, id);

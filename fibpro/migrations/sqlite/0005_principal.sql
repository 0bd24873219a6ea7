-- The user for whom the actor made a change: the user itself, or an operator. NULL for a service on its own behalf.
ALTER TABLE ledger ADD COLUMN principal TEXT;

-- An order exists for its owner from the moment its stock is final; until then its row is there,
-- held, and is shown to nobody. So history reads through indexes that leave such rows out.
DROP INDEX orders_by_owner;
DROP INDEX orders_by_status;
-- (The last column is there for counting: SQLite reads it even though the condition names it.)
CREATE INDEX orders_by_owner ON orders (owner_index, id DESC, reservation_state)
    WHERE reservation_state <> 'held';
CREATE INDEX orders_by_status ON orders (status, id DESC, reservation_state)
    WHERE reservation_state <> 'held';

-- Where mails about the order go: encrypted and bound to order_key, as user_cipher is.
ALTER TABLE orders ADD COLUMN contact_cipher TEXT;

-- How far the making, or the cancelling, of an order has come. Whoever works on one holds a lease;
-- `fence` counts the holders, and each update names it, so that a late holder changes nothing.
--   open        stock and payment may be held, no order is stored
--   placed      the order is stored; its stock is being made final
--   committed   its stock is final and it is shown; its payment is being captured
--   undoing     there is no order; stock and payment go back
--   cancelling  the order was cancelled; stock and payment go back
--   done, undone, cancelled   over
CREATE TABLE sagas (
    order_key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'placed', 'committed', 'undoing', 'cancelling',
                                         'done', 'undone', 'cancelled')),
    owner TEXT NOT NULL,
    fence BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    -- When what is still open is undone, whoever holds it.
    deadline_ms BIGINT NOT NULL,
    -- Not to be tried before.
    next_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE INDEX sagas_open ON sagas (next_ms)
    WHERE state IN ('open', 'placed', 'committed', 'undoing', 'cancelling');
CREATE INDEX sagas_over ON sagas (updated_ms) WHERE state IN ('done', 'undone', 'cancelled');

-- One row a user and key: claimed together with the saga, given its answer in the transaction
-- that stores the order, freed in the one that begins to undo it. Keys and bodies are kept as
-- keyed hashes, the answer is encrypted and bound to order_key.
CREATE TABLE idempotency_keys (
    owner_index TEXT NOT NULL,
    key_index TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    order_key TEXT NOT NULL,
    answer_cipher TEXT,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (owner_index, key_index)
);

CREATE INDEX idempotency_keys_by_order ON idempotency_keys (order_key);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_ms);

-- Mails to be sent, each written in the transaction of the transition that it tells of.
-- `event_id` is the same in every delivery, for the receiver to know a repeat by.
CREATE TABLE outbox (
    id {{ID}},
    event_id TEXT NOT NULL UNIQUE,
    order_key TEXT NOT NULL,
    status TEXT NOT NULL,
    fence BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    delivered_ms BIGINT
);

CREATE INDEX outbox_due ON outbox (next_ms, id) WHERE delivered_ms IS NULL;
CREATE INDEX outbox_over ON outbox (delivered_ms) WHERE delivered_ms IS NOT NULL;
CREATE INDEX outbox_by_order ON outbox (order_key);

-- One row a payment, by the key of its order. 'voided' without an amount is the tombstone of a
-- void that came before its authorise.
CREATE TABLE payments (
    order_key TEXT PRIMARY KEY,
    state TEXT NOT NULL
        CHECK (state IN ('authorized', 'declined', 'captured', 'voided', 'refunded')),
    amount_cents BIGINT NOT NULL CHECK (amount_cents >= 0),
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

-- Append-only: money that moved. A key's captures less its refunds is what its buyer has paid.
CREATE TABLE payment_ledger (
    id {{ID}},
    order_key TEXT NOT NULL REFERENCES payments (order_key),
    event TEXT NOT NULL CHECK (event IN ('capture', 'refund')),
    amount_cents BIGINT NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE INDEX payment_ledger_by_order ON payment_ledger (order_key, id);

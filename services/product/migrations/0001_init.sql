-- The catalogue. `available` is what can be sold now: units held by a
-- reservation are not in it. A deleted product keeps its row, since orders and
-- the ledger speak of it. `rating` is 0 while there are no reviews, so that it
-- sorts alike on every database; the wire shows null then.
CREATE TABLE products (
    id {{ID}},
    name TEXT NOT NULL,
    name_sort TEXT NOT NULL,
    description TEXT NOT NULL,
    price_cents BIGINT NOT NULL CHECK (price_cents > 0),
    available BIGINT NOT NULL CHECK (available >= 0),
    category TEXT,
    image TEXT,
    rating DOUBLE PRECISION NOT NULL DEFAULT 0,
    review_count BIGINT NOT NULL DEFAULT 0,
    deleted BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

-- One for each order of the list; read forwards or backwards.
CREATE INDEX products_by_age ON products (created_ms, id) WHERE deleted = 0;
CREATE INDEX products_by_name ON products (name_sort, id) WHERE deleted = 0;
CREATE INDEX products_by_price ON products (price_cents, id) WHERE deleted = 0;
CREATE INDEX products_by_rating ON products (rating, id) WHERE deleted = 0;
CREATE INDEX products_by_category ON products (category, created_ms, id) WHERE deleted = 0;

-- Append-only: every change of `products.available`, so that the sum of a
-- product's deltas is its row.
CREATE TABLE stock_ledger (
    id {{ID}},
    product_id BIGINT NOT NULL REFERENCES products (id),
    delta BIGINT NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('initial', 'restock', 'reserve', 'release', 'expire', 'return')),
    order_key TEXT,
    at_ms BIGINT NOT NULL
);

CREATE INDEX stock_ledger_by_product ON stock_ledger (product_id, id);
-- The last line of defence against units that return twice.
CREATE UNIQUE INDEX stock_ledger_once ON stock_ledger (order_key, product_id, reason) WHERE order_key IS NOT NULL;

-- One row an order key, for ever: it is what makes the calls idempotent.
-- 'refused' remembers that there was too little; a 'released' row without
-- lines is the tombstone of a release that came before its reserve.
-- `expires_ms` is for the expiry sweep; null never expires.
CREATE TABLE reservations (
    order_key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('held', 'committed', 'released', 'expired', 'refused')),
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    expires_ms BIGINT
);

CREATE INDEX reservations_by_expiry ON reservations (expires_ms) WHERE state = 'held' AND expires_ms IS NOT NULL;

-- What was asked for. `short_exists` and `short_available` are set on the lines
-- that stood in a refused reservation's way. No foreign key to products: a
-- refused line may name an unknown id.
CREATE TABLE reservation_lines (
    order_key TEXT NOT NULL REFERENCES reservations (order_key),
    product_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    short_exists BIGINT,
    short_available BIGINT,
    PRIMARY KEY (order_key, product_id)
);

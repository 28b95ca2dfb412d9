-- Orders and their lines.
--
-- user_cipher holds the owner's id, encrypted and bound to order_key, so that a
-- value moved to another row is refused. owner_index is a keyed hash of the same
-- id: equal owners have equal values, and without the key nothing can be read
-- from it. Money is cents, times are milliseconds since the epoch.
CREATE TABLE orders (
    id {{ID}},
    order_key TEXT NOT NULL UNIQUE,
    user_cipher TEXT NOT NULL,
    owner_index TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered', 'cancelled')),
    -- What this service knows of the stock that the product service holds under
    -- order_key: none (a cancelled sample), held, committed.
    reservation_state TEXT NOT NULL CHECK (reservation_state IN ('none', 'held', 'committed')),
    total_cents BIGINT NOT NULL CHECK (total_cents >= 0),
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

-- One's own history, newest first.
CREATE INDEX orders_by_owner ON orders (owner_index, id DESC);
-- The staff's listing by status, newest first.
CREATE INDEX orders_by_status ON orders (status, id DESC);
-- The few orders whose stock is not final yet.
CREATE INDEX orders_unfinished ON orders (id) WHERE reservation_state = 'held';

CREATE TABLE order_items (
    id {{ID}},
    order_id BIGINT NOT NULL REFERENCES orders (id),
    product_id BIGINT NOT NULL,
    -- Name and price as they were when the order was placed.
    product_name TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    price_cents BIGINT NOT NULL CHECK (price_cents >= 0)
);

CREATE INDEX order_items_by_order ON order_items (order_id, id);

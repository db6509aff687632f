-- What was ordered. Orders are never deleted, and their lines never change.
CREATE TABLE orders (
    -- A UUID, version 7, as text: in the order of placing.
    order_id TEXT NOT NULL PRIMARY KEY,
    -- A user of the user service.
    user_id TEXT NOT NULL,
    -- The number of a seawall.order.v1.OrderState.
    state BIGINT NOT NULL,
    -- The sum over the lines, whose prices are in this currency too.
    currency_code TEXT NOT NULL,
    total_units BIGINT NOT NULL,
    total_nanos BIGINT NOT NULL,
    -- Microseconds since 1970, UTC.
    create_time_us BIGINT NOT NULL,
    update_time_us BIGINT NOT NULL
);

CREATE INDEX orders_by_user ON orders (user_id, order_id);

CREATE TABLE order_lines (
    order_id TEXT NOT NULL REFERENCES orders (order_id),
    -- From 0.
    line BIGINT NOT NULL,
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    price_units BIGINT NOT NULL,
    price_nanos BIGINT NOT NULL,
    PRIMARY KEY (order_id, line)
);

-- What was answered to which request, so that the same request gets the same answer again. One row
-- for each order, kept as long as the order.
CREATE TABLE answers (
    user_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    -- SHA-256 of the request.
    request_hash BYTEA NOT NULL,
    -- The encoded PlaceOrderResponse.
    response BYTEA NOT NULL,
    PRIMARY KEY (user_id, idempotency_key)
);

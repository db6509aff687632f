--% if sql
-- One SQL text for SQLite and PostgreSQL: BIGINT, TEXT, BYTEA and DOUBLE PRECISION only.
CREATE TABLE items (
    -- A UUID, version 7, as text: in the order of creation.
    item_id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL,
--% each calls
    __peer___id TEXT NOT NULL,
--% end
    -- Microseconds since 1970, UTC.
    create_time_us BIGINT NOT NULL
);
--% end

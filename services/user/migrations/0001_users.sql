-- Everyone who can order.
CREATE TABLE users (
    -- A UUID, version 7, as text: in the order of creation.
    user_id TEXT NOT NULL PRIMARY KEY,
    -- As it was given.
    email TEXT NOT NULL,
    -- In lower case: what makes an email unique.
    email_key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    -- From 1, one more with each change; a client sees it as the etag.
    version BIGINT NOT NULL,
    -- Microseconds since 1970, UTC.
    create_time_us BIGINT NOT NULL,
    update_time_us BIGINT NOT NULL
);

CREATE UNIQUE INDEX users_by_email ON users (email_key);

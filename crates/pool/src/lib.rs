//! SQL connection pools on bb8: checkouts bounded by the deadline, for SQLite and PostgreSQL.

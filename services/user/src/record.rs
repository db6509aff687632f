//! A user as the table has it, and the way from there to the contract.

use seawall_pool::{Row, Value};
use seawall_proto::seawall::user::v1::User;
use seawall_resource::{new_id, now_us, timestamp};

/// A row of `users`.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) user_id: String,
    pub(crate) email: String,
    display_name: String,
    version: i64,
    create_time_us: i64,
    update_time_us: i64,
}

impl Record {
    /// Stores nothing, and says so by 0 changed rows, if the email is in use.
    pub(crate) const INSERT: &str = "
        INSERT INTO users (user_id, email, email_key, display_name, version, create_time_us, update_time_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (email_key) DO NOTHING";

    /// A new user with the fields that the caller chose.
    pub(crate) fn new(chosen: User) -> Self {
        let now_us = now_us();
        Self {
            user_id: new_id(),
            email: chosen.email,
            display_name: chosen.display_name,
            version: 1,
            create_time_us: now_us,
            update_time_us: now_us,
        }
    }

    /// The parameters of [`INSERT`](Self::INSERT).
    pub(crate) fn values(&self) -> [Value; 7] {
        [
            self.user_id.as_str().into(),
            self.email.as_str().into(),
            email_key(&self.email).into(),
            self.display_name.as_str().into(),
            self.version.into(),
            self.create_time_us.into(),
            self.update_time_us.into(),
        ]
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, seawall_pool::Error> {
        Ok(Self {
            user_id: row.get("user_id")?,
            email: row.get("email")?,
            display_name: row.get("display_name")?,
            version: row.get("version")?,
            create_time_us: row.get("create_time_us")?,
            update_time_us: row.get("update_time_us")?,
        })
    }
}

impl From<Record> for User {
    fn from(record: Record) -> Self {
        Self {
            user_id: record.user_id,
            email: record.email,
            display_name: record.display_name,
            etag: etag(record.version),
            create_time: Some(timestamp(record.create_time_us)),
            update_time: Some(timestamp(record.update_time_us)),
        }
    }
}

/// What two spellings of one email have in common.
pub(crate) fn email_key(email: &str) -> String {
    email.to_lowercase()
}

fn etag(version: i64) -> String {
    format!("{version:x}")
}

/// The version that `asked` names; none if any will do. An etag that is not ours names version 0,
/// which no user has.
pub(crate) fn version(asked: &str) -> Option<i64> {
    let version = i64::from_str_radix(asked, 16).unwrap_or_default();
    match asked {
        "" => None,
        _ if etag(version) == asked => Some(version),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_names_its_version_and_nothing_else_does() {
        for known in [1, 9, 10, 255, i64::MAX] {
            assert_eq!(version(&etag(known)), Some(known));
        }
        assert_eq!(version(""), None);
        for foreign in ["01", "+1", "A", "xyz", " 1", "ffffffffffffffffff"] {
            assert_eq!(version(foreign), Some(0), "{foreign}");
        }
    }

    #[test]
    fn an_email_is_the_same_in_any_case() {
        assert_eq!(email_key("Ann@Example.COM"), email_key("ann@example.com"));
        assert_eq!(email_key("ÅSA@example.com"), email_key("åsa@example.com"));
        assert_ne!(email_key("ann@example.com"), email_key("anne@example.com"));
    }
}

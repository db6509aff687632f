//! What the service fails with, beside bad fields: each reason stands here once.

use seawall_error::{Code, Domain, Error};
use seawall_pool::Sql;

/// Gives this service's reasons their meaning.
pub(crate) const DOMAIN: Domain = Domain::new("user.seawall.dev");

const USER: &str = "seawall.user.v1.User";

pub(crate) fn user_not_found(user_id: &str) -> Error {
    DOMAIN.not_found("USER_NOT_FOUND", USER, user_id)
}

pub(crate) fn email_taken(email: &str) -> Error {
    DOMAIN.already_exists("EMAIL_TAKEN", USER, email)
}

pub(crate) fn import_too_large(rows_max: usize) -> Error {
    DOMAIN
        .error(Code::ResourceExhausted, "IMPORT_TOO_LARGE", format!("an import has at most {rows_max} rows"))
        .with_metadata("rows_max", rows_max.to_string())
}

/// Why a statement for this user and a version changed nothing.
pub(crate) async fn not_found_or_stale(sql: &Sql, user_id: &str) -> Result<Error, Error> {
    let found = sql.query_opt("SELECT version FROM users WHERE user_id = $1", &[user_id.into()]).await?;
    Ok(match found {
        None => user_not_found(user_id),
        Some(_) => DOMAIN.error(
            Code::Aborted,
            "ETAG_MISMATCH",
            "the user has changed since the etag was given: read it again, then decide again",
        ),
    })
}

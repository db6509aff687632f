//! UpdateUser.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::{UpdateUserRequest, UpdateUserResponse, User};
use seawall_resource::{check_id, now_us};

use crate::errors::{DOMAIN, email_taken, not_found_or_stale};
use crate::fields::{Changed, check_display_name, check_email, check_mask};
use crate::record::{Record, email_key, version};

/// Reads, compares and changes in one statement, so that no other change comes between. NULL leaves
/// a field as it is, and accepts any version.
const UPDATE: &str = "
    UPDATE users SET
        email = COALESCE($1, email),
        email_key = COALESCE($2, email_key),
        display_name = COALESCE($3, display_name),
        update_time_us = $4,
        version = version + 1
    WHERE user_id = $5 AND version = COALESCE($6, version)
    RETURNING user_id, email, display_name, version, create_time_us, update_time_us";

pub(crate) async fn update(sql: &Sql, request: UpdateUserRequest) -> Result<UpdateUserResponse, Error> {
    let (user, changed) = check(request)?;

    let email = changed.email.then_some(user.email.as_str());
    let display_name = changed.display_name.then_some(user.display_name.as_str());
    let values = [
        email.into(),
        email.map(email_key).into(),
        display_name.into(),
        now_us().into(),
        user.user_id.as_str().into(),
        version(&user.etag).into(),
    ];
    match sql.query_opt(UPDATE, &values).await {
        Ok(Some(row)) => Ok(UpdateUserResponse { user: Some(Record::from_row(&row)?.into()) }),
        Ok(None) => Err(not_found_or_stale(sql, &user.user_id).await?),
        Err(source) if source.unique_violation() => Err(email_taken(&user.email).with_source(source)),
        Err(source) => Err(source.into()),
    }
}

/// The user with the id in the table's spelling, and the fields to change.
fn check(request: UpdateUserRequest) -> Result<(User, Changed), Error> {
    let mut user = request.user.unwrap_or_default();
    let mut violations = Violations::default();
    user.user_id = check_id("user.user_id", &user.user_id, &mut violations);
    let changed = check_mask(request.update_mask, &user, &mut violations);
    if changed.email {
        check_email(&user.email, &mut violations);
    }
    if changed.display_name {
        check_display_name(&user.display_name, &mut violations);
    }
    violations.into_result(DOMAIN)?;
    Ok((user, changed))
}

//! DeleteUser.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::{DeleteUserRequest, DeleteUserResponse};
use seawall_resource::check_id;

use crate::errors::{DOMAIN, not_found_or_stale};
use crate::record::version;

/// NULL accepts any version.
const DELETE: &str = "DELETE FROM users WHERE user_id = $1 AND version = COALESCE($2, version)";

pub(crate) async fn delete(sql: &Sql, request: DeleteUserRequest) -> Result<DeleteUserResponse, Error> {
    let mut violations = Violations::default();
    let user_id = check_id("user_id", &request.user_id, &mut violations);
    violations.into_result(DOMAIN)?;

    if sql.execute(DELETE, &[user_id.as_str().into(), version(&request.etag).into()]).await? == 0 {
        return Err(not_found_or_stale(sql, &user_id).await?);
    }
    Ok(DeleteUserResponse {})
}

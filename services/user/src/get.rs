//! GetUser.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::{GetUserRequest, GetUserResponse};
use seawall_resource::check_id;

use crate::errors::{DOMAIN, user_not_found};
use crate::record::Record;

const SELECT: &str = "
    SELECT user_id, email, display_name, version, create_time_us, update_time_us
    FROM users WHERE user_id = $1";

pub(crate) async fn get(sql: &Sql, request: GetUserRequest) -> Result<GetUserResponse, Error> {
    let mut violations = Violations::default();
    let user_id = check_id("user_id", &request.user_id, &mut violations);
    violations.into_result(DOMAIN)?;

    let found = sql.query_opt(SELECT, &[user_id.as_str().into()]).await?;
    let row = found.ok_or_else(|| user_not_found(&user_id))?;
    Ok(GetUserResponse { user: Some(Record::from_row(&row)?.into()) })
}

//! ListUsers.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::{ListUsersRequest, ListUsersResponse};
use seawall_resource::Page;

use crate::errors::DOMAIN;
use crate::record::Record;

/// Ids are made in the order of time, so the oldest user has the first id, and a user who comes while
/// somebody turns the pages is on the last of them.
const SELECT: &str = "
    SELECT user_id, email, display_name, version, create_time_us, update_time_us
    FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2";

pub(crate) async fn list(sql: &Sql, request: ListUsersRequest) -> Result<ListUsersResponse, Error> {
    let mut violations = Violations::default();
    let page = Page::check(request.page_size, &request.page_token, "", &mut violations);
    violations.into_result(DOMAIN)?;

    let rows = sql.query(SELECT, &[page.after().into(), page.limit().into()]).await?;
    let records = rows.iter().map(Record::from_row).collect::<Result<Vec<_>, _>>()?;
    let (records, next_page_token) = page.cut(records, |record| &record.user_id);
    Ok(ListUsersResponse { users: records.into_iter().map(Into::into).collect(), next_page_token })
}

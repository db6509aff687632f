//! ListUsers.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::{ListUsersRequest, ListUsersResponse};

use crate::errors::DOMAIN;
use crate::page::{Page, token};
use crate::record::Record;

/// Ids are made in the order of time, so the oldest user has the first id, and a user who comes while
/// somebody turns the pages is on the last of them.
const SELECT: &str = "
    SELECT user_id, email, display_name, version, create_time_us, update_time_us
    FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2";

pub(crate) async fn list(sql: &Sql, request: ListUsersRequest) -> Result<ListUsersResponse, Error> {
    let mut violations = Violations::default();
    let page = Page::check(request.page_size, &request.page_token, &mut violations);
    violations.into_result(DOMAIN)?;

    // One more than asked for tells whether there is a next page.
    let mut rows = sql.query(SELECT, &[page.after.into(), i64::from(page.size + 1).into()]).await?;
    let has_more = rows.len() > page.size as usize;
    rows.truncate(page.size as usize);

    let records = rows.iter().map(Record::from_row).collect::<Result<Vec<_>, _>>()?;
    let next_page_token = match records.last() {
        Some(last) if has_more => token(&last.user_id),
        _ => String::new(),
    };
    Ok(ListUsersResponse { users: records.into_iter().map(Into::into).collect(), next_page_token })
}

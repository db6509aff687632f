//! BatchGetUsers.

use std::collections::HashMap;
use std::sync::LazyLock;

use seawall_error::{Error, Violations};
use seawall_pool::{Sql, Value};
use seawall_proto::seawall::user::v1::{BatchGetUsersRequest, BatchGetUsersResponse};
use seawall_resource::check_id;

use crate::errors::DOMAIN;
use crate::record::Record;

const IDS_MAX: usize = 100;

/// One statement for any number of ids, so that it is prepared once: the places left over are NULL,
/// which equals nothing.
static SELECT: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=IDS_MAX).map(|n| format!("${n}")).collect();
    format!(
        "SELECT user_id, email, display_name, version, create_time_us, update_time_us
         FROM users WHERE user_id IN ({})",
        places.join(", ")
    )
});

pub(crate) async fn batch_get(sql: &Sql, request: BatchGetUsersRequest) -> Result<BatchGetUsersResponse, Error> {
    let asked = check(&request)?;

    let mut places = vec![Value::Null; IDS_MAX];
    for (place, user_id) in places.iter_mut().zip(&asked) {
        *place = user_id.as_str().into();
    }
    let mut found = HashMap::new();
    for row in sql.query(&SELECT, &places).await? {
        let record = Record::from_row(&row)?;
        found.insert(record.user_id.clone(), record);
    }

    let mut response = BatchGetUsersResponse::default();
    for user_id in asked {
        match found.get(&user_id) {
            Some(record) => response.users.push(record.clone().into()),
            None => response.missing_user_ids.push(user_id),
        }
    }
    Ok(response)
}

fn check(request: &BatchGetUsersRequest) -> Result<Vec<String>, Error> {
    let mut violations = Violations::default();
    violations.check((1..=IDS_MAX).contains(&request.user_ids.len()), "user_ids", "must be 1 to 100 ids");
    let ids = request.user_ids.iter().take(IDS_MAX).enumerate();
    let asked = ids.map(|(i, id)| check_id(&format!("user_ids[{i}]"), id, &mut violations)).collect();
    violations.into_result(DOMAIN)?;
    Ok(asked)
}

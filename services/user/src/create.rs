//! CreateUser.

use seawall_error::{Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::{CreateUserRequest, CreateUserResponse};

use crate::errors::{DOMAIN, email_taken};
use crate::fields::check_new;
use crate::record::Record;

pub(crate) async fn create(sql: &Sql, request: CreateUserRequest) -> Result<CreateUserResponse, Error> {
    let chosen = request.user.unwrap_or_default();
    let mut violations = Violations::default();
    check_new(&chosen, &mut violations);
    violations.into_result(DOMAIN)?;

    let record = Record::new(chosen);
    if sql.execute(Record::INSERT, &record.values()).await? == 0 {
        return Err(email_taken(&record.email));
    }
    Ok(CreateUserResponse { user: Some(record.into()) })
}

//! ImportUsers: many users from one stream.
//!
//! Rows are stored in batches, each in a transaction of its own, as they come. So an import that
//! breaks off, by the caller, the deadline or a row too many, has created the users of the batches
//! that were complete; the same import sent again finds their emails in use and creates the rest.

use seawall_error::{Code, Error, Violations};
use seawall_pool::Sql;
use seawall_proto::seawall::user::v1::import_user_result::Result as Outcome;
use seawall_proto::seawall::user::v1::{
    ImportFieldViolation, ImportUserError, ImportUserResult, ImportUsersRequest, ImportUsersResponse, User,
};
use tonic::{Status, Streaming};

use crate::errors::{DOMAIN, email_taken, import_too_large};
use crate::fields::check_new;
use crate::record::{Record, email_key};

const ROWS_MAX: usize = 10_000;

/// Large enough that the commit no longer counts, small enough that others can write in between.
const BATCH_SIZE: usize = 100;

pub(crate) async fn import(sql: &Sql, mut rows: Streaming<ImportUsersRequest>) -> Result<ImportUsersResponse, Status> {
    let mut outcomes = Vec::new();
    let mut batch = Vec::with_capacity(BATCH_SIZE);
    while let Some(row) = rows.message().await? {
        if outcomes.len() + batch.len() == ROWS_MAX {
            return Err(import_too_large(ROWS_MAX).into());
        }
        batch.push(row.user.unwrap_or_default());
        if batch.len() == BATCH_SIZE {
            outcomes.extend(store(sql, batch.drain(..)).await?);
        }
    }
    outcomes.extend(store(sql, batch.drain(..)).await?);
    Ok(response(outcomes))
}

/// Creates the users of one batch; the answers are in the order of its rows.
async fn store(sql: &Sql, batch: impl Iterator<Item = User>) -> Result<Vec<Result<Record, Error>>, Error> {
    let mut outcomes: Vec<_> = batch.map(check).collect();
    // Every import locks emails in the same order, so two of them cannot wait for each other. The
    // sort is stable: of two rows with one email the first is created.
    let mut good: Vec<usize> = (0..outcomes.len()).filter(|&row| outcomes[row].is_ok()).collect();
    good.sort_by_cached_key(|&row| outcomes[row].as_ref().map(|record| email_key(&record.email)).ok());

    let mut transaction = sql.begin().await?;
    for row in good {
        if let Ok(record) = &outcomes[row]
            && transaction.execute(Record::INSERT, &record.values()).await? == 0
        {
            outcomes[row] = Err(email_taken(&record.email));
        }
    }
    transaction.commit().await?;
    Ok(outcomes)
}

fn check(chosen: User) -> Result<Record, Error> {
    let mut violations = Violations::default();
    check_new(&chosen, &mut violations);
    violations.into_result(DOMAIN)?;
    Ok(Record::new(chosen))
}

fn response(outcomes: Vec<Result<Record, Error>>) -> ImportUsersResponse {
    let mut response = ImportUsersResponse::default();
    for (row, outcome) in (0..).zip(outcomes) {
        let result = match outcome {
            Ok(record) => {
                response.created_count += 1;
                Outcome::UserId(record.user_id)
            }
            Err(error) => {
                response.failed_count += 1;
                Outcome::Error(refusal(&error))
            }
        };
        response.results.push(ImportUserResult { row, result: Some(result) });
    }
    response
}

fn refusal(error: &Error) -> ImportUserError {
    let violations = error.violations().into_iter().flat_map(Violations::iter);
    ImportUserError {
        code: error.code() as i32,
        reason: error.reason().to_owned(),
        // The message of CreateUser repeats the email. With 10,000 of them the response could be
        // larger than the 4 MiB that a client accepts.
        message: match error.code() {
            Code::AlreadyExists => "the email is in use".to_owned(),
            _ => error.message().to_owned(),
        },
        field_violations: violations
            .map(|(field, description)| ImportFieldViolation {
                field: field.to_owned(),
                description: description.to_owned(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_largest_response_fits_into_a_message() {
        let longest = "🐚".repeat(254);
        let all_bad = response((0..ROWS_MAX).map(|_| check(User::default())).collect());
        let all_taken = response((0..ROWS_MAX).map(|_| Err(email_taken(&longest))).collect());
        assert!(all_bad.encoded_len() < 4 << 20, "{}", all_bad.encoded_len());
        assert!(all_taken.encoded_len() < 4 << 20, "{}", all_taken.encoded_len());
        assert_eq!((all_bad.failed_count, all_taken.failed_count), (10_000, 10_000));
    }
}

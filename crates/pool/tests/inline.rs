//! SQLite on the calling task, as a simulator has it: in the time of a paused clock.

use std::time::Duration;

use seawall_deadline::Deadline;
use seawall_pool::{Config, Error, Migration, Sql};
use tempfile::TempDir;
use tokio::time::Instant;

const ITEMS: &[Migration] =
    &[Migration { version: 1, name: "items", sql: "CREATE TABLE items (id BIGINT PRIMARY KEY)" }];
const DELAY: Duration = Duration::from_secs(1);
const INSERT: &str = "INSERT INTO items (id) VALUES (1)";

async fn open() -> (Sql, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(format!("sqlite://{}/test.db", folder.path().display()));
    (Sql::open(&config.with_inline_sqlite(|| DELAY), ITEMS).await.unwrap(), folder)
}

async fn count(sql: &Sql) -> i64 {
    sql.query_opt("SELECT count(*) AS n FROM items", &[]).await.unwrap().unwrap().get("n").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_statement_takes_twice_the_delay() {
    let (sql, _folder) = open().await;
    let start = Instant::now();
    assert_eq!(sql.execute(INSERT, &[]).await.unwrap(), 1);
    assert_eq!(start.elapsed(), 2 * DELAY);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_pass_before_a_statement_is_done_and_after() {
    let (sql, _folder) = open().await;
    let late = |timeout| Deadline::after(timeout).scope(sql.execute(INSERT, &[]));
    assert!(late(DELAY / 2).await.as_ref().is_err_and(Error::deadline_exceeded));
    assert_eq!(count(&sql).await, 0);
    assert!(late(DELAY + DELAY / 2).await.as_ref().is_err_and(Error::deadline_exceeded));
    assert_eq!(count(&sql).await, 1, "it was done, although its caller never heard");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_is_undone_before_the_next_statement() {
    let (sql, _folder) = open().await;
    let mut transaction = sql.begin().await.unwrap();
    transaction.execute(INSERT, &[]).await.unwrap();
    drop(transaction);
    assert_eq!(count(&sql).await, 0);
    assert_eq!(sql.execute(INSERT, &[]).await.unwrap(), 1);
}
